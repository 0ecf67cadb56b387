"""The training loop: resume, guard, distillation, phases."""

import math
import multiprocessing
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from search_spaces import Space
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3, small_mobilenet_v3
from supernets import (
    PathAdaptive,
    Phase,
    Sandwich,
    Supernet,
    TrainConfig,
    Uniform,
    phases,
    progressive_shrinking,
    train,
)
from supernets.samplers import Fixed
from supernets.training import final_optimizer_state
from supernets.training.checkpoint import InvalidCheckpoint
from supernets.training.loop import CHECK_EVERY
from supernets.training.optimization import make_optimizer
from supernets.training.schedule import lr_at
from tests.killing import kill_after_progress
from tests.supernets.helpers import Images, tiny_mobilenet


def tiny_space() -> Space:
    return tiny_mobilenet(expands=(1, 2, 3), dropout=0.1)


def tiny_config(**changes) -> TrainConfig:
    settings = {"epochs": 24, "batch_size": 16, "lr": 0.05, "checkpoint_every_s": 0, "subnets_per_step": 4}
    settings["schedule"] = "whole" if "sampler" in changes else "progressive_shrinking"
    return TrainConfig(**{**settings, **changes})


def trained(config: TrainConfig, *, folder: Path | None = None, images=None, seed: int = 3, **options) -> Supernet:
    torch.manual_seed(0)
    space = tiny_space()
    return train(
        Supernet(space), phases(space, config), images or Images(), config, seed=seed, folder=folder, **options
    )


def assert_same_weights(a: Supernet, b: Supernet) -> None:
    for (name, left), right in zip(a.state_dict().items(), b.state_dict().values()):
        assert torch.equal(left, right), name


# ---- resume ---------------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


