"""Trainings that learn the architecture with the weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import Architecture, Decision, Input, Space
from search_spaces.elastic import ElasticLinear, Size
from search_spaces.errors import FieldError
from search_spaces.families.darts import darts
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.relaxing import relaxing
from supernets import Classification, Supernet, TrainConfig, phases, train
from supernets.learned import sparsemax
from supernets.loading import load_supernet
from supernets.training.halves import Halves
from supernets.training.relaxation_config import METHODS, MODES, RelaxationConfig
from supernets.training.relaxed import Noise, Relaxed
from supernets.training.steps.bilevel import BilevelStep
from supernets.whole_file import InvalidFile
from tests.killing import kill_after_progress
from tests.supernets.helpers import Images, tiny_mobilenet

RELAXED = RelaxationConfig(lr=0.05)


def tiny_config(relaxation: RelaxationConfig = RELAXED, **changes) -> TrainConfig:
    settings = {"epochs": 2, "batch_size": 16, "lr": 0.05, "checkpoint_every_s": 0, "warmup_fraction": 0.0}
    return TrainConfig(**{**settings, **changes}, relaxation=relaxation)


def one_stage(**options) -> Space:
    return tiny_mobilenet(**{"stage_widths": (8,), "strides": (2,), "squeeze_excite": (True,), **options})


def trained(config: TrainConfig, *, folder: Path | None = None, images=None, space=None, **options) -> Supernet:
    torch.manual_seed(0)
    space = one_stage(dropout=0.1) if space is None else space
    made = phases(space, config)
    return train(Supernet(space), made, images or Images(48), config, seed=3, folder=folder, **options)


def assert_same(one: Supernet, other: Supernet) -> None:
    for (name, left), right in zip(one.state_dict().items(), other.state_dict().values()):
        assert torch.equal(left, right), name
    assert (one.learned is None) == (other.learned is None)
    if one.learned is not None and other.learned is not None:
        assert all(torch.equal(row, other.learned.logits[name]) for name, row in one.learned.logits.items())


# ---- weights of choices ---------------------------------------------------------------------------------------------


def relaxed(method: str, **options) -> Relaxed:
    vectors = relaxing(tiny_mobilenet(kernels=(3, 5, 7)))
    return Relaxed(vectors, RelaxationConfig(method=method, **options), np.random.default_rng(0))


@pytest.mark.parametrize("method", METHODS)
def test_weights_add_up_to_one_and_repeat_with_their_noise(method):
    made, generator = relaxed(method), np.random.default_rng(1)
    with torch.no_grad():
        for logits in made.logits:
            logits.normal_(generator=torch.Generator().manual_seed(0))
    noise = made.noise(generator, temperature=0.5)
    weights, again = made.weights(noise), made.weights(noise)
    assert all(torch.equal(one, other) for one, other in zip(weights, again))
    for part in weights:
        assert torch.allclose(part.sum(1), torch.ones(len(part)), atol=1e-5)
        assert (part >= 0).all()
    other = made.weights(made.noise(generator, temperature=0.5))
    assert all(torch.equal(a, b) for a, b in zip(weights, other)) == (method not in ("gdas", "drnas"))
    setting = made.setting(weights, torch.zeros(()))
    assert {name for name in setting if isinstance(setting[name], dict)} == {v.name for v in made.vectors.all}
    for probabilities in made.learned().probabilities().values():
        assert probabilities.sum() == pytest.approx(1)


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    assert sparsemax(torch.tensor([[0.1, 0.3, 0.2]])).tolist()[0] == pytest.approx([0.2333333, 0.4333333, 0.3333333])
    assert sparsemax(torch.tensor([[2.0, 0.5, -1.0]])).tolist() == [[1.0, 0.0, 0.0]]
    logits = torch.tensor([[0.4, 0.1, -0.9, 0.3]]).double().requires_grad_()
    assert torch.autograd.gradcheck(sparsemax, [logits])


def test_gdas_runs_one_choice_with_weight_one_and_passes_gradients_to_all():
    made, generator = relaxed("gdas"), np.random.default_rng(0)
    weights = made.weights(made.noise(generator, temperature=2.0))
    setting = made.setting(weights, torch.zeros(()))
    for vector in made.vectors.all:
        ((_, weight),) = setting[vector.name].items()
        assert weight.item() == 1.0
    sum((part.sum(1) * torch.rand(len(part))).sum() for part in weights).backward()
    assert all((logits.grad != 0).all() for logits in made.logits)


def test_gdas_follows_its_probabilities():
    made, generator = relaxed("gdas"), np.random.default_rng(0)
    with torch.no_grad():
        for logits in made.logits:
            logits[:] = torch.linspace(0, 1.2, logits.shape[1])
    counts = [torch.zeros_like(logits) for logits in made.logits]
    for _ in range(400):
        weights = made.weights(made.noise(generator, temperature=0.5))
        counts = [count + part.detach() for count, part in zip(counts, weights)]
    for count, logits in zip(counts, made.logits):
        assert torch.allclose((count / 400).mean(0), logits[0].softmax(0), atol=0.05)


def test_gdas_draws_again_where_noise_is_not_finite_and_gives_up_where_logits_are_not():
    class Broken:
        def __init__(self):
            self.asked, self.real = 0, np.random.default_rng(0)

        def gumbel(self, size):
            self.asked += 1
            return np.full(size, np.inf) if self.asked == 1 else self.real.gumbel(size=size)

    made, generator = relaxed("gdas"), Broken()
    assert all(part.isfinite().all() for part in made.weights(made.noise(generator)))
    assert generator.asked > len(made.logits)
    with torch.no_grad():
        made.logits[0].fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="the logits have diverged"):
        made.noise(np.random.default_rng(0))


def test_drnas_draws_have_the_mean_of_their_distribution_and_a_pull_to_the_uniform_one():
    made = relaxed("drnas", decay=0.5)
    with torch.no_grad():
        for logits in made.logits:
            logits[:] = torch.linspace(-0.5, 1.5, logits.shape[1])
    draws = [made.weights(Noise(seed=seed))[0].detach() for seed in range(400)]
    expected = torch.from_numpy(next(iter(made.learned().probabilities().values()))).float()
    assert torch.allclose(torch.stack(draws).mean((0, 1)), expected, atol=0.04)
    concentrations = [nn.functional.elu(logits.detach()) + 1 for logits in made.logits]
    squared = sum(float((one - 1).square().sum()) for one in concentrations)
    assert made.regulariser().item() == pytest.approx(0.25 * squared, rel=1e-4)
    assert relaxed("softmax").regulariser() is None


# ---- two parts of the examples --------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2])
def test_weights_and_logits_never_see_the_same_examples(processes):
    halves = Halves(103, 0.3, batch_size=20, seed=5, world_size=processes)
    of_weights, of_logits, local = set(), set(), 20 // processes
    for epoch in range(4):
        order = halves.order(epoch)
        assert order.shape == (103,)
        assert torch.equal(order, Halves(103, 0.3, batch_size=20, seed=5, world_size=processes).order(epoch))
        for begin in range(0, 100, local):
            first, second = halves.divided((order[begin : begin + local],))
            assert (len(first[0]), len(second[0])) == (local - halves.second, halves.second)
            of_weights |= set(first[0].tolist())
            of_logits |= set(second[0].tolist())
    assert not of_weights & of_logits
    assert (len(of_weights), len(of_logits)) == (72, 31)
    assert not torch.equal(halves.order(0), halves.order(1))


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(FieldError, match="teacher must be null with a relaxation"):
        trained(tiny_config(), teacher=nn.Identity())
    with pytest.raises(FieldError, match="batch_size must be enough for two examples for the weights and two"):
        Halves(100, 0.1, batch_size=8, seed=0)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.92])
def test_settings_say_the_least_batch_that_can_be_divided(share):
    relaxation = RelaxationConfig(share=share)
    with pytest.raises(FieldError, match="two examples for the weights and two others, got 3") as refused:
        TrainConfig(batch_size=3, relaxation=relaxation)
    least = int(refused.value.text.split()[4])
    assert TrainConfig(batch_size=least, relaxation=relaxation).batch_size == least
    assert Halves(1000, share, batch_size=least, seed=0).second >= 2
    for fewer in range(2, least):
        with pytest.raises(FieldError, match="enough for two examples"):
            Halves(1000, share, batch_size=fewer, seed=0)


class Counting(Classification):
    """Classification that counts the examples whose loss is asked for."""

    seen = 0

    def loss(self, output, batch, **more):
        type(self).seen += len(batch[0])
        return super().loss(output, batch, **more)


@pytest.mark.parametrize("mode", [*MODES, "one_hot"])
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_step_runs_as_many_batches_as_the_settings_say(mode, share):
    named = {"method": "one_hot"} if mode == "one_hot" else {"method": "softmax", "hypergradient": mode, "terms": 2}
    relaxation = RelaxationConfig(share=share, **named)
    Counting.seen = 0
    trained(tiny_config(relaxation, epochs=1), images=Images(32), task=Counting())
    assert Counting.seen == 2 * 16 * relaxation.batches_of_step


# ---- the step -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["unrolled", "amended", "neumann"])
def test_no_second_part_is_first_order_to_the_last_bit(mode):
    first = trained(tiny_config(replace(RELAXED, method="softmax")))
    nothing = trained(tiny_config(replace(RELAXED, method="softmax", hypergradient=mode, eta=0.0)))
    assert_same(first, nothing)
    if mode == "amended":
        other = trained(tiny_config(replace(RELAXED, method="softmax", hypergradient=mode)))
        assert any(not torch.equal(row, first.learned.logits[name]) for name, row in other.learned.logits.items())


def step_of(config: TrainConfig, **options) -> BilevelStep:
    torch.manual_seed(0)
    return step_on(Supernet(one_stage(**options)), config)


def step_on(supernet: Supernet, config: TrainConfig) -> BilevelStep:
    relaxation = config.relaxation
    assert relaxation is not None
    task = Classification(label_smoothing=0.0)
    halves = Halves(48, relaxation.share, batch_size=16, seed=0)
    return BilevelStep(supernet=supernet, config=config, relaxation=relaxation, task=task, halves=halves)


def smooth() -> Space:
    """Perceptrons with smooth units and dropout."""
    widths = (Decision("first", (4, 8, 16)), Decision("second", (4, 8)))
    first, second = (Size(d.name, {choice: choice for choice in d.choices}) for d in widths)

    def build() -> nn.Module:
        layers = [ElasticLinear(6, first), nn.Tanh(), nn.Dropout(0.5), ElasticLinear(first, second), nn.Tanh()]
        return nn.Sequential(*layers, ElasticLinear(second, 4))

    return Space(name="smooth", decisions=widths, inputs=(Input((6,)),), build=build)


@pytest.mark.parametrize("mode", ["first", "unrolled", "amended", "neumann"])
def test_passes_for_the_logits_leave_weights_and_statistics_alone(mode):
    step = step_of(tiny_config(replace(RELAXED, hypergradient=mode)), dropout=0.3)
    images = Images(16)
    before = {name: tensor.clone() for name, tensor in step.supernet.state_dict().items()}
    logits = step.relaxed.state_dict()
    first, second = step.halves.divided((images.images, images.labels))
    noise = step.relaxed.noise(np.random.default_rng(0))
    step._learn(first, second, noise, seed=1, lr=0.05)
    assert all(torch.equal(tensor, before[name]) for name, tensor in step.supernet.state_dict().items())
    assert all(weight.grad is None for weight in step.supernet.parameters())
    assert any(not torch.equal(one, kept) for one, kept in zip(step.relaxed.logits, logits))


def test_differences_see_the_same_dropout():
    """With new dropout in each pass, the quotient would be noise a hundred times as large as the difference."""
    found = {}
    for exact in (False, True):
        torch.manual_seed(0)
        step = step_on(Supernet(smooth()), tiny_config(replace(RELAXED, hypergradient="amended", exact=exact)))
        generator = torch.Generator().manual_seed(0)
        batch = (torch.randn(16, 6, generator=generator), torch.arange(16) % 4)
        step._learn(*step.halves.divided(batch), step.relaxed.noise(np.random.default_rng(0)), seed=1, lr=0.05)
        found[exact] = float(step.cosines[0])
    assert abs(found[True]) < 0.999
    assert found[False] == pytest.approx(found[True], abs=0.01)


def test_layers_without_second_derivatives_are_told_of():
    step = step_of(tiny_config(replace(RELAXED, hypergradient="amended", exact=True)))
    images = Images(16)
    noise = step.relaxed.noise(np.random.default_rng(0))
    with pytest.raises(FieldError, match=r"relaxation.exact must be false .*aten::hardsigmoid_backward"):
        step._learn(*step.halves.divided((images.images, images.labels)), noise, seed=1, lr=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_logs_its_probabilities(method):
    events = []
    supernet = trained(tiny_config(replace(RELAXED, method=method, warmup_epochs=1)), observer=events.append)
    told = [event for event in events if event["event"] == "sampler"]
    if method == "one_hot":
        assert (told, supernet.learned) == ([], None)
        return
    assert [event["epoch"] for event in told] == [1, 2]
    names = {f"{v.name}/{choice}" for v in relaxing(supernet.space).all for choice in v.choices}
    assert told[-1]["probabilities"].keys() == names
    assert told[0]["probabilities"] != told[-1]["probabilities"]
    assert supernet.learned is not None
    assert supernet.learned.method == method


def test_the_cosine_of_both_parts_is_logged():
    events = []
    trained(tiny_config(replace(RELAXED, hypergradient="neumann", terms=1), epochs=2), observer=events.append)
    cosines = [event["gradients"]["cosine"] for event in events if event["event"] == "sampler"]
    assert len(cosines) == 2
    assert all(-1 <= cosine <= 1 for cosine in cosines)


@pytest.mark.parametrize(
    "space",
    [
        nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4, entangled=True, shared_affine=False),
        darts(width=2, cells=3, image_size=8, channels=1, classes=4, entangled=True),
    ],
    ids=["nasbench201", "darts"],
)
@pytest.mark.parametrize("method", ["drnas", "gdas"])
def test_cells_are_trained(space, method):
    supernet = trained(tiny_config(replace(RELAXED, method=method), epochs=1), space=space)
    found = supernet.learned.probabilities()
    assert found.keys() == {vector.name for vector in relaxing(space).all}
    scores = {name: np.log(p) for name, p in found.items()}
    assert isinstance(space.architecture(relaxing(space).values(scores)), Architecture)


def test_logits_learn_which_choice_is_better():
    """A choice that destroys the information of the images loses its probability."""
    space = nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4, shared_affine=False)
    config = tiny_config(RelaxationConfig(method="softmax", lr=0.2), epochs=3)
    supernet = trained(config, images=Images(96), space=space)
    assert supernet.learned.probabilities()["edge0_3"][0] < 0.15


# ---- files ----------------------------------------------------------------------------------------------------------


def test_logits_are_saved_with_the_supernet(tmp_path):
    supernet = trained(tiny_config(epochs=1))
    supernet.save(tmp_path / "supernet.safetensors")
    loaded = load_supernet(supernet.space, tmp_path / "supernet.safetensors")
    assert loaded.learned.method == "drnas"
    assert_same(supernet, loaded)
    Supernet(supernet.space).save(tmp_path / "plain.safetensors")
    assert load_supernet(supernet.space, tmp_path / "plain.safetensors").learned is None
    other = one_stage(expands=(1, 3))
    with pytest.raises(InvalidFile):
        load_supernet(other, tmp_path / "supernet.safetensors")


def test_a_resumed_training_gives_the_same_weights_and_logits(tmp_path):
    config = tiny_config(replace(RELAXED, method="gdas", hypergradient="amended"), epochs=3, ema_decay=0.9)
    whole = trained(config)

    class Interrupted(Images):
        def batches(self, *args, **options):
            for number, batch in enumerate(super().batches(*args, **options)):
                if options["epoch"] == 1 and number == 1:
                    raise KeyboardInterrupt
                yield batch

    with pytest.raises(KeyboardInterrupt):
        trained(config, folder=tmp_path, images=Interrupted(48))
    assert_same(whole, trained(config, folder=tmp_path))
    assert_same(whole, trained(config, folder=tmp_path))  # nothing is left to do


KILLED = tiny_config(replace(RELAXED, hypergradient="unrolled"), epochs=20)


def _run(folder: str) -> None:
    torch.set_num_threads(1)
    trained(KILLED, folder=Path(folder))


@pytest.mark.integration
def test_a_killed_training_gives_the_same_weights_and_logits(tmp_path):
    """SIGKILL; bit for bit the weights of a run that was never killed."""
    torch.set_num_threads(1)
    for delay in (0.0, 0.4):
        kill_after_progress(_run, tmp_path, tmp_path / "checkpoint.pt", delay)
    assert_same(trained(KILLED), trained(KILLED, folder=tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "sandwich"}, r"sampler must be uniform \(the default\) with train.relaxation, got 'sandwich'"),
        ({"examples": "balanced"}, "examples must be uniform"),
        ({"schedule": "progressive_shrinking"}, "schedule must be whole"),
        ({"subnets_per_step": 2}, r"subnets_per_step must be null \(the default\) with train.relaxation, got 2"),
        ({"teacher": "resnet18"}, r"teacher must be null \(the default\) with train.relaxation, got 'resnet18'"),
    ],
)
def test_settings_of_sampled_subnets_are_refused(changes, message):
    with pytest.raises(FieldError, match=message):
        tiny_config(**changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "bayes"}, "method must be one of softmax, sparsemax, gdas, drnas, one_hot, got 'bayes'"),
        ({"hypergradient": "third"}, "hypergradient must be one of first, unrolled, amended, neumann, got 'third'"),
        ({"share": 1.0}, "share must be between 0 and 1, got 1.0"),
        ({"eta": -1.0}, "eta must be 0 or more, or null, got -1.0"),
        ({"temperature_end": 20.0}, "temperature_end must be above 0 and up to temperature, got 20.0"),
        ({"method": "one_hot", "hypergradient": "amended"}, "hypergradient must be first with one_hot"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(FieldError, match=message):
        RelaxationConfig(**options)
