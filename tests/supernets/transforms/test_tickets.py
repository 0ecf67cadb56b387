"""Masks of weights, removal of dead channels, and tickets that change their task."""

import copy
from typing import Any

import pytest
import torch

from search_spaces.elastic import ElasticBranches, masked_layers
from search_spaces.families.hr_multibranch import hr_multibranch
from search_spaces.families.pooling import pooling
from supernets import Supernet, Ticket, load_supernet, take_ticket
from supernets.ticket import sparse_costs
from supernets.transforms.dead_channels import (
    channel_macs,
    dead,
    paths,
    penalties,
    remove,
    shrunk,
    unmask_paths,
)
from supernets.transforms.masks import counted, prune, unmask
from supernets.whole_file import InvalidFile
from tests.search_spaces.counting import counted_costs
from tests.supernets.helpers import scrambled

TINY: dict[str, Any] = {
    **{"stages": [[[1], [4]], [[1, 1], [4, 6]]], "stem_widths": [4], "last_width": 8},
    **{"image_size": 8, "channels": 1, "classes": 4},
}
SPACE = hr_multibranch(**TINY)
IMAGES = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def fresh(seed: int = 0, **options: Any) -> Supernet:
    torch.manual_seed(seed)
    return scrambled(Supernet(hr_multibranch(**{**TINY, **options})))


def killed(supernet: Supernet, seed: int = 0) -> dict[str, torch.Tensor]:
    """Bring about half of the channels to nothing, one path and one block as a whole; return which, by decision."""
    generator, marks = torch.Generator().manual_seed(seed), {}
    for path in paths(supernet.network, supernet.space.largest()):
        gone = torch.rand(path.channels, generator=generator) < 0.5
        if path.decision == "stage1.row0.block1.k5" or path.block == "stage2.row1.block1":
            gone[:] = True
        with torch.no_grad():
            norm: Any = path.branch.depthwise.norm
            norm.weight[gone], norm.bias[gone] = 0.0, 0.0
            if path.block == "stage2.row1.block1":
                block = next(
                    m for m in supernet.modules() if isinstance(m, ElasticBranches) and m.decision == path.block
                )
                block.norm.bias.copy_(
                    block.norm.running_mean * block.norm.weight / (block.norm.running_var + 1e-5).sqrt()
                )
        marks[path.decision] = gone
    return marks


# ---- masks ----------------------------------------------------------------------------------------------------------


def live_weights(supernet: Supernet) -> torch.Tensor:
    return torch.cat([layer.weight[layer.live()].abs().flatten() for _, layer in masked_layers(supernet)]).detach()


def live_masks(supernet: Supernet) -> torch.Tensor:
    return torch.cat([layer.mask[layer.live()].flatten() for _, layer in masked_layers(supernet)])


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.37, 0.8])
def test_the_smallest_weights_of_all_layers_together_are_masked(sparsity):
    supernet = fresh()
    supernet.activate(SPACE.architecture({**SPACE.largest(), "stage1.row0.block1.k5": 3, "head.down0": 0}))
    found = prune(supernet.network, sparsity)
    sizes, masks = live_weights(supernet), live_masks(supernet)
    assert found.total == len(sizes) == counted(supernet.network).total
    assert found.masked == int(sparsity * len(sizes)) == int((~masks).sum())
    assert found.sparsity == pytest.approx(sparsity, abs=1 / len(sizes))
    kept = sorted(range(len(sizes)), key=lambda i: -float(sizes[i]))[: len(sizes) - found.masked]
    assert set(masks.nonzero().flatten().tolist()) == set(kept)
    for name, layer in masked_layers(supernet):
        behind = torch.ones_like(layer.mask)
        behind[layer.live()] = False
        assert layer.mask[behind].all(), name


def test_masks_are_those_of_weights_of_any_scale():
    supernet, other = fresh(), fresh()
    with torch.no_grad():
        for _, layer in masked_layers(other):
            layer.weight.mul_(7.0)
    prune(supernet.network, 0.6)
    prune(other.network, 0.6)
    assert torch.equal(live_masks(supernet), live_masks(other))


def test_a_masked_weight_that_has_grown_returns():
    supernet = fresh()
    assert prune(supernet.network, 0.5).returned == 0
    layer = next(layer for _, layer in masked_layers(supernet))
    place = (~layer.mask).nonzero()[0]
    with torch.no_grad():
        layer.weight[tuple(place)] = 100.0
    again = prune(supernet.network, 0.5)
    assert layer.mask[tuple(place)]
    assert again.returned == 1
    assert prune(supernet.network, 0.2).returned == again.masked - int(0.2 * again.total)


def test_the_gradient_of_a_masked_weight_is_exactly_zero():
    supernet = fresh().train()
    prune(supernet.network, 0.7)
    torch.nn.functional.cross_entropy(supernet(IMAGES), torch.arange(5) % 4).backward()
    for name, layer in masked_layers(supernet):
        assert layer.weight.grad is not None, name
        assert (layer.weight.grad[~layer.mask] == 0).all(), name
        assert layer.mask.all() or (layer.weight[~layer.mask] != 0).any(), name  # what is masked keeps its value


