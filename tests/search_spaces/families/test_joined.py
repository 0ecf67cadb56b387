"""Networks and sub-accelerators as one space."""

from itertools import combinations_with_replacement, product

import numpy as np
import pytest
import torch

from search_spaces import InvalidArchitecture, Space
from search_spaces.accelerators.sub_accelerator import SubAccelerators
from search_spaces.elastic import governed
from search_spaces.errors import FieldError
from search_spaces.families.conv_macro import conv_macro
from search_spaces.families.joined import Costs, joined
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.joined_parts import Part
from supernets import Supernet
from tests.supernets.helpers import scrambled

SMALL = {"pes": [64, 128], "bandwidths": [8, 16], "most_pes": 192, "most_bandwidth": 24}


def small_macro() -> Space:
    return nasbench_macro(width=4, depths=(1, 2), head_width=8, image_size=16)


def pair(**options) -> Space:
    """Two networks that are alike, another one, and two sub-accelerators."""
    parts = {"net": Part(name="net", space=small_macro(), times=2), "other": conv_macro(image_size=16)}
    return joined(parts=parts, **{"accelerators": SMALL, **options})


@pytest.fixture(scope="module")
def space() -> Space:
    return pair()


def test_count_is_that_of_unordered_networks_and_of_allocations_within_the_budget(space):
    kinds = [*product(("dla", "shi", "rs"), (64, 128), (8, 16)), ("", 0, 0)]
    allocations = sum(
        0 < first[1] + second[1] <= 192 and first[2] + second[2] <= 24
        for first, second in combinations_with_replacement(kinds, 2)
    )
    assert SubAccelerators(**{name: tuple(v) if isinstance(v, list) else v for name, v in SMALL.items()}).allocations()
    assert space.count() == 27 * 28 // 2 * 6_561 * allocations


def test_what_differs_in_the_order_of_what_is_alike_is_one(space):
    generator = np.random.default_rng(0)
    for _ in range(30):
        one = dict(space.sample(generator))
        swapped = {
            f"net{'21'[int(name[3]) - 1]}.{name[5:]}" if name.startswith("net") else name: one[name] for name in one
        }
        assert space.architecture(swapped) == space.architecture(one)
        turned = {
            f"accelerator{'21'[int(name[11]) - 1]}.{name[13:]}" if name.startswith("accelerator") else name: value
            for name, value in one.items()
        }
        assert space.architecture(turned) == space.architecture(one)


def test_nothing_drawn_has_more_than_there_is(space):
    generator = np.random.default_rng(1)
    for architecture in (space.decode(row) for row in space.sample_encodings(300, generator)):
        assert 0 < sum(int(architecture[f"accelerator{i}.pes"]) for i in (1, 2)) <= 192
        assert sum(int(architecture.get(f"accelerator{i}.bandwidth", 0)) for i in (1, 2)) <= 24
    whole = joined()
    for architecture in (whole.decode(row) for row in whole.sample_encodings(200, generator)):
        assert 0 < sum(int(architecture[f"accelerator{i}.pes"]) for i in (1, 2)) <= 4096
        assert sum(int(architecture.get(f"accelerator{i}.bandwidth", 0)) for i in (1, 2)) <= 64


def test_too_much_and_nothing_at_all_are_refused(space):
    largest = dict(space.largest())
    whole = {"pes": 128, "dataflow": "dla", "bandwidth": 8}
    both = {f"accelerator{i}.{name}": value for i in (1, 2) for name, value in whole.items()}
    with pytest.raises(InvalidArchitecture, match="all sub-accelerators have 256 PEs, at most 192 are there"):
        space.architecture(largest | both)
    rates = {f"accelerator{i}.bandwidth": 16 for i in (1, 2)} | {f"accelerator{i}.pes": 64 for i in (1, 2)}
    with pytest.raises(InvalidArchitecture, match="have 32 bytes for each cycle, at most 24 are there"):
        space.architecture(largest | both | rates)
    with pytest.raises(InvalidArchitecture, match="no sub-accelerator is used"):
        space.architecture(largest | {f"accelerator{i}.pes": 0 for i in (1, 2)})
    with pytest.raises(InvalidArchitecture, match=r"net1\.layer1 = 'wide' is not one of"):
        space.architecture(largest | {"net1.layer1": "wide"})


