"""Spaces and supernets in parts: nothing is lost, nothing is there twice, and search need not know."""

from copy import deepcopy
from itertools import product

import numpy as np
import pytest
import torch

from search_spaces import InvalidArchitecture
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import OPERATIONS
from supernets import Partition, Supernet, load_supernet, split
from supernets.transforms.split import WHOLE, divided, leaves, spaces, where_active
from tests.supernets.helpers import tiny_mobilenet

CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")
OTHERS = ("none", "skip_connect", "avg_pool_3x3")


def cells():
    return nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4)


def blocks():
    """Two stages whose second blocks, with their kernels and widths, may be left out."""
    return tiny_mobilenet(kernels=(3, 5, 7))


def tree_of_cells():
    parts = divided(WHOLE, 0, "edge0_1", [OTHERS, CONVOLUTIONS])
    parts = divided(parts, 1, "edge2_3", [CONVOLUTIONS, OTHERS])
    return divided(parts, 2, "edge1_3", [OTHERS, CONVOLUTIONS])


def partition_of_cells() -> Partition:
    """Four leaves with weights of their own."""
    torch.manual_seed(0)
    space = cells()
    return Partition(space, tree_of_cells(), [space.build() for _ in range(4)])


def members(space) -> list:
    values = product(*(decision.choices for decision in space.decisions))
    names = [decision.name for decision in space.decisions]
    return list({space.architecture(dict(zip(names, row))) for row in values})


# ---- spaces ---------------------------------------------------------------------------------------------------------


def test_groups_of_a_split_are_disjoint_and_together_all_choices_and_other_decisions_stay():
    space = cells()
    parts = split(space, "edge0_1", [OTHERS, CONVOLUTIONS])
    by_name = [{d.name: d.choices for d in part.decisions} for part in parts]
    assert set(by_name[0].pop("edge0_1")) | set(by_name[1].pop("edge0_1")) == set(OPERATIONS)
    assert by_name[0] == by_name[1] == {d.name: d.choices for d in space.decisions if d.name != "edge0_1"}


def test_leaves_hold_every_architecture_once():
    of = spaces(cells(), tree_of_cells())
    found = [architecture for number in leaves(tree_of_cells()) for architecture in members(of[number])]
    assert len(found) == len(set(found)) == 15625
    assert len(leaves(tree_of_cells())) == 2 * 2


def test_architectures_in_which_the_split_decision_is_inactive_belong_to_one_part_only():
    space = small_mobilenet_v3(depths=(1, 2, 3), stage_widths=(8,), strides=(1,), kernels=(3, 5, 7), expands=(2,))
    everything = set(members(space))
    for decision in ("stage1.block3.kernel", "stage1.block2.kernel", "stage1.block1.kernel", "stage1.depth"):
        choices = next(d.choices for d in space.decisions if d.name == decision)
        parts = [set(members(part)) for part in split(space, decision, [choices[:1], choices[1:]])]
        assert parts[0] | parts[1] == everything
        assert not parts[0] & parts[1]
    within = where_active(space, "stage1.block3.kernel")
    assert all("stage1.block3.kernel" in architecture for architecture in members(within))


def test_groups_that_are_not_the_choices_are_refused():
    for groups in ([OTHERS], [OTHERS, OTHERS + CONVOLUTIONS], [OTHERS + CONVOLUTIONS, ()], [("bad",), OPERATIONS]):
        with pytest.raises(ValueError, match="groups of edge0_1 must hold each of"):
            split(cells(), "edge0_1", groups)
    with pytest.raises(ValueError, match="has no decision 'edge9_9'"):
        split(cells(), "edge9_9", [OTHERS, CONVOLUTIONS])


# ---- supernets ------------------------------------------------------------------------------------------------------


def test_the_leaf_with_the_architecture_runs():
    partition = partition_of_cells().eval()
    x = torch.randn(2, 1, 8, 8)
    generator = np.random.default_rng(0)
    ran = set()
    for architecture in (partition.space.sample(generator) for _ in range(40)):
        (number,) = (i for i, leaf in enumerate(partition.leaves) if architecture in leaf.space)
        ran.add(number)
        partition.activate(architecture)
        leaf = partition.leaves[number]
        alone = Supernet(partition.space, deepcopy(leaf.network)).eval()
        alone.activate(architecture)
        with torch.no_grad():
            assert torch.equal(partition(x), alone(x))
            assert (partition.extract(architecture)(x) - alone(x)).abs().max() <= 1e-5
        assert partition.active == architecture
    assert ran == {0, 1, 2, 3}