def test_ties_do_not_mask_more_than_asked_for():
    supernet = fresh()
    with torch.no_grad():
        for _, layer in masked_layers(supernet):
            layer.weight.fill_(0.5)
    found = prune(supernet.network, 0.25)
    assert int((~live_masks(supernet)).sum()) == found.masked == int(0.25 * found.total)


# ---- costs ----------------------------------------------------------------------------------------------------------


def test_the_mean_penalty_of_all_channels_is_one_and_in_proportion_to_their_macs():
    found = paths(fresh().network, SPACE.largest())
    macs = channel_macs(SPACE)
    weights = penalties(found, macs)
    channels = sum(path.channels for path in found)
    assert sum(weights[path.decision] * path.channels for path in found) / channels == pytest.approx(1)
    for name in ("stage1.row0.block1.k7", "head.down0.k3", "stage2.further.k5"):
        less = {**SPACE.largest(), name: SPACE.largest()[name] - 1}
        both = [counted_costs(SPACE.subnet(SPACE.architecture(one)), (1, 8, 8))[1] for one in (SPACE.largest(), less)]
        assert macs[name] == both[0] - both[1]
        assert weights[name] / weights["stage1.row0.block1.k3"] == pytest.approx(
            macs[name] / macs["stage1.row0.block1.k3"]
        )


