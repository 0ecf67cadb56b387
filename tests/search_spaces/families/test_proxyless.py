"""The ProxylessNAS space against the released networks."""

import json

import numpy as np
import pytest
import torch

from search_spaces import InvalidArchitecture
from search_spaces.families.proxyless import operations, proxyless, to_string
from supernets import Supernet
from tests.search_spaces.counting import counted_costs
from tests.supernets.helpers import scrambled

SMALL = {
    "stem_width": 6,
    "stem_stride": 1,
    "first_width": 4,
    "stage_widths": (8, 8, 12),
    "depths": (2, 1, 3),
    "strides": (2, 1, 2),
    "head_width": 20,
    "image_size": 15,
    "channels": 1,
    "classes": 5,
}
MOBILE = "x210031226222522266336"


@pytest.mark.parametrize(
    ("options", "arch", "params", "million_macs"),
    [
        ({"stage_widths": (32, 40, 80, 96, 192, 320)}, MOBILE, 4_080_512, 320),
        (
            {"stem_width": 40, "first_width": 24, "stage_widths": (32, 56, 112, 128, 256, 432), "head_width": 1728},
            "x200030016002501266656",
            7_119_848,
            465,
        ),
        (
            {"stem_width": 40, "first_width": 24, "stage_widths": (32, 48, 88, 104, 216, 360), "head_width": 1432},
            "x411141124001511152215",
            4_361_648,
            439,
        ),
    ],
    ids=["mobile", "gpu", "cpu"],
)
def test_released_networks_have_the_published_costs(options, arch, params, million_macs):
    space = proxyless(**options)
    costs = space.costs([space.read_row({"arch": arch})])
    assert costs["params"].tolist() == [params]
    assert round(costs["macs"][0] / 1e6) == million_macs


def test_count_is_six_blocks_a_layer_and_a_skip_where_the_shape_stays():
    assert proxyless().count() == 6**6 * 7**15
    assert proxyless(**SMALL).count() == 6 * 7 * 7 * 6 * 7**2  # the second stage keeps channels and pixels
    assert proxyless(depths=(1,) * 6, kernels=(3,), expands=(3, 6)).count() == 2**6


@pytest.mark.parametrize("options", [SMALL, {**SMALL, "stem_stride": 2, "image_size": 33, "expands": (1, 4)}])
def test_analytic_cost_equals_that_of_the_built_network(options):
    space = proxyless(**options)
    drawn = [space.smallest(), space.largest(), *(space.sample(np.random.default_rng(i)) for i in range(8))]
    costs = space.costs(drawn)
    counted = [counted_costs(space.subnet(architecture), space.inputs[0].shape) for architecture in drawn]
    assert counted == list(zip(costs["params"].tolist(), costs["macs"].tolist()))


def test_choices_are_ordered_by_macs_also_where_channels_are_few():
    space = proxyless(**SMALL)
    for decision in space.decisions:
        macs = [
            space.costs([space.architecture({**space.largest(), decision.name: c})])["macs"][0]
            for c in decision.choices
        ]
        assert macs == sorted(macs)
    assert any(d.choices.index("mb6_k3") < d.choices.index("mb3_k7") for d in space.decisions)
    published = [name for name in operations() if name != "skip"]
    assert all([c for c in d.choices if c != "skip"] == published for d in proxyless().decisions)


@pytest.mark.parametrize(("kernels", "expands"), [((3, 5, 7), (3, 6)), ((5,), (6, 3, 2))])
def test_strings_and_json_round_trip(kernels, expands):
    space = proxyless(kernels=kernels, expands=expands)
    for seed in range(50):
        architecture = space.sample(np.random.default_rng(seed))
        digits = to_string(dict(reversed(list(architecture.items()))), kernels, expands)
        assert space.read_row({"arch": digits}) == space.read_row({"arch": digits[1:]}) == architecture
        assert space.read_row({"architecture": json.dumps(architecture.to_json())}) == architecture


@pytest.mark.parametrize("arch", ["", MOBILE[:-1], MOBILE + "1", MOBILE.replace("6", "7")])
def test_bad_strings_are_refused(arch):
    with pytest.raises(InvalidArchitecture, match="must be 21 digits from 0 to 6"):
        proxyless().read_row({"arch": arch})


def test_a_skip_that_changes_the_shape_is_refused():
    with pytest.raises(InvalidArchitecture, match=r"stage1.block1 = 'skip' is not one of \('mb3_k3'"):
        proxyless().read_row({"arch": "0" * 21})


def test_skips_are_identities_and_norms_have_the_published_epsilon():
    space = proxyless(**SMALL)
    subnet = space.subnet(space.smallest())
    supernet = Supernet(space)
    assert isinstance(subnet.stages[0][1], torch.nn.Identity)
    assert len(subnet.blocks()) == 2 + sum(operation != "skip" for operation in space.smallest().values())
    for network in (subnet, supernet.extract()):
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert {norm.eps for norm in norms} == {1e-3}


def test_extracted_subnets_equal_the_supernet_and_compute_different_things():
    space = proxyless(**SMALL)
    supernet = scrambled(Supernet(space)).eval()
    x, outputs = torch.randn(2, *space.inputs[0].shape), []
    with torch.no_grad():
        for seed in range(10):
            subnet = supernet.extract(space.sample(np.random.default_rng(seed)))
            outputs.append(supernet(x))
            assert (subnet(x) - outputs[-1]).abs().max() <= 1e-5
    assert torch.stack(outputs).std(dim=0).min() > 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (1, 2)}, r"depths must be one whole number from 1 for each of 6 stages, got \(1, 2\)"),
        ({"strides": (1, 2, 0, 1, 1, 1)}, "strides must be one whole number from 1"),
        ({"stage_widths": (), "depths": (), "strides": ()}, r"stage_widths must be .* got \(\)"),
        ({"kernels": (4,)}, r"kernels must be odd numbers, got \(4,\)"),
        ({"expands": (0,)}, r"expands must be whole numbers from 1, got \(0,\)"),
        ({"kernels": (3, 3)}, "must give up to 9 different blocks"),
        ({"kernels": (1, 3, 5, 7, 9), "expands": (3, 6)}, "must give up to 9 different blocks"),
        ({"stem_stride": 0}, "stem_stride must be at least 1, got 0"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1, got 1.0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        proxyless(**options)
