"""The exact Once-for-All space and its small-image variants."""

import csv
import gzip

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.families.mobilenet_v3 import from_ofa_lists, ofa_mobilenet_v3, small_mobilenet_v3
from supernets import Supernet
from tests.search_spaces.counting import counted_costs

# Golden numbers: computed from the published network definition (Once-for-All, arXiv 1908.09791; released code at
# f03b2673), all blocks equal, 224 pixels: (width, depth, expand, kernel) -> parameters, MACs.
UNIFORM_SUBNETS = {
    (1.0, 4, 6, 7): (7.6648e6, 566.1707e6),
    (1.0, 2, 3, 3): (3.4108e6, 121.2787e6),
    (1.0, 4, 3, 3): (4.3719e6, 226.1938e6),
    (1.0, 4, 6, 3): (7.3000e6, 433.1415e6),
    (1.0, 3, 4, 5): (4.5518e6, 250.7469e6),
    (1.2, 4, 6, 7): (None, 843.101e6),
    (1.2, 2, 3, 3): (None, 193.078e6),
    (1.2, 4, 3, 3): (None, 351.083e6),
    (1.2, 4, 6, 3): (None, 671.781e6),
    (1.2, 3, 4, 5): (None, 385.659e6),
}


@pytest.mark.parametrize(("setting", "published"), UNIFORM_SUBNETS.items())
def test_costs_of_uniform_subnets_equal_the_published_ones(setting, published):
    width, depth, expand, kernel = setting
    space = ofa_mobilenet_v3(width=width)
    costs = space.costs([from_ofa_lists(space, [kernel] * 20, [expand] * 20, [depth] * 5)])
    if published[0] is not None:
        assert costs["params"][0] == pytest.approx(published[0], abs=50)
    assert costs["macs"][0] == pytest.approx(published[1], abs=500)


def test_costs_equal_all_rows_of_the_published_table(shared_data):
    space = ofa_mobilenet_v3()
    with open(shared_data / "ofa" / "ofa_mbv3_w1.0_costs_60.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lists = [[[int(x) for x in row[name].split()] for name in ("ks", "e", "d")] for row in rows]
    costs = space.costs([from_ofa_lists(space, *row) for row in lists])
    assert len(rows) == 60
    assert costs["params"].tolist() == [int(row["params"]) for row in rows]
    assert costs["macs"].tolist() == [int(row["macs"]) for row in rows]


def test_resolution_changes_macs_only():
    space = ofa_mobilenet_v3(resolutions=(160, 224))
    small, large = ({**space.largest(), "resolution": r} for r in (160, 224))
    costs = space.costs([space.architecture(small), space.architecture(large)])
    assert costs["params"][0] == costs["params"][1]
    assert costs["macs"][0] == pytest.approx(291.318e6, abs=500)  # the published network at 160 pixels


def test_count_is_the_published_one():
    assert ofa_mobilenet_v3().count() == (9**2 + 9**3 + 9**4) ** 5 == 21_758_655_492_572_485_851


@pytest.mark.parametrize(
    "space",
    [
        ofa_mobilenet_v3(classes=10, resolutions=(128,)),
        small_mobilenet_v3(),
        small_mobilenet_v3(image_size=8, channels=1, stage_widths=(16, 24), strides=(2, 1), depths=((1, 2), (2,))),
        small_mobilenet_v3(
            image_size=64, stem_stride=2, kernels=(3,), expands=(1, 6), squeeze_excite=(True, False, True)
        ),
    ],
    ids=["ofa", "small", "digits", "64px"],
)
def test_analytic_cost_equals_that_of_the_built_network(space):
    supernet = Supernet(space)
    generator = np.random.default_rng(0)
    architectures = [space.smallest(), space.largest(), *(space.sample(generator) for _ in range(6))]
    costs = space.costs(architectures)
    for architecture, params, macs in zip(architectures, costs["params"], costs["macs"]):
        assert counted_costs(supernet.extract(architecture), space.inputs[0].shape) == (params, macs)


def test_restricted_space_has_the_same_costs():
    space = small_mobilenet_v3()
    part = space.restrict({"*.kernel": (3, 7), "*.expand": (4,)})
    drawn = [part.sample(np.random.default_rng(i)) for i in range(20)]
    assert part.costs(drawn)["macs"].tolist() == space.costs(drawn)["macs"].tolist()
    assert part.costs(drawn)["params"].tolist() == space.costs(drawn)["params"].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 200}, "image_size must be from 8 to 64 pixels, got 200"),
        ({"strides": (2, 2)}, r"strides needs one entry for each of 3 stages, got \(2, 2\)"),
        ({"kernels": (2, 3)}, r"kernels must be odd, got \(2, 3\)"),
        ({"strides": (2, 2, 3)}, "strides must be 1 or 2"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"activations": ("relu", "relu", "gelu")}, "activations must be among"),
    ],
)
def test_bad_options_name_field_value_and_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        small_mobilenet_v3(**options)


