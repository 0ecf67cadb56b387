"""Training with splits: the budget, what parts inherit, exact resume."""

import json
import multiprocessing
import os
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch import nn

from search_spaces import Decision, Input, Space
from search_spaces.elastic import ElasticChoice, with_shared_norms
from search_spaces.families.nasbench201 import nasbench201
from supernets import (
    Partition,
    Processes,
    SplitConfig,
    Supernet,
    TrainConfig,
    Uniform,
    load_supernet,
    phases,
    processes,
    train,
    train_few_shot,
)
from supernets.samplers import PathAdaptive
from supernets.training import few_shot
from supernets.training.few_shot_budget import Budget
from supernets.training.schedule import lr_at
from tests.killing import kill_after_progress
from tests.supernets.helpers import Images
from tests.supernets.transforms.test_split import blocks, members

CHOICES = ("skip", "pool", "small", "wide")
DECISIONS = ("first", "second", "third")


def operation(choice: str) -> nn.Module:
    if choice == "skip":
        return nn.Identity()
    if choice == "pool":
        return nn.AvgPool2d(3, 1, 1)
    kernel = 1 if choice == "small" else 3
    return nn.Sequential(nn.Conv2d(4, 4, kernel, padding=kernel // 2), nn.BatchNorm2d(4), nn.ReLU())


def chain() -> Space:
    """Three layers in a row, each one of four operations."""

    def build() -> nn.Module:
        layers = [ElasticChoice(name, {choice: operation(choice) for choice in CHOICES}) for name in DECISIONS]
        head = [nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)]
        return with_shared_norms(nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), *layers, *head))

    decisions = tuple(Decision(name, CHOICES) for name in DECISIONS)
    return Space(name="chain", decisions=decisions, inputs=(Input((1, 8, 8)),), build=build)


def config(**changes) -> TrainConfig:
    settings = {"epochs": 30, "batch_size": 16, "lr": 0.05, "warmup_fraction": 0.0, "checkpoint_every_s": 0}
    return TrainConfig(**{**settings, **changes})


def splitting(**changes) -> SplitConfig:
    return SplitConfig(**{"rounds": 2, "repeats": 1, **changes})


def trained(
    split: SplitConfig, settings: TrainConfig | None = None, *, space: Space | None = None, seed: int = 3, **options
) -> Partition:
    settings = settings or config()
    torch.manual_seed(0)
    supernet = Supernet(space or chain())

    def make_phases(part: Space, epochs: float):
        return phases(part, replace(settings, epochs=epochs))

    images = options.pop("images", None) or Images()
    return train_few_shot(supernet, make_phases, images, settings, split, seed=seed, **options)


def assert_same(a: Partition, b: Partition) -> None:
    assert a.tree() == b.tree()
    for (name, left), right in zip(a.state_dict().items(), b.state_dict().values()):
        assert torch.equal(left, right), name


def gap(a: torch.nn.Module, b: torch.nn.Module) -> float:
    """How far apart the weights of two networks are, relative to their size."""
    one, other = (torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (a, b))
    return float((one - other).norm() / one.norm())


# ---- the tree and the budget ----------------------------------------------------------------------------------------


def test_a_training_with_splits_gives_a_supernet_of_all_architectures_in_parts(tmp_path):
    events = []
    partition = trained(splitting(), folder=tmp_path, observer=events.append)
    assert len(partition.leaves) == 4
    found = [a for leaf in partition.leaves for a in members(leaf.space)]
    assert len(found) == len(set(found)) == 64
    splits = [event for event in events if event["event"] == "split"]
    assert [event["part"] for event in splits] == [0, 1, 2]
    assert splits[-1]["tree"] == partition.tree()
    for event in splits:
        assert [len(group) for group in event["groups"]] == [2, 2]
        written = json.loads((tmp_path / f"part{event['part']}" / "split.json").read_text())
        assert (written["decision"], written["cut"]) == (event["decision"], event["cut"])
        assert np.array(written["distances"]).shape == (4, 4)
    assert not list(tmp_path.rglob("*.tmp"))


