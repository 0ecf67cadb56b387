"""The space of several resolutions with parallel paths."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.architecture import InvalidArchitecture
from search_spaces.elastic import Branches, ElasticBranches, extracted
from search_spaces.errors import FieldError
from search_spaces.families.hr_multibranch import hr_multibranch
from supernets import Supernet
from tests.search_spaces.counting import counted_costs
from tests.supernets.helpers import scrambled

TINY: dict[str, Any] = {"stages": [[[1], [4]], [[1, 1], [4, 6]]], "stem_widths": [4], "last_width": 8}
IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_published_network_has_the_blocks_of_its_setting():
    blocks = [d.name for d in hr_multibranch(network="published").decisions if d.parent is None]
    rows = [name for name in blocks if ".row" in name]
    assert len(rows) == 1 + 4 + 7 + 11 + 11
    fused = {stage: sum(name.startswith(f"stage{stage}.f") for name in blocks) for stage in range(1, 6)}
    assert fused == {1: 1, 2: 1 + 1, 3: 4 + 1, 4: 7 + 1, 5: 10}  # neighbours only; one block more adds a resolution
    assert len(blocks) == len(rows) + sum(fused.values()) + 4 + 3
    largest = hr_multibranch(network="published").largest()
    assert largest["stage5.row3.block4.k7"] == 144 * 4
    assert largest["stage1.fuse0from0.k3"] == 24 * 4


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**TINY, "head": "dense", "classes": 3},
        {**TINY, "stride": 1, "kernels": [3], "image_size": 7},
        {**TINY, "stride": 4, "stem_widths": [4, 5], "expand": 1},
    ],
)
def test_costs_are_those_of_the_networks(options):
    space = hr_multibranch(**options)
    drawn = [space.smallest(), space.largest(), *(space.sample(np.random.default_rng(seed)) for seed in range(2))]
    costs = space.costs(drawn)
    for i, architecture in enumerate(drawn):
        counted = counted_costs(space.subnet(architecture), space.inputs[0].shape)
        assert (costs["params"][i], costs["macs"][i]) == tuple(counted)


@pytest.mark.parametrize(("side", "stride", "stem"), [(16, 2, [4]), (20, 4, [4, 4]), (7, 1, [4])])
def test_a_dense_head_says_a_class_of_every_pixel(side, stride, stem):
    space = hr_multibranch(
        **{**TINY, "head": "dense", "classes": 3, "image_size": side, "stride": stride, "stem_widths": stem}
    )
    network = space.subnet(space.largest())
    assert network(torch.randn(2, 3, side, side)).shape == (2, 3, side, side)


def test_a_block_is_the_normalised_sum_of_its_paths_beside_a_shortcut():
    space = hr_multibranch(**TINY)
    network: Any = scrambled(Supernet(space)).eval().network
    block = network.stages[2].further
    assert isinstance(block, ElasticBranches)
    x = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        paths = [path.project(path.depthwise(path.expand(x))) for path in block.paths.values()]
        expected = block.shortcut(x) + block.norm(paths[0] + paths[1] + paths[2])
        torch.testing.assert_close(block(x), expected)
    assert block.shortcut.weight.shape == (6, 4 // 2, 1, 1)  # as many groups as divide both widths


def test_a_path_without_channels_and_a_block_without_paths_disappear():
    space = hr_multibranch(**TINY)
    supernet = scrambled(Supernet(space)).eval()
    values = dict(space.largest()) | {"stage1.row0.block1.k5": 0, "stage2.row1.block1": 0, "stage2.further": 0}
    architecture = space.architecture(values)
    assert "stage2.row1.block1.k3" not in architecture
    plain: Any = supernet.extract(architecture)
    assert not any(isinstance(module, ElasticBranches) for module in plain.modules())
    assert set(plain.stages[1].rows[0][0].paths) == {"k3", "k7"}
    gone, halved = plain.stages[3].rows[1][0], plain.stages[2].further
    assert isinstance(gone, Branches)
    assert isinstance(gone.shortcut, nn.Identity)
    assert (gone.norm, len(gone.paths)) == (None, 0)
    assert [type(module).__name__ for module in halved.modules() if not list(module.children())] == [
        "ModuleDict",
        "Conv2d",
    ]
    with torch.no_grad():
        torch.testing.assert_close(plain(IMAGES), supernet(IMAGES))


def test_kept_channels_are_the_first_of_each_path():
    space = hr_multibranch(**TINY)
    supernet = scrambled(Supernet(space)).eval()
    architecture = space.sample(np.random.default_rng(3))
    supernet.activate(architecture)
    with torch.no_grad():
        expected = supernet(IMAGES)
        for block in supernet.modules():
            if isinstance(block, ElasticBranches):
                for name in block.channels:
                    kept = int(architecture.get(name, 0))
                    for tensor, dimension in block.path(name).carriers():
                        if tensor.is_floating_point():
                            tensor.narrow(dimension, kept, tensor.shape[dimension] - kept).fill_(float("nan"))
        assert torch.equal(supernet(IMAGES), expected)
        assert torch.equal(extracted(supernet.network)(IMAGES).isnan(), torch.zeros(3, 10, dtype=torch.bool))


def test_weights_begin_as_those_of_mnasnet():
    torch.manual_seed(0)
    network: Any = hr_multibranch().build()
    block = network.stages[3].rows[1][0]
    assert float(block.paths["k5"].depthwise.conv.weight.std()) == pytest.approx((2 / 25) ** 0.5, rel=0.1)
    assert float(block.paths["k5"].expand.conv.weight.std()) == pytest.approx((2 / 64) ** 0.5, rel=0.1)
    assert float(network.head.classifier.weight.abs().max()) == pytest.approx(10**-0.5, rel=0.02)


def test_paths_disappear_and_cannot_be_mixed():
    space = hr_multibranch(**TINY)
    with pytest.raises(ValueError, match="decisions that depend on others: it cannot be relaxed"):
        space.relaxation({d.name: d.choices[-1] for d in space.decisions})


def test_tables_name_architectures_by_the_channels_of_paths():
    space = hr_multibranch(**TINY)
    words = "8-0-3 0-0-0 8-8-8 1-2-3 0-0-8 0-1-0 8-8-8 0-0-0 5-5-5"
    read = space.read_row({"paths": words})
    assert read["stage1.fuse0from0.k3"] == 8
    assert read["stage1.row0.block1"] == 0
    assert len(words.split()) == sum(d.parent is None for d in space.decisions)
    with pytest.raises(InvalidArchitecture, match="paths must be 9 words such as 64-12-0, got 1"):
        space.read_row({"paths": "8-0-3"})
    with pytest.raises(InvalidArchitecture, match=r"paths of head.down0 must be 3 numbers, got '5-5'"):
        space.read_row({"paths": words.replace("5-5-5", "5-5")})
    with pytest.raises(InvalidArchitecture, match=r"stage1.fuse0from0.k3 = 9 is not one of"):
        space.read_row({"paths": words.replace("8-0-3", "9-0-3")})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "large"}, "network must be one of small, published, got 'large'"),
        ({"head": "boxes"}, "head must be one of classes, dense, got 'boxes'"),
        ({"stride": 3}, "stride must be 1, 2 or 4, got 3"),
        ({"kernels": [3, 4]}, "kernels must be different odd numbers"),
        ({"kernels": [3, 3]}, "kernels must be different odd numbers"),
        ({"stride": 4}, "stem_widths must be 2 numbers of channels where the stride is 4, got"),
        ({"stages": [[[1, 1], [16, 32]]]}, "stages must be pairs of blocks and channels of each resolution: 1 in the"),
        ({"stages": [[[1], [16, 32]]]}, "stages must be pairs of blocks and channels of each resolution"),
        ({"stages": [[[0], [16]]]}, "stages must be pairs of blocks and channels of each resolution"),
        ({"head_widths": [32]}, "head_widths must be 2 numbers of channels, got"),
        ({"image_size": 33}, "image_size must be at least 4 and divisible by 2, got 33"),
        ({"expand": 100}, "expand must be at most 64, got 100"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(FieldError, match=message):
        hr_multibranch(**options)
