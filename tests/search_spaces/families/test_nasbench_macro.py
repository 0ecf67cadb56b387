"""NAS-Bench-Macro against the published table and figures."""

import csv
import gzip
import itertools

import numpy as np
import pytest
import torch

from search_spaces import InvalidArchitecture
from search_spaces.elastic import governed
from search_spaces.families.nasbench_macro import canonical_key, nasbench_macro, to_string
from supernets import Supernet
from tests.search_spaces.counting import counted_costs


@pytest.fixture(scope="module")
def every():
    """All 6,561 architectures."""
    space = nasbench_macro()
    return [space.decode(encoding) for encoding in itertools.product(range(3), repeat=8)]


@pytest.fixture(scope="module")
def rows(shared_data):
    with gzip.open(shared_data / "nasbench_macro" / "nb_macro_cifar10.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def test_string_of_every_architecture_round_trips(every):
    space = nasbench_macro()
    assert len(set(every)) == space.count() == 6_561
    assert all(space.read_row({"arch": to_string(a)}) == a for a in every)
    assert space.read_row({"arch": "00000001"}) == space.read_row({"arch": "x00000001"}) == every[1]


def test_costs_equal_all_rows_of_the_table(rows):
    space = nasbench_macro()
    costs = space.costs([space.read_row(row) for row in rows])
    assert len(rows) == 6_561
    assert costs["params"].tolist() == [int(row["params"]) for row in rows]
    assert costs["macs"].tolist() == [int(row["flops"]) for row in rows]


def test_canonical_key_has_the_published_count_is_idempotent_and_keeps_the_cost(every):
    space = nasbench_macro()
    keys = [canonical_key(a) for a in every]
    canonical = [space.read_row({"arch": key}) for key in keys]
    assert len(set(keys)) == 3_969
    assert [canonical_key(a) for a in canonical] == keys
    assert space.costs(canonical)["params"].tolist() == space.costs(every)["params"].tolist()
    assert space.costs(canonical)["macs"].tolist() == space.costs(every)["macs"].tolist()


def test_equal_canonical_keys_are_equal_rows_of_the_table(rows):
    space = nasbench_macro()
    accuracies: dict[str, set[str]] = {}
    for row in rows:
        accuracies.setdefault(canonical_key(space.read_row(row)), set()).add(row["mean_acc"])
    assert all(len(values) == 1 for values in accuracies.values())


@pytest.mark.parametrize(("a", "b"), [("x20201012", "x20210012"), ("x10012101", "x10012110")])
def test_equal_canonical_keys_are_equal_outputs_under_shared_weights(a, b):
    space = nasbench_macro(width=4, head_width=16, image_size=16)
    first, second = (space.read_row({"arch": digits}) for digits in (a, b))
    assert canonical_key(first) == canonical_key(second)
    one, two = space.subnet(first), space.subnet(second)
    two.load_state_dict(dict(zip(two.state_dict(), one.state_dict().values(), strict=True)))
    x = torch.randn(3, *space.inputs[0].shape)
    assert torch.allclose(one(x), two(x), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"width": 6, "depths": (1, 2), "head_width": 20, "image_size": 11}])
def test_analytic_cost_equals_that_of_the_built_network(options):
    space = nasbench_macro(**options)
    drawn = [space.smallest(), space.largest(), *(space.sample(np.random.default_rng(i)) for i in range(8))]
    costs = space.costs(drawn)
    counted = [counted_costs(space.subnet(architecture), space.inputs[0].shape) for architecture in drawn]
    assert counted == list(zip(costs["params"].tolist(), costs["macs"].tolist()))


@pytest.mark.parametrize("digits", ["x0000000", "x00000003", "000000000", ""])
def test_bad_strings_are_refused(digits):
    with pytest.raises(InvalidArchitecture, match="must be 8 digits from 0 to 2"):
        nasbench_macro().read_row({"arch": digits})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depths": (2, 0)}, r"depths must be .* got \(2, 0\)"), ({"width": 0}, "width must be at least 1, got 0")],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        nasbench_macro(**options)


def test_a_mixture_in_the_last_layer_is_the_weighted_sum_of_its_operations():
    space = nasbench_macro(width=4, head_width=16, image_size=8)
    supernet = Supernet(space).eval()
    features = supernet.network.layers
    x = torch.randn(2, 4, 8, 8)
    base = dict(space.sample(np.random.default_rng(0)))
    alone = {}
    for operation in ("identity", "mb3_k3", "mb6_k5"):
        supernet.activate(space.architecture(base | {"layer8": operation}))
        alone[operation] = features(x)
    weights = {"identity": 0.2, "mb3_k3": 0.3, "mb6_k5": 0.5}
    supernet.relax(space.relaxation(base | {"layer8": weights}))
    expected = sum(weight * alone[operation] for operation, weight in weights.items())
    assert torch.allclose(features(x), expected, atol=1e-6)


def test_the_skeleton_of_a_supernet_is_an_option():
    space = nasbench_macro(width=6, depths=(1, 2), head_width=20, image_size=11, channels=1, classes=4)
    supernet = Supernet(space)
    assert supernet(torch.randn(2, 1, 11, 11)).shape == (2, 4)
    assert {decision for decision, _, _ in governed(supernet)} == {"layer1", "layer2", "layer3"}
