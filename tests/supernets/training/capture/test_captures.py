"""Which passes are recorded, kept and given up; a stand-in for CUDA records."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from search_spaces import Architecture
from search_spaces.elastic import ElasticConv2d, Size
from search_spaces.elastic.traced import ElasticGraph
from search_spaces.families.darts import darts
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.tracing import trace
from supernets import Supernet
from supernets.training.capture.captures import Captures
from supernets.training.capture.regions import regions
from tests.supernets.helpers import tiny_mobilenet
from tests.supernets.training.capture.stand_in import StandIn

_ROOM = 2**30
_SIZE = Size("width", {width: width for width in (1, 2, 3, 4)})


class Elastic(nn.Sequential):
    """Two elastic convolutions with as many channels between them as an architecture says."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(ElasticConv2d(2, _SIZE), ElasticConv2d(_SIZE, 3))

    def at(self, width: int) -> "Elastic":
        for layer in self:
            assert isinstance(layer, ElasticConv2d)
            layer.activate(Architecture({"width": width}))
        return self


def images(seed: int = 0) -> Tensor:
    return torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


def step(captures: Captures, network: nn.Module, x: Tensor | None = None) -> Tensor:
    output = captures.output(network, [images() if x is None else x])
    differentiate(output)
    return output.detach()


def differentiate(output: Tensor) -> None:
    output.backward(torch.randn(output.shape, generator=torch.Generator().manual_seed(7)))


def names(network: nn.Module) -> list[str]:
    return [region.name for region in regions(network)]


def test_regions_are_operations_of_choices_blocks_of_depths_and_what_is_around() -> None:
    cells = names(nasbench201(width=4, cells=1, image_size=8).build())
    assert {"stem", "last", "cells.1"} <= set(cells)
    assert "cells.0.edge0_1.operations.choice_nor_conv_3x3" in cells
    assert not any("pool" in name or "skip" in name for name in cells)
    blocks = names(Supernet(tiny_mobilenet()).network)
    assert "stages.1.blocks.1" in blocks
    assert "classifier" not in blocks
    edges = names(darts(width=4, cells=3, image_size=8).build())
    assert any("edges" in name and name.endswith("sep_conv_3x3") for name in edges)


def test_modules_with_many_settings_are_divided() -> None:
    sizes = [Size(f"width{place}", {width: width for width in (1, 2, 3, 4)}) for place in range(3)]
    pairs = [nn.Sequential(ElasticConv2d(size, 3), ElasticConv2d(3, size)) for size in sizes]
    assert names(nn.Sequential(*pairs)) == [""]
    more = [*pairs, nn.Sequential(ElasticConv2d(1, Size("last", {1: 1, 2: 2})), nn.ReLU())]
    assert names(nn.Sequential(*more)) == ["0", "1", "2", "3"]


def test_traced_networks_and_layers_of_users_are_left_alone() -> None:
    class Own(ElasticConv2d):
        """A layer that generates its weights."""

    traced = trace(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)), (torch.randn(2, 3, 8, 8),))
    assert not regions(ElasticGraph(traced))
    assert not regions(nn.Sequential(Own(2, 3), ElasticConv2d(3, 4)))


def test_every_setting_has_a_pass_of_its_own_from_its_second_use_on() -> None:
    network, plain = Elastic(), Elastic()
    captures = Captures(network, StandIn(), _ROOM)
    for turn in range(3):
        for width in (1, 3, 4):
            step(captures, network.at(width))
            differentiate(plain.at(width)(images()))
        assert len(captures) == (0 if turn == 0 else 3)
    assert (captures.run, captures.replayed) == (3, 6)
    for mine, theirs in zip(network.parameters(), plain.parameters()):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.equal(mine.grad, theirs.grad)


