"""Faults that were found on networks of timm, each as the smallest network that shows it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.tracing import trace
from tests.search_spaces.tracing.small import groups, proven, reasons


class Tiled(nn.Module):
    """Positions of a window, repeated over the image with fewer repetitions than the tensor has dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)
        self.window, self.background = nn.Parameter(torch.randn(1, 6, 2, 2)), nn.Parameter(torch.randn(1, 6, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x) + self.background + self.window.tile((2, 2)))


def test_tile_with_fewer_repetitions_than_dimensions():
    assert groups(proven(Tiled(), 3, 4, 4)) == {"window": ("hidden", 6)}


class Gated(nn.Module):
    """A value, and gates that are taken one by one as slices of size 1."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8 + 3, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        value, gates = self.first(x).split([8, 3], 1)
        total = sum(torch.roll(value, level, 2) * gates[:, level : level + 1] for level in range(3))
        return self.last(total)


def test_a_slice_of_one_index_selects_it():
    traced = proven(Gated(), 3, 4, 4)
    assert [group.size for group in traced.groups] == [8]
    assert reasons(traced, "first.weight")[0] == "a single index is taken"


class Shared(nn.Module):
    """One layer under two names, which is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(3, 6), nn.Linear(6, 2)
        self.one = nn.Linear(6, 6)
        self.other = nn.ModuleList([self.one])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + F.relu(self.one(x))
        return self.head(x + F.relu(self.other[0](x)))


def test_one_parameter_under_two_names_has_one_group():
    traced = proven(Shared(), 3)
    assert groups(traced) == {"stem.weight": ("stream", 6)}
    one, other = traced.tensors["one.weight"], traced.tensors["other.0.weight"]
    assert all(a is not None and b is not None and (a == b).all() for a, b in zip(one, other))


class Blurred(nn.Module):
    """A fixed filter, one copy for each channel, as a buffer that checkpoints do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)
        self.register_buffer("blur", torch.full((6, 1, 5, 5), 0.04), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.conv2d(self.stem(x), self.blur, padding=2, groups=6))


def test_a_fixed_filter_is_no_kernel_that_could_be_cropped():
    traced = proven(Blurred(), 3, 6, 6)
    assert groups(traced) == {"stem.weight": ("hidden", 6)}
    assert traced.kernels == ()
    assert set(traced.constants) == {"blur"}
    units = traced.tensors["blur"][0]
    assert units is not None
    assert units.tolist() == list(range(6))


class Standardised(nn.Conv2d):
    """A convolution that normalises its weight over all inputs of an output."""

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True, momentum=0.0).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, padding=1)


def test_weight_standardisation_passes_input_and_output_channels():
    traced = proven(nn.Sequential(Standardised(3, 6, 3), Standardised(6, 8, 3), Standardised(8, 2, 3)), 3, 4, 4)
    assert groups(traced) == {"0.weight": ("hidden", 6), "1.weight": ("hidden", 8)}


class Precise(nn.Module):
    """A network with a region in full precision."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        with torch.autocast("cpu", enabled=False):
            x = x.float().square()
        with torch.no_grad():
            x = x * 2
        return self.last(x)


def test_regions_are_inlined_and_nodes_remember_their_precision():
    traced = proven(Precise(), 3)
    assert groups(traced) == {"first.weight": ("hidden", 6)}
    marked = [node for node in traced.graph.nodes if "autocast" in node.meta]
    inside = {str(node.target) for node in marked if node.meta["autocast"][2] is False}
    assert any("square" in name for name in inside)
    assert not any("linear" in name for name in inside)


class Made(nn.Module):
    """A grid that is made in the forward pass, and zeros of the size of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) + torch.arange(4.0).mul(2)
        return self.last(torch.cat([x, torch.zeros(len(x), 2)], 1))


def test_what_is_made_of_numbers_becomes_a_constant_and_what_has_the_batch_does_not():
    traced = proven(Made(), 3)
    assert [tensor.tolist() for tensor in traced.constants.values()] == [[0.0, 2.0, 4.0, 6.0]]
    assert groups(traced) == {"first.weight": ("hidden", 4), "last.weight": ("hidden", 2)}


class Caches(nn.Module):
    """A network that keeps a table of its first forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.kept, self.last = nn.Parameter(torch.randn(4)), None, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = self.table * 2
        return self.last(x * self.kept)


def test_a_trace_leaves_no_table_in_the_network():
    module = Caches()
    assert not trace(module, (torch.zeros(1, 4),)).constants
    assert module.kept is None


def test_dropped_paths_are_dropouts_of_the_graph():
    class DropPath(nn.Module):
        drop_prob = 0.25

        def forward(self, x: Tensor) -> Tensor:
            return x if not self.training else x * 0

    traced = proven(nn.Sequential(nn.Linear(3, 4), DropPath(), nn.Linear(4, 2)), 3)
    (node,) = [node for node in traced.graph.nodes if "dropout" in str(node.target)]
    assert node.args[1:] == (0.25, False)
    assert node.meta["scope"] == "1"