def test_a_part_with_inherited_weights_gives_what_the_whole_gives_bit_for_bit_and_fresh_weights_do_not():
    torch.manual_seed(0)
    space = cells()
    whole = Supernet(space).train()
    parts = divided(WHOLE, 0, "edge0_1", [OTHERS, CONVOLUTIONS])
    inherited = Partition(space, parts, [deepcopy(whole.network) for _ in range(2)]).train()
    restarted = Partition(space, parts).train()
    x = torch.randn(4, 1, 8, 8)
    for seed in range(10):
        architecture = space.sample(np.random.default_rng(seed))
        for supernet in (whole, inherited, restarted):
            supernet.activate(architecture)
        expected = whole(x)
        assert torch.equal(inherited(x), expected)
        assert not torch.allclose(restarted(x), expected)


def test_a_mixture_runs_in_the_leaf_that_has_all_of_it_and_nowhere_else():
    partition = partition_of_cells().eval()
    space = partition.space
    mixed = {d.name: dict.fromkeys(d.choices, 0.2) for d in space.decisions}
    inside = {"edge0_1": dict.fromkeys(CONVOLUTIONS, 0.5), "edge1_3": "none"}
    partition.relax(space.relaxation({**mixed, **inside}))
    alone = Supernet(space, deepcopy(partition.leaves[2].network)).eval()
    alone.relax(space.relaxation({**mixed, **inside}))
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(partition(x), alone(x))
    with pytest.raises(ValueError, match=r"edge0_1 is split: its choices .* cannot be mixed"):
        partition.relax(space.relaxation(mixed))
    with pytest.raises(InvalidArchitecture):
        partition.activate({**space.largest(), "edge0_1": "bad"})


def test_copies_modes_and_saved_files_are_those_of_any_supernet(tmp_path):
    partition = partition_of_cells().to(memory_format=torch.channels_last)
    partition.save(tmp_path / "supernet.safetensors")
    loaded = load_supernet(cells(), tmp_path / "supernet.safetensors").eval()
    loaded.to(memory_format=torch.channels_last)
    copy = deepcopy(partition.eval())
    assert isinstance(loaded, Partition)
    assert loaded.tree() == partition.tree()
    x = torch.randn(2, 1, 8, 8)
    for seed in range(8):
        architecture = partition.space.sample(np.random.default_rng(seed))
        outputs = []
        for supernet in (partition, loaded, copy):
            supernet.activate(architecture)
            outputs.append(supernet(x))
        assert torch.equal(outputs[0], outputs[1])
        assert torch.equal(outputs[0], outputs[2])
    assert not any(module.training for leaf in partition.eval().leaves for module in leaf.modules())
    assert all(module.training for leaf in partition.train().leaves for module in leaf.modules())
    with torch.no_grad():
        next(copy.parameters()).add_(1)
    assert not torch.equal(next(copy.parameters()), next(partition.parameters()))


def test_a_file_of_the_other_kind_or_another_space_is_refused_in_plain_words(tmp_path):
    partition, whole = partition_of_cells(), Supernet(cells())
    partition.save(tmp_path / "parts")
    whole.save(tmp_path / "whole")
    assert type(load_supernet(cells(), tmp_path / "whole")) is Supernet
    with pytest.raises(ValueError, match="split otherwise"):
        whole.load(tmp_path / "parts")
    with pytest.raises(ValueError, match="split otherwise"):
        partition.load(tmp_path / "whole")
    with pytest.raises(ValueError, match=r"holds a supernet of nasbench201; its decisions .* small_mobilenet_v3"):
        load_supernet(blocks(), tmp_path / "parts")
    (tmp_path / "parts").write_bytes(b"half a file")
    with pytest.raises(ValueError, match="not a supernet written by this program"):
        load_supernet(cells(), tmp_path / "parts")


def test_the_tree_says_who_was_split_by_what():
    tree = partition_of_cells().tree()
    assert [(part["id"], part["parent"], part["decision"], part["leaf"]) for part in tree] == [
        (0, None, "", None),
        (1, 0, "edge0_1", None),
        (2, 0, "edge0_1", None),
        (3, 1, "edge2_3", 0),
        (4, 1, "edge2_3", 1),
        (5, 2, "edge1_3", 2),
        (6, 2, "edge1_3", 3),
    ]
    assert tree[6]["group"] == list(CONVOLUTIONS)
    assert tree[0]["architectures"] == sum(part["architectures"] for part in tree if part["leaf"] is not None) == 15625


def test_kernels_of_blocks_are_split_and_shallow_architectures_have_a_place():
    torch.manual_seed(0)
    space = blocks()
    parts = divided(WHOLE, 0, "stage1.block2.kernel", [(3,), (5, 7)])
    partition = Partition(space, parts, [space.build(), space.build()]).eval()
    x = torch.randn(2, 1, 8, 8)
    for seed in range(20):
        architecture = space.sample(np.random.default_rng(seed))
        partition.activate(architecture)
        assert partition.leaf_of(architecture) == (architecture.get("stage1.block2.kernel", 3) != 3)
        with torch.no_grad():
            assert (partition.extract()(x) - partition(x)).abs().max() <= 1e-5