class Counted:
    """Counts what runs forward with gradients in the networks of a space."""

    def __init__(self) -> None:
        self.passes = 0

    def space(self) -> Space:
        plain = chain()

        def build() -> nn.Module:
            network = plain.build()
            network[0].register_forward_hook(self.count)
            return network

        return replace(plain, build=build)

    def __deepcopy__(self, memo: dict) -> "Counted":
        return self

    def count(self, *_) -> None:
        self.passes += torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("split", "settings"),
    [
        ({}, {}),
        ({"rounds": 1, "groups": None, "decisions": ["first"]}, {}),
        ({"rounds": 1, "shares": [0.5, 0.5], "repeats": 3}, {"epochs": 28.5}),
        ({"rounds": 1, "groups": 3, "restart": False}, {"epochs": 12, "sampler": "sandwich", "subnets_per_step": 3}),
        ({"rounds": 1}, {"epochs": 8, "sampler": "fair"}),
    ],
    ids=["twice", "exhaustive", "shares", "sandwich", "fair"],
)
def test_passes_are_those_of_a_training_without_splits(split, settings):
    """Forward passes counted where they run; with several subnets a step, up to one step."""
    settings = config(**settings)
    counted, whole = Counted(), Counted()
    trained(splitting(**split), settings, space=counted.space())
    schedule = phases(chain(), settings)
    torch.manual_seed(0)
    train(Supernet(whole.space()), schedule, Images(), settings, seed=3)
    per_step = len(schedule[0].sampler.draw(np.random.default_rng(0)))
    assert abs(counted.passes - whole.passes) < per_step


def test_a_budget_that_scoring_would_use_up_is_refused_before_anything_is_trained():
    with pytest.raises(ValueError, match=r"repeats must be lower or epochs more: of 180 passes in all, comparing"):
        trained(splitting(repeats=100))
    with pytest.raises(ValueError, match=r"decisions must allow 2 rounds of splits of chain, which takes 2"):
        trained(splitting(decisions=["first"]))
    with pytest.raises(ValueError, match=r"decisions must allow 1 rounds .* \['fourth'\] are 0 with 2 choices"):
        trained(splitting(rounds=1, decisions=["fourth"]))


def test_events_count_steps_over_the_whole_and_say_which_leaf_is_trained():
    events = []
    trained(splitting(), config(epochs=60), observer=events.append, validate=lambda leaf: {"random": 1.0})
    told = [event for event in events if event["event"] == "train"]
    steps = [event["step"] for event in events]
    assert steps == sorted(steps)
    assert {event["steps"] for event in told} == {360}
    assert told[-1]["step"] == 360
    assert told[-1]["epoch"] == 60
    assert {(event["leaf"], event["leaves"]) for event in told} == {(0, 1), (0, 2), (1, 2), *((i, 4) for i in range(4))}
    assert any(event["event"] == "validate" and event["leaves"] == 4 for event in events)


# ---- what parts begin with ------------------------------------------------------------------------------------------


def stages(monkeypatch, **changes) -> list[dict]:
    """What each training of a part was given: phase, weights before, optimizer state."""
    seen = []

    def recorded(leaf, schedule, *args, **options):
        before = {name: tensor.clone() for name, tensor in leaf.network.state_dict().items()}
        train(leaf, schedule, *args, **options)
        after = {name: tensor.clone() for name, tensor in leaf.network.state_dict().items()}
        seen.append({"phase": schedule[0], "before": before, "after": after, "state": options["optimizer_state"]})
        return leaf

    monkeypatch.setattr(few_shot, "train", recorded)
    trained(splitting(**changes))
    return seen


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_parts_inherit_weights_momentum_and_the_position_of_the_cosine(monkeypatch):
    first, *second, third, _, fifth, _ = stages(monkeypatch, restart=False)
    assert first["state"] is None
    for child in second:
        assert same(child["before"], first["after"])
        assert child["state"]["state"]
    assert same(third["before"], second[0]["after"])
    assert same(fifth["before"], second[1]["after"])
    position = [(s["phase"].lr_from, s["phase"].lr_to) for s in (first, second[0], third)]
    assert position[0] == pytest.approx((0, 0.7))  # by the shares of the budget, so that parts are left some rate
    assert position[1] == pytest.approx((0.7, 0.85))
    assert position[2] == pytest.approx((0.85, 1))