class StopsAt:
    """Observer that ends the run at the n-th event."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, event: dict) -> None:
        self.left -= 1
        if self.left < 0:
            raise Interrupted


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sampler": "sandwich", "ema_decay": 0.9},
        {"sampler": "uniform"},
        {"sampler": "path_adaptive", "examples": "importance", "example_weights": True, "subnets_per_step": 1},
        {"sampler": "shift", "sampler_options": {"pool": 50}},
        {"schedule": "progressive_shrinking", "sampler": "path_adaptive", "examples": "importance"},
    ],
)
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, settings):
    config = tiny_config(epochs=12, **settings)
    whole = trained(config)
    interruptions = 0
    for events in (1, 2, 3, 100):
        try:
            resumed = trained(config, folder=tmp_path, observer=StopsAt(events))
        except Interrupted:
            interruptions += 1
    assert interruptions >= 2
    assert_same_weights(whole, resumed)


PADA = {"sampler": "path_adaptive", "examples": "importance", "subnets_per_step": 1}


def _shrink_in_process(folder: str) -> None:
    torch.set_num_threads(1)
    supernet = trained(tiny_config(epochs=80), folder=Path(folder))
    supernet.save(Path(folder) / "final.safetensors")


def _adapt_in_process(folder: str) -> None:
    torch.set_num_threads(1)
    supernet = trained(tiny_config(epochs=120, **PADA), folder=Path(folder))
    supernet.save(Path(folder) / "final.safetensors")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("in_process", "settings", "kills"),
    [(_shrink_in_process, {"epochs": 80}, 3), (_adapt_in_process, {"epochs": 120, **PADA}, 1)],
)
def test_training_killed_at_random_moments_ends_with_the_same_weights(tmp_path, in_process, settings, kills):
    """SIGKILL; bit for bit the weights of a run that was never killed."""
    torch.set_num_threads(1)
    whole = trained(tiny_config(**settings))
    for delay in np.random.default_rng().uniform(0.0, 0.5, size=kills):
        kill_after_progress(in_process, tmp_path, tmp_path / "checkpoint.pt", delay)
    process = multiprocessing.get_context("spawn").Process(target=in_process, args=(str(tmp_path),))
    process.start()
    process.join()
    resumed = Supernet(tiny_space())
    resumed.load(tmp_path / "final.safetensors")
    assert_same_weights(whole, resumed)


def test_a_finished_training_is_not_repeated(tmp_path):
    first = trained(tiny_config(epochs=4, sampler="uniform"), folder=tmp_path)
    events = []
    second = trained(tiny_config(epochs=4, sampler="uniform"), folder=tmp_path, observer=events.append)
    assert not events
    assert_same_weights(first, second)


def test_checkpoint_of_another_schedule_or_a_damaged_one_is_refused(tmp_path):
    trained(tiny_config(epochs=4), folder=tmp_path)
    with pytest.raises(ValueError, match="another schedule or seed"):
        trained(tiny_config(epochs=8), folder=tmp_path)
    with pytest.raises(ValueError, match="another sampler or order of examples"):
        trained(tiny_config(epochs=4, examples="importance"), folder=tmp_path)
    snapshot = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save({"supernet": {}, **{k: v for k, v in snapshot.items() if k != "state"}}, tmp_path / "checkpoint.pt")
    with pytest.raises(InvalidCheckpoint, match=r"earlier version and can't be continued; .* delete it to start again"):
        trained(tiny_config(epochs=4), folder=tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match="can't be read as a checkpoint"):
        trained(tiny_config(epochs=4), folder=tmp_path)
    torch.save({"supernet": {}, "finished": False}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="of an earlier version"):
        trained(tiny_config(epochs=4), folder=tmp_path)


# ---- divergence -----------------------------------------------------------------------------------------------------


class Poisoned(Images):
    """Gives one batch of NaN, once."""

    def __init__(self, step: int, value: float = math.nan) -> None:
        super().__init__()
        self.step, self.value = step, value
        self.poisoned = False

    def batches(self, batch_size, *, epoch, start=0, **options):
        for i, (images, labels) in enumerate(super().batches(batch_size, epoch=epoch, start=start, **options), start):
            if epoch * self.steps(batch_size) + i == self.step and not self.poisoned:
                self.poisoned = True
                yield images * self.value, labels
            else:
                yield images, labels


def test_nan_is_rolled_back_with_half_the_rate(tmp_path):
    events = []
    supernet = trained(
        tiny_config(sampler="uniform"), images=Poisoned(CHECK_EVERY + 3), folder=tmp_path, observer=events.append
    )
    rollbacks = [event for event in events if event["event"] == "rollback"]
    assert [(event["step"], event["lr_scale"]) for event in rollbacks] == [(CHECK_EVERY, 0.5)]
    assert all(torch.isfinite(tensor).all() for tensor in supernet.state_dict().values())
    steps = [event["step"] for event in events if event["event"] == "train"]
    assert steps == sorted(steps)
    assert steps[-1] == 24 * 6


def test_what_was_learned_about_sampling_is_rolled_back_too(tmp_path):
    """Rolled back after bad images = resumed with half the rate from the checkpoint before them."""
    config = tiny_config(epochs=12, **PADA)
    events = []
    rolled_back = trained(config, images=Poisoned(CHECK_EVERY + 3), observer=events.append)
    assert [event["step"] for event in events if event["event"] == "rollback"] == [CHECK_EVERY]
    with pytest.raises(Interrupted):
        trained(config, folder=tmp_path, observer=StopsAt(4))  # three epochs and the first look at the loss
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == CHECK_EVERY
    torch.save({**state, "lr_scale": 0.5, "rollbacks": 1}, tmp_path / "checkpoint.pt")
    assert_same_weights(rolled_back, trained(config, folder=tmp_path))


def test_a_loss_spike_is_rolled_back():
    class Confused(Images):
        """Wrong labels for one stretch of steps, the first time it is passed."""

        def __init__(self):
            super().__init__()
            self.seen = set()

        def batches(self, batch_size, *, epoch, start=0, **options):
            batches = super().batches(batch_size, epoch=epoch, start=start, **options)
            for step, (images, labels) in enumerate(batches, epoch * self.steps(batch_size) + start):
                wrong = 100 <= step < 120 and step not in self.seen
                self.seen.add(step)
                yield images, (labels + 1) % 4 if wrong else labels

    events = []
    trained(tiny_config(sampler="uniform", lr=0.02, label_smoothing=0.0), images=Confused(), observer=events.append)
    rollbacks = [event for event in events if event["event"] == "rollback"]
    assert [(event["step"], event["lr_scale"]) for event in rollbacks] == [(100, 0.5)]
    assert "usual is" in rollbacks[0]["reason"]
    assert [event["loss"] for event in events if event["event"] == "train"][-1] < 1.0


def test_endless_divergence_ends_with_a_clear_error():
    class AlwaysNan(Images):
        def batches(self, *args, **options):
            return ((images * math.nan, labels) for images, labels in super().batches(*args, **options))

    with pytest.raises(RuntimeError, match=r"training diverges: loss nan after step 20.*rolled back 2 times, lower lr"):
        trained(tiny_config(sampler="uniform", max_rollbacks=2), images=AlwaysNan())


def test_a_loss_that_explodes_before_the_first_look_does_not_count_as_usual():
    """Finite, but a thousand times that before the first update: no later loss may be measured by it."""
    with pytest.raises(RuntimeError, match=r"training diverges: loss .* rolled back 2 times, lower lr"):
        trained(tiny_config(sampler="uniform", lr=1e6, clip_norm=None, max_rollbacks=2, warmup_fraction=0.0))


# ---- learning, distillation, optimizer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"sampler": "sandwich"}, {"sampler": "uniform"}, {"sampler": "fair"}, {"sampler": "sorted"}],
    ids=lambda settings: settings.get("sampler", "progressive_shrinking"),
)
def test_every_way_of_training_learns(settings):
    supernet = trained(tiny_config(**settings))
    images = Images()
    for architecture in (supernet.space.smallest(), supernet.space.largest()):
        supernet.activate(architecture)
        right = (supernet.train()(images.images).argmax(1) == images.labels).float().mean()
        assert right > 0.75  # chance is 0.25


def one_step_gradient(phase: Phase, config: TrainConfig, supernet: Supernet) -> dict[str, torch.Tensor]:
    """Gradient of the first step, read off an SGD step without momentum at rate 1."""
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}

    class OneBatch(Images):
        def steps(self, batch_size):
            return 1

    train(supernet, [phase], OneBatch(n=16), config, seed=0)
    return {name: before[name] - p.detach() for name, p in supernet.named_parameters()}


def test_in_place_distillation_sums_the_losses_of_the_definition():
    space = small_mobilenet_v3(image_size=8, channels=1, classes=4, stage_widths=(8,), strides=(1,))
    torch.manual_seed(0)
    supernet = Supernet(space)
    reference = Supernet(space)
    reference.load_state_dict(supernet.state_dict())
    config = TrainConfig(lr=1.0, momentum=0.0, weight_decay=0.0, clip_norm=None, label_smoothing=0.1, batch_size=16)
    phase = Phase(
        name="s", sampler=Sandwich(space=space, subnets=2), epochs=1, lr=1.0, warmup_fraction=0, distillation="in_place"
    )
    step = one_step_gradient(phase, config, supernet)

    (images, labels), *_ = Images(n=16).batches(16, epoch=0, seed=0)
    reference.train()
    reference.activate(space.largest())
    logits = reference(images)
    F.cross_entropy(logits, labels, label_smoothing=0.1).backward()
    reference.activate(space.smallest())
    F.cross_entropy(reference(images), logits.detach().softmax(1)).backward()
    for name, parameter in reference.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert torch.allclose(step[name], expected, atol=1e-5), name


def test_norms_and_biases_have_no_weight_decay():
    supernet = Supernet(tiny_space())
    decayed, plain = make_optimizer(supernet, TrainConfig(weight_decay=0.1)).param_groups
    assert decayed["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0.0
    names = {id(p): name for name, p in supernet.named_parameters()}
    assert all("norm" in names[id(p)] or "bias" in names[id(p)] for p in plain["params"])
    assert not any("norm" in names[id(p)] or "bias" in names[id(p)] for p in decayed["params"])


def test_learning_rate_rises_linearly_and_falls_as_a_cosine():
    phase = Phase(name="p", sampler=Fixed(architecture=tiny_space().largest()), epochs=1, lr=0.96, warmup_fraction=0.04)
    steps = 125 * 100
    assert lr_at(phase, 0, steps) == pytest.approx(0.03)  # published: from the rate of one of 32 processes
    assert lr_at(phase, 250, steps) == pytest.approx((0.03 + 0.96) / 2)
    assert lr_at(phase, 500, steps) == pytest.approx(0.96)
    assert lr_at(phase, 500 + 6000, steps) == pytest.approx(0.48)
    assert lr_at(phase, steps - 1, steps) == pytest.approx(0, abs=1e-6)


def test_weight_average_replaces_the_weights():
    plain = trained(tiny_config(sampler="uniform", epochs=4))
    averaged = trained(tiny_config(sampler="uniform", epochs=4, ema_decay=0.999))
    torch.manual_seed(0)
    initial = Supernet(tiny_space())
    weight = "network.classifier.weight"
    moved = (averaged.state_dict()[weight] - initial.state_dict()[weight]).norm()
    assert 0 < moved < 0.1 * (plain.state_dict()[weight] - initial.state_dict()[weight]).norm()


# ---- phases ---------------------------------------------------------------------------------------------------------


def test_published_schedule_is_reproduced():
    """Once-for-All, arXiv 1908.09791, appendix B; epochs include the warm-up."""
    schedule = progressive_shrinking(ofa_mobilenet_v3(), epochs=605, lr=2.6)
    rows = [(p.name, p.sampler.subnets, round(p.epochs, 6), round(p.lr, 6), p.distillation, p.sort) for p in schedule]
    assert rows == [
        ("full", 1, 180, 2.6, "none", False),
        ("kernel", 1, 125, 0.96, "teacher", False),
        ("depth 1", 2, 25, 0.08, "teacher", False),
        ("depth 2", 2, 125, 0.24, "teacher", False),
        ("width 1", 4, 25, 0.08, "teacher", True),
        ("width 2", 4, 125, 0.24, "teacher", True),
    ]
    assert [round(p.warmup_fraction * p.epochs) for p in schedule] == [0, 5, 0, 5, 0, 5]
    opened = [{d.name: d.choices for d in p.sampler.space.decisions} for p in schedule]
    block = "stage2.block1"
    assert [o[f"{block}.kernel"] for o in opened] == [(7,), *[(3, 5, 7)] * 5]
    assert [o["stage2.depth"] for o in opened] == [(4,), (4,), (3, 4), *[(2, 3, 4)] * 3]
    assert [o[f"{block}.expand"] for o in opened] == [*[(6,)] * 4, (4, 6), (3, 4, 6)]
    assert schedule[4].trained_widths == ()
    assert set(schedule[5].trained_widths) == {4, 6}
    assert not any(p.average_losses for p in schedule)
    assert all(p.fresh_optimizer and (p.lr_from, p.lr_to) == (0, 1) for p in schedule)


def test_published_settings_are_the_defaults_of_the_published_schedule():
    """Those of the released train_ofa_net.py; none of them clips, averages weights, or changes its batches."""
    config = TrainConfig(schedule="progressive_shrinking")
    assert (config.optimizer, config.momentum, config.weight_decay) == ("sgd", 0.9, 3e-5)
    assert (config.label_smoothing, config.kd_weight, config.sampler) == (0.1, 1.0, "uniform")
    assert (config.largest_norm, config.ema_decay, config.examples, config.split) == (None, None, "uniform", None)
    asked, published = (
        phases(ofa_mobilenet_v3(), replace(config, epochs=605, lr=2.6)),
        progressive_shrinking(ofa_mobilenet_v3()),
    )
    assert [(p.name, p.epochs, p.lr) for p in asked] == [(p.name, p.epochs, p.lr) for p in published]
    assert TrainConfig().largest_norm == 5
    assert TrainConfig(schedule="progressive_shrinking", clip_norm=2.0).largest_norm == 2
    assert TrainConfig(clip_norm=None).largest_norm is None


def test_phases_that_add_nothing_are_left_out():
    space = small_mobilenet_v3(kernels=(3,), depths=(1, 2), expands=(2, 3, 4))
    schedule = progressive_shrinking(space, epochs=100)
    assert [phase.name for phase in schedule] == ["full", "depth 2", "width 1", "width 2"]
    assert sum(phase.epochs for phase in schedule) == pytest.approx(100)


def halves(phase: Phase) -> list[Phase]:
    """The phase in two, with one cosine and one optimizer."""
    first = replace(phase, epochs=phase.epochs / 2, lr_to=0.5)
    return [first, replace(first, lr_from=0.5, lr_to=1.0, fresh_optimizer=False)]


def test_two_phases_of_one_cosine_and_one_optimizer_equal_one_phase():
    config = tiny_config(sampler="uniform", epochs=8)
    (phase,) = phases(tiny_space(), config)
    trained_in = {}
    for name, schedule in {"one": [phase], "two": halves(phase)}.items():
        torch.manual_seed(0)
        trained_in[name] = train(Supernet(tiny_space()), schedule, Images(), config)
    assert_same_weights(*trained_in.values())


def test_learned_samplers_are_told_the_progress_of_the_cosine():
    class Told(Fixed):
        progress: ClassVar[list[float]] = []

        def observe(self, architectures, network):
            assert any(p.grad is not None for p in network.parameters())

        def end_epoch(self, progress):
            self.progress.append(progress)
            return {}

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    config = tiny_config(sampler="uniform", epochs=8)
    (phase,) = phases(tiny_space(), config)
    told = Told(architecture=tiny_space().largest())
    train(Supernet(tiny_space()), halves(replace(phase, sampler=told)), Images(), config)
    assert told.progress == pytest.approx([epoch / 8 for epoch in range(8)])


def test_a_training_goes_on_with_the_optimizer_of_another(tmp_path):
    class SameBatch(Images):
        """One batch, whatever the epoch."""

        def batches(self, batch_size, *, epoch, seed, **options):
            return super().batches(batch_size, epoch=0, seed=0, **options)

    space = small_mobilenet_v3(image_size=8, channels=1, classes=4, stage_widths=(8,), strides=(1,))
    config = tiny_config(sampler="uniform", epochs=8)
    fixed = Fixed(architecture=space.largest())
    first, second = halves(Phase(name="p", sampler=fixed, epochs=8, lr=0.05, warmup_fraction=0.0))
    torch.manual_seed(0)
    supernet = Supernet(space)
    whole, other = deepcopy(supernet), deepcopy(supernet)
    train(whole, [first, second], SameBatch(n=16), config)
    train(other, [first], SameBatch(n=16), config, folder=tmp_path)
    forgetful = deepcopy(other)
    state = final_optimizer_state(tmp_path, torch.device("cpu"))
    train(other, [second], SameBatch(n=16), config, optimizer_state=state)
    assert_same_weights(whole, other)
    train(forgetful, [second], SameBatch(n=16), config)
    weight = "network.classifier.weight"
    assert not torch.equal(forgetful.state_dict()[weight], whole.state_dict()[weight])


def test_the_optimizer_of_an_unfinished_training_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no checkpoint"):
        final_optimizer_state(tmp_path, torch.device("cpu"))
    with pytest.raises(Interrupted):
        trained(tiny_config(sampler="uniform"), folder=tmp_path, observer=StopsAt(2))
    with pytest.raises(ValueError, match="not finished: step 40 of 144"):
        final_optimizer_state(tmp_path, torch.device("cpu"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr_from": 0.5, "lr_to": 0.5}, "lr_from must be from 0 and below lr_to up to 1, got 0.5 and 0.5"),
        ({"sort": True, "fresh_optimizer": False}, "fresh_optimizer must be true where channels are sorted"),
    ],
)
def test_impossible_phases_are_refused(change, message):
    fixed = Fixed(architecture=tiny_space().largest())
    with pytest.raises(ValueError, match=message):
        Phase(name="p", sampler=fixed, epochs=1, lr=0.1, warmup_fraction=0.0, **change)


def test_progressive_shrinking_gives_every_phase_its_own_learned_sampler():
    space = tiny_space()
    schedule = phases(space, tiny_config(schedule="progressive_shrinking", sampler="path_adaptive"))
    samplers = [phase.sampler for phase in schedule]
    assert all(isinstance(sampler, PathAdaptive) for sampler in samplers)
    assert len({id(sampler) for sampler in samplers}) == len(schedule)
    assert [sampler.subnets for sampler in samplers] == [1, 1, 2, 4, 4]
    assert samplers[0].draw(np.random.default_rng(0)) == [space.largest()]


# ---- samplers -------------------------------------------------------------------------------------------------------


def test_uniform_shares_the_resolution_within_a_step():
    space = ofa_mobilenet_v3(resolutions=tuple(range(128, 225, 4)))
    sampler = Uniform(space=space, subnets=4)
    steps = [sampler.draw(np.random.default_rng(i)) for i in range(40)]
    assert all(len({a["resolution"] for a in step}) == 1 for step in steps)
    assert len({step[0]["resolution"] for step in steps}) > 10
    assert all(len(set(step)) == 4 for step in steps)


def test_sandwich_starts_with_the_largest_and_ends_with_the_smallest():
    space = tiny_space()
    drawn = Sandwich(space=space, subnets=4).draw(np.random.default_rng(0))
    assert (drawn[0], drawn[-1]) == (space.largest(), space.smallest())
    assert len(drawn) == 4
    with pytest.raises(ValueError, match=r"subnets must be at least 2 for a sandwich, .* got 1"):
        Sandwich(space=space, subnets=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be more than 0, got 0"),
        ({"lr": -1}, "lr must be more than 0, got -1"),
        ({"momentum": 1}, "momentum must be from 0 to below 1, got 1"),
        ({"clip_norm": 0}, "clip_norm must be more than 0, auto or null, got 0"),
        ({"clip_norm": "five"}, "clip_norm must be more than 0, auto or null, got 'five'"),
        ({"schedule": "shrinking"}, "schedule must be whole, progressive_shrinking or adapted, got 'shrinking'"),
        ({"sampler": ""}, "sampler must be the name of a sampler, got ''"),
        ({"examples": "some"}, "examples must be uniform, balanced or importance, got 'some'"),
        ({"example_weights": True}, "example_weights must be false unless examples is importance, got True"),
        ({"subnets_per_step": 0}, "subnets_per_step must be at least 1, or null, got 0"),
    ],
)
def test_bad_settings_name_field_value_and_what_is_allowed(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            (
                {"schedule": "progressive_shrinking", "sampler": sampler},
                f"sampler must be one that draws from parts .* uniform or path_adaptive, .* got '{sampler}'",
            )
            for sampler in ("fair", "sandwich", "shift", "sorted")
        ),
        ({"sampler": "sandwich", "subnets_per_step": 1}, "subnets must be at least 2 for a sandwich"),
        ({"sampler": "sandwiches"}, "sampler must be one of .*fair, .*path_adaptive, .* got 'sandwiches'"),
    ],
)
def test_samplers_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        phases(tiny_space(), TrainConfig(**change))