@pytest.mark.parametrize("name", ["ofa_mbv3_w1.0_costs_60.csv", "ofa_mbv3_latency.csv.gz"])
def test_rows_of_published_tables_are_read(shared_data, name):
    path = shared_data / "ofa" / name
    space = ofa_mobilenet_v3(resolutions=range(128, 228, 4))
    with gzip.open(path, "rt") if name.endswith("gz") else open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:2000]:
        lists = [[int(x) for x in row[field].split()] for field in ("ks", "e", "d")]
        assert space.read_row(row) == from_ofa_lists(space, *lists, int(row["resolution"]))


def test_rows_of_a_space_with_unequal_depths_are_read():
    space = small_mobilenet_v3(depths=((1,), (1, 2), (1, 3)))
    architecture = space.read_row({"ks": "3 5 5 7 7 7", "e": "2 3 3 4 4 4", "d": "1 1 3", "resolution": "32"})
    assert architecture["stage2.block1.kernel"] == 5
    assert architecture["stage3.block3.kernel"] == 7
    assert "stage2.block2.kernel" not in architecture


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": "3 3"}, r"ks = '3 3' must have 20 entries, got 2"),
        ({"d": "2 2 2 2 x"}, "d = '2 2 2 2 x' must be whole numbers"),
        ({"d": "2 2 2 2 9"}, r"stage5.depth = 9 is not one of \(2, 3, 4\)"),
        ({"resolution": "200"}, r"resolution = 200 is not one of \(224,\)"),
    ],
)
def test_bad_lists_are_refused(change, message):
    row = {"ks": " ".join(["3"] * 20), "e": " ".join(["4"] * 20), "d": "2 2 2 2 2", "resolution": "224"} | change
    with pytest.raises(ValueError, match=message):
        ofa_mobilenet_v3().read_row(row)


def test_subnet_is_initialised_as_torch_does_and_reproducible():
    space = small_mobilenet_v3(dropout=0.1)
    architecture = space.sample(np.random.default_rng(3))
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    subnet = space.subnet(architecture)
    again = (torch.random.set_rng_state(state), space.subnet(architecture))[1]
    assert subnet.training
    assert not any(t.is_meta for t in [*subnet.parameters(), *subnet.buffers()])
    for a, b in zip(subnet.state_dict().values(), again.state_dict().values()):
        assert torch.equal(a, b)
    # the same generator gives the same weights to plain layers built one after the other
    torch.random.set_rng_state(state)
    for layer in subnet.modules():
        if isinstance(layer, nn.Conv2d):
            direct = nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,
                groups=layer.groups,
                bias=layer.bias is not None,
            )
            assert torch.equal(layer.weight, direct.weight)
        elif isinstance(layer, nn.Linear):
            assert torch.equal(layer.weight, nn.Linear(layer.in_features, layer.out_features).weight)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.running_var.eq(1).all()
            assert layer.running_mean.eq(0).all()
            assert layer.num_batches_tracked == 0


def test_blocks_of_a_subnet_give_its_feature_maps():
    space = small_mobilenet_v3(depths=(1, 2))
    assert len(space.subnet(space.smallest()).blocks()) == 2 + 3
    assert len(space.subnet(space.largest()).blocks()) == len(space.build().blocks()) == 2 + 6