def test_sparse_costs_count_the_weights_that_are_left():
    supernet = fresh()
    prune(supernet.network, 0.6)
    plain = supernet.extract().eval()
    found = sparse_costs(plain, (IMAGES[:1],))
    assert (found["dense_params"], found["dense_macs"]) == counted_costs(plain, (1, 8, 8))
    left = sum(int((p != 0).sum()) for p in plain.parameters() if p.dim() > 1)
    others = sum(p.numel() for p in plain.parameters() if p.dim() <= 1)
    assert found["sparse_params"] == left + others
    pixels: list[tuple[Any, int]] = []
    layers = [m for m in plain.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    hooks = [m.register_forward_hook(lambda m, i, o: pixels.append((m, o[0, 0].numel()))) for m in layers]
    plain(IMAGES[:1])
    assert found["sparse_macs"] == sum(count * int((m.weight != 0).sum()) for m, count in pixels)
    assert len(hooks) == len(pixels)


# ---- dead channels --------------------------------------------------------------------------------------------------


def test_the_function_without_dead_channels_is_that_before():
    supernet = fresh().eval()
    marks = killed(supernet)
    with torch.no_grad():
        before = supernet(IMAGES)
        found = paths(supernet.network, SPACE.largest())
        assert {name: mark.tolist() for name, mark in dead(found, 1e-3, {}).items()} == {
            name: mark.tolist() for name, mark in marks.items()
        }
        architecture = shrunk(SPACE, found, marks)
        remove(supernet.network, found, marks, {})
        supernet.activate(architecture)
        torch.testing.assert_close(supernet(IMAGES), before, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(supernet.extract(architecture)(IMAGES), before, atol=1e-5, rtol=1e-5)
        supernet.activate(SPACE.largest())
        torch.testing.assert_close(supernet(IMAGES), before, atol=1e-5, rtol=1e-5)
    assert architecture["stage1.row0.block1.k5"] == 0
    assert architecture["stage2.row1.block1"] == 0
    assert "stage2.row1.block1.k3" not in architecture
    kept = {name: int((~mark).sum()) for name, mark in marks.items()}
    assert all(architecture[name] == kept[name] for name in kept if name in architecture)
    costs = SPACE.costs([architecture])
    assert counted_costs(supernet.extract(architecture), (1, 8, 8)) == (costs["params"][0], costs["macs"][0])


def test_what_follows_weights_moves_with_its_channel():
    supernet = fresh()
    along = {id(p): [torch.randn(p.shape), torch.randn(p.shape)] for p in supernet.parameters()}
    before = {
        name: [p.detach().clone(), *(one.clone() for one in along[id(p)])] for name, p in supernet.named_parameters()
    }
    marks = killed(supernet)
    found = paths(supernet.network, SPACE.largest())
    orders = remove(supernet.network, found, marks, along)
    names = {id(p): name for name, p in supernet.named_parameters()}
    seen = 0
    for path in found:
        left = int((~marks[path.decision]).sum())
        assert orders[path.decision][:left].tolist() == (~marks[path.decision]).nonzero().flatten().tolist()
        for tensor, dimension in path.branch.carriers():
            if id(tensor) not in names or tensor is path.scale or tensor is path.branch.depthwise.norm.bias:
                continue
            for one, kept in zip((tensor, *along[id(tensor)]), before[names[id(tensor)]]):
                expected = kept.index_select(dimension, orders[path.decision][:left])
                assert torch.equal(one.narrow(dimension, 0, left), expected)
                assert not one.narrow(dimension, left, one.shape[dimension] - left).any()
                seen += 1
    assert seen > 100


def test_a_channel_is_dead_where_the_average_is_too():
    supernet = fresh()
    path = paths(supernet.network, SPACE.largest())[0]
    with torch.no_grad():
        path.scale[:3] = torch.tensor([0.0005, -0.0005, 0.5])
        average = path.scale.detach().clone()
        average[:3] = torch.tensor([0.0005, 0.5, 0.0005])

    def found(**how: Any) -> list[bool]:
        return dead([path], 1e-3, {id(path.scale): average}, **how)[path.decision][:3].tolist()

    assert found() == [True, False, False]
    assert found(average_only=True) == [True, False, True]
    assert dead([path], 1e-3, {}, average_only=True)[path.decision][:3].tolist() == [True, True, False]


def test_masks_of_paths_are_live_again():
    supernet = fresh()
    prune(supernet.network, 0.7)
    in_paths = sum(
        int((~layer.mask).sum())
        for block in supernet.modules()
        if isinstance(block, ElasticBranches)
        for _, layer in masked_layers(block.paths)
    )
    assert unmask_paths(supernet.network) == in_paths > 0
    for block in supernet.modules():
        if isinstance(block, ElasticBranches):
            assert all(layer.mask.float().mean() == 1 for _, layer in masked_layers(block.paths))
    assert unmask(supernet.network) > 0
    assert live_masks(supernet).all()


# ---- tickets --------------------------------------------------------------------------------------------------------


@pytest.fixture
def found(tmp_path):
    """A file with a ticket whose head is dense, the supernet in it, and the network that it began with."""
    supernet = fresh(head="dense", classes=3)
    began = copy.deepcopy(supernet)
    space, marks = supernet.space, killed(supernet)
    there = paths(supernet.network, space.largest())
    architecture = shrunk(space, there, marks)
    orders = remove(supernet.network, there, marks, {})
    supernet.ticket = Ticket(space.largest()).after(architecture, orders).noted({"epoch": 1})
    supernet.activate(architecture)
    prune(supernet.network, 0.5)
    supernet.save(tmp_path / "dense.safetensors")
    return tmp_path / "dense.safetensors", supernet, began


def test_files_and_copies_hold_the_ticket(found):
    path, supernet, _ = found
    loaded = load_supernet(supernet.space, path)
    for other in (loaded, copy.deepcopy(supernet)):
        assert other.ticket == supernet.ticket
        other.activate(supernet.ticket.architecture)
        with torch.no_grad():
            assert torch.equal(other.eval()(IMAGES), supernet.eval()(IMAGES))
    assert supernet.ticket.learned(supernet.space).architecture(supernet.space) == supernet.ticket.architecture


def test_features_of_a_ticket_go_under_another_head(found):
    path, supernet, _ = found
    other = fresh(seed=5)
    head = {name: tensor.clone() for name, tensor in other.network.state_dict().items() if name.startswith("head.")}
    take_ticket(other, path)
    assert other.ticket is not None
    for name, tensor in other.network.state_dict().items():
        expected = head[name] if name in head else supernet.network.state_dict()[name]
        assert torch.equal(tensor, expected), name
    features = {n: v for n, v in supernet.ticket.architecture.items() if not n.startswith("head.")}
    assert {n: v for n, v in other.active.items() if not n.startswith("head.")} == features
    assert {n: v for n, v in other.active.items() if n.startswith("head.")} == {
        n: v for n, v in SPACE.largest().items() if n.startswith("head.")
    }


def test_fresh_weights_of_a_ticket_are_those_that_its_training_began_with(found):
    path, supernet, began = found
    other = take_ticket(copy.deepcopy(began), path, fresh=True)
    masks = [name for name in other.network.state_dict() if name.endswith(".mask") and not name.startswith("head.")]
    assert all(torch.equal(other.network.state_dict()[name], supernet.network.state_dict()[name]) for name in masks)
    places = {one.decision: one for one in paths(other.network, other.active)}
    for one in paths(began.network, began.space.largest()):
        if one.decision.startswith("head."):
            continue
        left = places[one.decision].channels
        order = torch.tensor(supernet.ticket.orders[one.decision])[:left]
        for (tensor, dimension), (original, _) in zip(places[one.decision].branch.carriers(), one.branch.carriers()):
            if tensor.is_floating_point():
                assert torch.equal(tensor.narrow(dimension, 0, left), original.index_select(dimension, order))


def test_other_features_are_refused(found, tmp_path):
    path, _, _ = found
    with pytest.raises(
        InvalidFile, match=r"holds a ticket with other features: stem.0.conv.mask is \[4, 1, 3, 3\] in the"
    ):
        take_ticket(Supernet(hr_multibranch(**{**TINY, "channels": 3})), path)
    wider = hr_multibranch(**{**TINY, "stages": [[[1], [4]], [[1, 1], [4, 6]], [[1, 1], [4, 6]]]})
    with pytest.raises(InvalidFile, match=r"stages.4.* not there in the file"):
        take_ticket(Supernet(wider), path)
    plain = Supernet(pooling(image_size=8))
    plain.save(tmp_path / "plain.safetensors")
    with pytest.raises(InvalidFile, match=r"plain.safetensors holds no ticket: its training had no train.tickets"):
        take_ticket(fresh(), tmp_path / "plain.safetensors")