def test_costs_are_those_of_the_networks_and_of_the_schedule(space):
    generator = np.random.default_rng(2)
    drawn = [space.sample(generator) for _ in range(5)]
    found = space.costs(drawn)
    parts = {"net1": small_macro(), "net2": small_macro(), "other": conv_macro(image_size=16)}
    assert isinstance(space.cost, Costs)
    accelerated = space.cost.accelerated
    for row, architecture in enumerate(drawn):
        for cost in ("params", "macs"):
            own = sum(
                int(
                    one.costs([{k[len(name) + 1 :]: v for k, v in architecture.items() if k.startswith(f"{name}.")}])[
                        cost
                    ][0]
                )
                for name, one in parts.items()
            )
            assert found[cost][row] == own
        lines = accelerated.schedule(architecture)
        assert max(line.end for line in lines) == found["cycles"][row]
        assert sum(line.shape.macs for line in lines) == found["macs"][row]
        assert {line.network for line in lines} == set(parts)
        used = {name for name in ("accelerator1", "accelerator2") if architecture[f"{name}.pes"]}
        assert {line.accelerator for line in lines} <= used


def test_a_deadline_is_kept_for_more_energy(space):
    drawn = space.sample_encodings(60, np.random.default_rng(3))
    free = space.costs(drawn)
    deadline = float(np.median(free["cycles"]))
    kept = pair(deadline_cycles=deadline).costs(drawn)
    assert (kept["cycles"] <= deadline).sum() > (free["cycles"] <= deadline).sum()
    assert (kept["energy_nj"] >= free["energy_nj"]).all()
    assert (kept["area_um2"] == free["area_um2"]).all()
    in_time = free["cycles"] <= deadline
    assert (kept["energy_nj"] == free["energy_nj"])[in_time].all()


def test_members_that_are_alike_share_weights_and_follow_their_own_decisions(space):
    supernet = scrambled(Supernet(space)).eval()
    generator = np.random.default_rng(4)
    first, second = (small_macro().sample(generator) for _ in range(2))
    values = (
        dict(space.largest()) | {f"net1.{k}": v for k, v in first.items()} | {f"net2.{k}": v for k, v in second.items()}
    )
    architecture = space.architecture(values)
    supernet.activate(architecture)
    x = torch.randn(2, 3, 16, 16)
    inner = supernet.network.parts["net"].network
    outputs = supernet(x)
    alone = Supernet(small_macro(), inner).eval()
    for place, name in enumerate(("net1", "net2")):
        alone.activate(small_macro().architecture({k[5:]: v for k, v in architecture.items() if k.startswith(name)}))
        assert torch.equal(alone(x), outputs[:, place])


def test_governed_decisions_are_called_as_in_the_joined_space(space):
    names = {decision for decision, _, _ in governed(Supernet(space))}
    assert names <= {decision.name for decision in space.decisions}
    assert {"net1.layer1", "net2.layer1", "other.conv1.width"} <= names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": {}}, "parts must name at least one network"),
        ({"parts": {"a": {"nmae": "darts"}}}, "parts must be mappings of name, options, times; a is"),
        ({"parts": {"a": {"name": "darts", "times": 0}}}, "parts must have times from 1 to 8"),
        ({"parts": {"a.b": small_macro()}}, "parts must be called by letters, digits and '_', got 'a.b'"),
        ({"parts": {"accelerator1": small_macro()}}, "parts must have names of their own"),
        ({"accelerators": {"pe": 3}}, "accelerators has no option 'pe'; allowed: count, dataflows"),
        ({"accelerators": {"dataflows": ["dlb"]}}, "accelerators dataflows must be distinct and among dla, shi, rs"),
        ({"accelerators": {"most_pes": 3}}, "accelerators most_pes must be at least the least of pes"),
        ({"deadline_cycles": 0}, "deadline_cycles must be more than 0, got 0"),
        ({"parts": {"a": small_macro(), "b": conv_macro()}}, "parts must take the same inputs; a and b take"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(FieldError) as caught:
        joined(**{"parts": {"a": small_macro()}, **options})
    assert str(caught.value).startswith(message)
