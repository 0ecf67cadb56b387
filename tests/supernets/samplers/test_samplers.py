"""The plain baselines: fair, sorted and shifted sampling."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from search_spaces import Architecture, Decision, Space
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench101 import nasbench101
from search_spaces.families.nasbench201_cell import OPERATIONS
from supernets import Fair, Sampler, Shift, Sorted, Supernet, TrainConfig, Uniform, phases, train
from supernets.samplers.sampler import exact_cost
from tests.supernets.helpers import Images
from tests.supernets.samplers.test_path_adaptive import CELLS

SLICES = small_mobilenet_v3(image_size=8, channels=1, classes=4, stage_widths=(8, 16), strides=(1, 2))
UNEQUAL = Space(
    name="unequal",
    decisions=(Decision("a", (1, 2, 3, 4, 5)), Decision("b", ("x", "y")), Decision("c", (0, 1, 2))),
)

# ---- fair -----------------------------------------------------------------------------------------------------------


def test_every_step_uses_every_choice_of_every_decision_exactly_once():
    sampler = Fair(space=CELLS)
    for step in range(50):
        drawn = sampler.draw(np.random.default_rng(step))
        for decision in CELLS.decisions:
            assert sorted(str(a[decision.name]) for a in drawn) == sorted(OPERATIONS)


def test_permutations_are_drawn_anew_in_every_step_and_decisions_are_independent():
    generator = np.random.default_rng(0)
    steps = [tuple(a["edge0_1"] for a in Fair(space=CELLS).draw(generator)) for _ in range(60)]
    assert len(set(steps)) > 30
    pairs = {(a["edge0_1"], a["edge2_3"]) for i in range(60) for a in Fair(space=CELLS).draw(np.random.default_rng(i))}
    assert len(pairs) == 25


def test_fewer_choices_are_repeated_with_at_most_one_use_of_difference():
    sampler = Fair(space=UNEQUAL)
    assert sampler.subnets == 5
    seen = set()
    for step in range(40):
        drawn = sampler.draw(np.random.default_rng(step))
        for decision in UNEQUAL.decisions:
            uses = [sum(a[decision.name] == choice for a in drawn) for choice in decision.choices]
            assert max(uses) - min(uses) <= 1
            assert sum(uses) == 5
        seen.add(tuple(a["b"] for a in drawn))
    assert len(seen) > 4


def test_fair_sampling_needs_free_choices():
    with pytest.raises(ValueError, match="space must have free choices for fair sampling; nasbench101 has not"):
        Fair(space=nasbench101())


# ---- sorted ---------------------------------------------------------------------------------------------------------


def test_nested_subnets_form_a_chain_from_the_smallest_to_the_whole():
    for points in (None, 2, 7):
        nested = Sorted(space=SLICES, points=points).nested
        assert (nested[0], nested[-1]) == (SLICES.smallest(), SLICES.largest())
        assert len(nested) == (points or 3)
        for smaller, larger in pairwise(nested):
            indices = {d.name: d.choices.index for d in SLICES.decisions}
            assert all(indices[name](value) <= indices[name](larger[name]) for name, value in smaller.items())


def test_smaller_subnets_hold_the_first_weights_of_larger_ones():
    """Slices only: a smaller kernel is a transform of a larger one."""
    space = small_mobilenet_v3(
        image_size=8, channels=1, classes=4, stage_widths=(8, 16), strides=(1, 2), kernels=(3,), depths=(2,)
    )
    torch.manual_seed(0)
    supernet = Supernet(space)
    chain = [supernet.extract(architecture).state_dict() for architecture in Sorted(space=space).nested]
    shrunk = 0
    for smaller, larger in pairwise(chain):
        for name, tensor in smaller.items():
            assert torch.equal(tensor, larger[name][tuple(slice(n) for n in tensor.shape)]), name
            shrunk += tensor.shape != larger[name].shape
    assert shrunk > 10


def test_truncation_points_are_equally_likely():
    sampler = Sorted(space=SLICES, subnets=3)
    generator = np.random.default_rng(0)
    drawn = [a for _ in range(500) for a in sampler.draw(generator)]
    assert [round(drawn.count(a) / len(drawn), 1) for a in sampler.nested] == [0.3, 0.3, 0.3]


class Repeated(Sampler):
    """The same architecture `times` a step."""

    def __init__(self, architecture: Architecture, times: int) -> None:
        self.architectures = [architecture] * times

    def draw(self, generator):
        return self.architectures


def test_accumulating_the_same_subnet_equals_one_step_with_its_loss():
    from dataclasses import replace

    config = TrainConfig(sampler="sorted", epochs=1, batch_size=16, lr=0.05)
    (phase,) = phases(CELLS, config)
    assert phase.average_losses
    trained = []
    for times in (1, 4):
        torch.manual_seed(0)
        one = replace(phase, sampler=Repeated(CELLS.largest(), times))
        trained.append(train(Supernet(CELLS).double(), [one], DoubleImages(), config).state_dict())
    once, accumulated = trained
    for name, tensor in once.items():
        if "running" not in name:
            assert torch.allclose(tensor, accumulated[name], atol=1e-10), name


class DoubleImages(Images):
    def __init__(self) -> None:
        super().__init__()
        self.images = self.images.double()


# ---- shift ----------------------------------------------------------------------------------------------------------


def shifted(**options) -> Shift:
    return Shift(**{"space": SLICES, "cost": exact_cost(SLICES), "bins": 5, "pool": 200, **options})


def observe(sampler: Shift, architecture: Architecture, norm: float) -> None:
    """A step whose gradient has this norm."""
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.grad = torch.full((1, 1), norm)
    sampler.observe([architecture], layer)


def middle_of(sampler: Shift, bin_: int) -> Architecture:
    return sampler._members[bin_][0]


def test_every_bin_holds_architectures_of_its_costs():
    sampler = shifted()
    costs = exact_cost(SLICES)
    low, high = costs(SLICES.smallest()), costs(SLICES.largest())
    for bin_, members in enumerate(sampler._members):
        assert members
        for architecture in members:
            part = (costs(architecture) - low) / (high - low)
            assert bin_ / 5 - 1e-9 <= part <= (bin_ + 1) / 5 + 1e-9


def test_extreme_costs_are_drawn_where_uniform_sampling_leaves_them_out():
    """Ten independent choices of three: the sum of them is nearly normal."""
    toy = Space(name="toy", decisions=tuple(Decision(f"d{i}", (1, 2, 3)) for i in range(10)))

    def cost(architecture: Architecture) -> float:
        return float(sum(int(value) for value in architecture.values()))

    def extreme(sampler) -> float:
        generator = np.random.default_rng(0)
        costs = [cost(sampler.draw(generator)[0]) for _ in range(1000)]
        return float(np.mean([value < 12 or value >= 28 for value in costs]))

    assert extreme(Uniform(space=toy)) < 0.01
    assert extreme(Shift(space=toy, cost=cost, bins=10)) == pytest.approx(0.2, abs=0.04)


def test_a_bin_with_twice_the_gradient_becomes_likelier():
    sampler = shifted(warmup=0.0, floor=0.3)
    for bin_ in range(5):
        observe(sampler, middle_of(sampler, bin_), 2.0 if bin_ == 3 else 1.0)
    named = sampler.end_epoch(0.5)
    p = sampler.probabilities
    assert p[3] > 0.2
    assert p[3] == max(p)
    assert list(named.values()) == pytest.approx(p)
    for _ in range(50):
        sampler.end_epoch(0.5)
    assert sampler.probabilities.sum() == pytest.approx(1)
    assert sampler.probabilities.min() >= 0.3 / 5 - 1e-12


def test_bins_are_equally_likely_while_warming_up():
    sampler = shifted(warmup=0.5)
    observe(sampler, middle_of(sampler, 0), 5.0)
    observe(sampler, middle_of(sampler, 1), 1.0)
    sampler.end_epoch(0.4)
    assert sampler.probabilities == pytest.approx([0.2] * 5)
    sampler.end_epoch(0.6)
    assert sampler.probabilities[0] > 0.2


def test_one_bin_is_plain_uniform_training_bit_for_bit():
    def trained(**settings) -> dict:
        torch.manual_seed(0)
        config = TrainConfig(epochs=2, batch_size=16, lr=0.05, **settings)
        return train(Supernet(SLICES), phases(SLICES, config), Images(), config).state_dict()

    plain, shift = trained(sampler="uniform"), trained(sampler="shift", sampler_options={"bins": 1})
    assert all(torch.equal(tensor, shift[name]) for name, tensor in plain.items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sorted(space=SLICES, points=1), "points must be at least 2"),
        (lambda: shifted(bins=0), "bins must be at least 1, got 0"),
        (lambda: shifted(floor=1.5), "floor must be from 0 to 1, got 1.5"),
        (lambda: shifted(pool=3), "pool must be at least the number of bins, got 3"),
        (
            lambda: phases(CELLS, TrainConfig(sampler="sandwhich")),
            "prior, progressive_guidance, sandwich, shift, sorted, uniform, or made by you",
        ),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