@pytest.mark.parametrize(("anneals", "end"), [(False, 50 / 90), (True, 1)])
def test_after_the_last_split_parts_restart_with_the_first_weights_and_a_cosine_of_their_own(monkeypatch, anneals, end):
    seen = stages(monkeypatch, restart=True, restart_anneals=anneals)
    position = [(one["phase"].lr_from, one["phase"].lr_to) for one in seen]
    assert position[0] == pytest.approx((0, 20 / 90))
    assert position[1] == position[2] == pytest.approx((20 / 90, 40 / 90))
    for last in seen[3:]:
        assert same(last["before"], seen[0]["before"])
        assert not same(last["before"], seen[1]["after"])
        assert last["state"] is None
        assert (last["phase"].lr_from, last["phase"].lr_to) == pytest.approx((0, end))
    assert not same(seen[3]["after"], seen[4]["after"])


def test_exhaustive_splits_give_every_choice_a_part_and_score_only_where_there_is_a_choice():
    events = []
    partition = trained(
        splitting(rounds=1, groups=None, decisions=["third"]), config(epochs=12), observer=events.append
    )
    assert [leaf.space.decisions[2].choices for leaf in partition.leaves] == [
        (choice,) for choice in chain().decisions[2].choices
    ]
    (split,) = [event for event in events if event["event"] == "split"]
    assert split["cut"] == 0
    scored = trained(splitting(rounds=1, groups=None, decisions=["third", "first"]), observer=events.append)
    assert len(scored.leaves) == 4
    assert events[-1]["step"] == 180
    assert [event for event in events if event["event"] == "split"][-1]["cut"] > 0


def test_samplers_of_parts_draw_from_their_part_and_learn_for_themselves():
    made = []

    def make_sampler(space: Space, subnets: int | None) -> PathAdaptive:
        made.append(PathAdaptive(space=space))
        return made[-1]

    settings = config(epochs=24)
    supernet = Supernet(chain())
    partition = train_few_shot(
        supernet,
        lambda part, epochs: phases(part, replace(settings, epochs=epochs), make_sampler),
        Images(),
        settings,
        splitting(rounds=1),
    )
    spaces = {sampler.space.decisions for sampler in made}
    assert spaces == {chain().decisions, *(leaf.space.decisions for leaf in partition.leaves)}


def test_progressive_shrinking_runs_inside_every_stage():
    settings = config(schedule="progressive_shrinking", epochs=24, checkpoint_every_s=30)
    events = []
    split = splitting(rounds=1, decisions=["*.kernel"], shares=[0.4, 0.6])
    partition = trained(split, settings, space=blocks(), observer=events.append)
    last = [event["phase"] for event in events if event["event"] == "train" and event["leaves"] == 2]
    assert {"full", "depth 2", "width 2"} <= set(last)
    found = [a for leaf in partition.leaves for a in members(leaf.space)]
    assert len(found) == len(set(found)) == blocks().count()


def test_parts_learn():
    partition = trained(splitting(rounds=1), config(epochs=60))
    images = Images()
    rights = []
    for seed in range(6):
        architecture = partition.space.sample(np.random.default_rng(seed))
        partition.train().activate(architecture)
        if "wide" in architecture.values():
            rights.append((partition(images.images).argmax(1) == images.labels).float().mean())
    assert np.mean(rights) > 0.5  # chance is 0.25


def test_weights_of_operations_that_a_part_lacks_are_not_trained():
    partition = trained(splitting(rounds=1, restart=True))
    begun, gaps = torch.manual_seed(0) and Supernet(chain()), []
    for leaf in partition.leaves:
        chosen = {decision.name: decision.choices for decision in leaf.space.decisions}
        for mine, fresh in zip(leaf.network.modules(), begun.network.modules()):
            if isinstance(mine, ElasticChoice):
                for choice in set(mine.choices) - set(chosen[mine.decision]):
                    if (operation := mine.operation(choice)) is not None and list(operation.parameters()):
                        gaps.append(gap(operation, fresh.operation(choice)))
    assert gaps
    assert set(gaps) == {0}


# ---- resume ---------------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def test_a_training_interrupted_anywhere_ends_like_one_that_was_not(tmp_path, monkeypatch):
    """Stopped by an event, in the middle of scoring, right before and right after a split is written."""
    split = splitting(restart=False)
    whole = trained(split)

    def stopping(name: str, at: int):
        left, real = [at], getattr(few_shot, name)

        def stop(*args, **options):
            left[0] -= 1
            if left[0] < 0:
                raise Interrupted
            return real(*args, **options)

        return stop

    for name, at in [("distances", 2), ("written_whole", 0), ("written_whole", 0), ("distances", 1), ("divided", 1)]:
        with monkeypatch.context() as patch:
            patch.setattr(few_shot, name, stopping(name, at))
            with pytest.raises(Interrupted):
                trained(split, folder=tmp_path)
    for events in (0, 1, 1):
        observed = iter(range(events))

        def observer(event, observed=observed):
            if next(observed, None) is None:
                raise Interrupted

        with pytest.raises(Interrupted):
            trained(split, folder=tmp_path, observer=observer)
    assert_same(whole, trained(split, folder=tmp_path))
    events = []
    assert_same(whole, trained(split, folder=tmp_path, observer=events.append))
    assert not events