def test_shapes_modes_and_the_gradient_of_inputs_are_part_of_a_setting() -> None:
    network = Elastic()
    captures = Captures(network, StandIn(), _ROOM)
    kinds = [images(), images()[:2], images().requires_grad_(), images()[:, :, :4, :4]]
    for x in kinds * 3:
        step(captures, network, x)
    assert (len(captures), captures.run) == (len(kinds), len(kinds))
    network[0].eval()
    step(captures, network)
    assert captures.run == len(kinds) + 1
    with torch.no_grad():
        captures.output(network, [images()])
    assert captures.run == len(kinds) + 2


def test_passes_stay_within_the_budget_and_frequent_settings_take_the_place_of_rare_ones() -> None:
    network = Elastic()
    captures = Captures(network, StandIn(), _ROOM)
    for _ in range(2):
        step(captures, network.at(4))
    budget, recorder = captures.held, StandIn()
    captures = Captures(network, recorder, budget)
    for _ in range(2):
        step(captures, network.at(4))
    assert len(captures) == 1
    for _ in range(3):
        step(captures, network.at(3))
        assert captures.held <= budget
    before = captures.replayed
    step(captures, network.at(3))  # its fourth use, and the other one had two
    step(captures, network.at(3))
    assert captures.replayed == before + 2
    assert len(captures) == 1
    assert recorder.held_bytes() <= budget


def test_nothing_is_recorded_that_alone_exceeds_the_budget() -> None:
    network, recorder = Elastic(), StandIn()
    captures = Captures(network, recorder, 100)
    for _ in range(5):
        step(captures, network)
    assert (len(captures), recorder.recorded, captures.replayed) == (0, 2, 0)


def test_a_module_that_is_called_twice_in_a_pass_is_replayed_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))])

        def forward(self, x: Tensor) -> Tensor:
            (block,) = self.blocks
            return block(block(x))

    network, plain = Twice(), Twice()
    captures = Captures(network.blocks, StandIn(), _ROOM)
    for seed in range(3):
        step(captures, network, images(seed).requires_grad_())
        differentiate(plain(images(seed).requires_grad_()))
    assert (captures.replayed, captures.run) == (3, 3)
    for mine, theirs in zip([*network.parameters(), *network.buffers()], [*plain.parameters(), *plain.buffers()]):
        assert torch.equal(mine, theirs)
        assert mine.grad is None or (theirs.grad is not None and torch.equal(mine.grad, theirs.grad))


def test_outputs_outlive_the_next_replay() -> None:
    network = Elastic()
    captures = Captures(network, StandIn(), _ROOM)
    for _ in range(2):
        step(captures, network)
    first = step(captures, network, images(1))
    kept = first.clone()
    step(captures, network, images(2))
    assert torch.equal(first, kept)


def test_copies_and_calls_outside_of_a_pass_meet_the_network_as_it_is() -> None:
    network = Elastic()
    captures = Captures(network, StandIn(), _ROOM)
    for _ in range(3):
        step(captures, network)
    counts = captures.replayed, captures.run
    assert "forward" not in vars(network)
    assert torch.equal(deepcopy(network)(images()), network(images()))
    assert (captures.replayed, captures.run) == counts


def test_what_somebody_listens_to_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    network, heard = Elastic(), []
    network[0].register_forward_hook(lambda *_: heard.append(1))
    captures = Captures(network, StandIn(), _ROOM)
    with caplog.at_level("INFO"):
        for _ in range(4):
            step(captures, network)
    assert len(heard) == 4
    assert not captures.replayed
    assert caplog.messages == ["the network is not captured: somebody listens to its layers"]


def test_a_recorder_that_fails_leaves_everything_as_it_was_and_is_asked_no_more() -> None:
    class Broken(StandIn):
        def record(self, function):
            self.recorded += 1
            function()
            raise RuntimeError("operation not permitted when stream is capturing")

    network = nn.ModuleList([nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)) for _ in range(2)])
    plain, recorder = deepcopy(network), Broken()
    captures = Captures(network, recorder, _ROOM)
    for seed in range(5):
        for mine, theirs in zip(network, plain):
            assert torch.equal(step(captures, mine, images(seed)), theirs(images(seed)))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(network.buffers(), plain.buffers()))
    assert recorder.recorded == 1


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