KILLED = splitting(repeats=8)
PLENTY = config(epochs=150)


def _train_in_process(folder: str) -> None:
    """Touches the file `scoring` whenever the choices of a decision are about to be compared."""
    torch.set_num_threads(1)
    real = few_shot.distances

    def distances(*args, **options) -> np.ndarray:
        (Path(folder) / "scoring").write_text(args[1])
        return real(*args, **options)

    few_shot.distances = distances
    trained(KILLED, PLENTY, folder=Path(folder)).save(Path(folder) / "final.safetensors")


@pytest.mark.integration
def test_training_killed_before_during_and_after_a_split_ends_with_the_same_weights(tmp_path):
    """SIGKILL in a stage, in the middle of scoring, and after a split; bit for bit the weights of an unkilled run."""
    torch.set_num_threads(1)
    for place, delay in (("part0/checkpoint.pt", 0.02), ("scoring", 0.01), ("part1/checkpoint.pt", 0.05)):
        kill_after_progress(_train_in_process, tmp_path, tmp_path / place, delay)
        assert (tmp_path / "part0" / "split.json").exists() == place.startswith("part1")
    process = multiprocessing.get_context("spawn").Process(target=_train_in_process, args=(str(tmp_path),))
    process.start()
    whole = trained(KILLED, PLENTY)
    process.join()
    resumed = Partition(chain(), whole.parts)
    resumed.load(tmp_path / "final.safetensors")
    assert_same(whole, resumed)


def test_a_folder_of_another_split_or_a_damaged_one_is_refused(tmp_path):
    split = splitting(rounds=1)
    trained(split, folder=tmp_path)
    with pytest.raises(ValueError, match=r"split.json is of a training with another seed or other settings"):
        trained(replace(split, choose="least_within"), folder=tmp_path)
    (tmp_path / "part0" / "split.json").write_text("{")
    with pytest.raises(ValueError, match=r"split.json can't be read as a split .* delete it to split again"):
        trained(split, folder=tmp_path)


# ---- several processes ----------------------------------------------------------------------------------------------


def _train_together(siblings: Processes | None, folder: Path | None) -> Partition:
    images = Images()
    images.images = images.images.double()  # so that nothing but rounding in the last digits is left to differ
    settings = config(momentum=0.0, clip_norm=None, epochs=12, checkpoint_every_s=30)
    torch.manual_seed(0)
    supernet = Supernet(chain()).double()

    def make_phases(part: Space, epochs: float):
        return phases(part, replace(settings, epochs=epochs))

    split = splitting(rounds=1, restart=False)
    return train_few_shot(supernet, make_phases, images, settings, split, folder=folder, processes=siblings)


def _worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with processes(torch.device("cpu")) as siblings:
        partition = _train_together(siblings, Path(folder) / "train")
        partition.save(Path(folder) / f"rank{rank}")


@pytest.mark.integration
def test_two_processes_split_and_train_as_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_worker, args=(port, str(tmp_path)), nprocs=2)
    whole = _train_together(None, None)
    first, second = (load_file(tmp_path / f"rank{rank}") for rank in (0, 1))
    assert load_supernet(chain(), tmp_path / "rank0").tree() == whole.tree()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(first[name], second[name]), f"{name} differs between the processes"
        assert torch.allclose(first[name], tensor, rtol=1e-7, atol=1e-9), name


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"groups": 1}, "groups must be at least 2, or null, got 1"),
        ({"shares": [0.5, 0.5]}, r"shares must be 3 numbers above 0 \(rounds \+ 1\) that add up to 1, or null"),
        ({"shares": [0.5, 0.2, 0.2]}, "shares must be 3 numbers"),
        ({"distance": "far"}, "distance must be cosine, filter_cosine or mse, got far"),
        ({"others": "all"}, "others must be random or relaxed, got all"),
        ({"repeats": 0}, "repeats must be at least 1, or null, got 0"),
        ({"decisions": []}, "decisions must be one or more names or patterns"),
        ({"choose": "any"}, "choose must be largest_cut or least_within, got any"),
    ],
)
def test_bad_settings_name_field_value_and_what_is_allowed(change, message):
    with pytest.raises(ValueError, match=message):
        SplitConfig(**change)


def test_the_published_settings_are_the_default():
    default = SplitConfig()
    assert (default.rounds, default.groups, default.restart, default.restart_anneals) == (2, 2, True, False)
    assert (default.distance, default.others, default.choose) == ("cosine", "random", "largest_cut")
    assert Uniform(space=chain()).subnets == 1
    long = Budget.of(chain(), phases(chain(), config(epochs=10_000)), 6, default)
    assert long.repeats == 100


# ---- how long stages train -----------------------------------------------------------------------------------------


def budget_of(split: SplitConfig, passes: int) -> Budget:
    """The budget of so many steps with one subnet on NAS-Bench-201: six edges with five operations."""
    space = nasbench201(width=4, cells=1, image_size=8)
    return Budget.of(space, phases(space, TrainConfig(epochs=passes)), 1, split)


def test_few_shot_gives_the_whole_seventy_percent_and_its_five_parts_the_rest():
    """Second implementation: every number by hand, for the 7,020 passes of the small ranking table."""
    found = budget_of(SplitConfig(rounds=1, groups=None, restart=False), 7_020)
    one_batch = 6 * 5  # every operation of every edge once
    repeats = 7_020 // 10 // one_batch
    training = 7_020 - repeats * one_batch
    assert (found.repeats, found.reserved) == (repeats, repeats * one_batch) == (23, 690)
    assert [(stage.parts, stage.steps) for stage in found.stages] == [(1, 7 * training // 10), (5, 3 * training // 50)]
    assert found.progress == pytest.approx((0, 0.7, 1))
    assert found.training_until(0, 0) == pytest.approx(0.7 * training)


def test_gradient_matching_spends_what_its_published_epochs_say_of_what_scoring_leaves():
    """Second implementation: 20 + 2 x 20 + 4 x 50 epochs; the second round compares five edges in each of two parts."""
    found = budget_of(SplitConfig(), 7_020)
    one_batch = 6 * 5 + 2 * 5 * 5
    assert (found.repeats, found.reserved) == (8, 8 * one_batch)
    epoch = (7_020 - 8 * one_batch) / 260
    expected = [(1, int(20 * epoch)), (2, int(20 * epoch)), (4, int(50 * epoch))]
    assert [(stage.parts, stage.steps) for stage in found.stages] == expected


def test_repeats_that_are_asked_for_are_not_changed():
    assert budget_of(SplitConfig(repeats=40), 7_020).repeats == 40
    with pytest.raises(ValueError, match="comparing choices takes 8000, and the rest is too little"):
        budget_of(SplitConfig(repeats=100), 7_020)
    assert budget_of(SplitConfig(rounds=1, groups=None, decisions=["edge0_1"]), 100).reserved == 0


def test_restarted_parts_end_at_the_rate_of_the_released_schedule():
    """Second implementation: the scheduler of the released command, T_max 90, eta_min 0.001, of which 50 epochs run."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.025)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 90, eta_min=0.001)
    released = []
    for _ in range(50):
        released.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    begin, end = budget_of(SplitConfig(), 7_020).progress[-2:]
    (phase,) = phases(chain(), TrainConfig(epochs=50, lr=0.025, lr_end=0.001, warmup_fraction=0.0))
    stretch = replace(phase, lr_to=end - begin)
    assert [lr_at(stretch, step, 50) for step in range(50)] == pytest.approx(released)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0109, abs=1e-4)  # not 0.001: the cosine is cut


def test_a_training_says_once_how_long_its_stages_are(tmp_path):
    events = []
    trained(splitting(), folder=tmp_path, observer=events.append)
    trained(splitting(), folder=tmp_path, observer=events.append)
    (plan,) = [event for event in events if event["event"] == "split_plan"]
    last = {event["part"]: event for event in events if event["event"] == "train"}
    assert plan["stages"][0] == {"parts": 1, "steps": (180 - 28) // 13}
    assert (plan["passes"], plan["repeats"], plan["scoring"]) == (180, 1, 28)
    assert len(last) == 1 + 2 + 4
