"""Removal of channels whose norm has brought them to nothing, and of paths and blocks that have no others.

Paper: SuperTickets, arXiv 2207.03677: a channel is dead where the scale of the norm behind its depthwise convolution is
near 0, in the weights and in their average. States of the optimizer and averages follow the channels that are left.
Differs: channels that are left move to the front, where architectures of the space have theirs, and the rest is set to
0, so that the network with all channels computes what the one with those that are left does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from search_spaces import Architecture, Choice, Space
from search_spaces.elastic import Branch, ElasticBranches, masked_layers

Along: TypeAlias = Mapping[int, Sequence[Tensor]]
"""`id` of a parameter -> tensors of its shape that follow it: states of the optimizer, averages."""


@dataclass(frozen=True)
class Path:
    """A path of a block and the channels that it has.

    Attributes:
        block: Decision whether the block has paths.
        decision: Decision of its channels.
        branch: The path itself.
        channels: Number of channels that are left.
    """

    block: str
    decision: str
    branch: Branch
    channels: int

    @property
    def scale(self) -> Tensor:
        """The scales [C] of the norm behind the depthwise convolution, those of removed channels included."""
        scale = self.branch.depthwise.norm.weight
        assert isinstance(scale, Tensor)
        return scale


def paths(network: nn.Module, architecture: Mapping[str, Choice]) -> list[Path]:
    """Return all paths of a network, those without channels included.

    Args:
        network: Network, or supernet.
        architecture: What is left of it.
    """
    return [
        Path(module.decision, name, module.path(name), int(architecture.get(name, 0)))
        for module in network.modules()
        if isinstance(module, ElasticBranches)
        for name in module.channels
    ]


def channel_macs(space: Space) -> dict[str, int]:
    """Return the MACs of one channel of each path, by the decision of its channels."""
    largest = space.largest()
    row = space.encode(largest)
    columns = {d.name: i for i, d in enumerate(space.decisions) if d.parent is not None}
    rows = row[None].repeat(len(columns) + 1, axis=0)
    for number, column in enumerate(columns.values(), start=1):
        rows[number, column] -= 1
    macs = space.costs(rows)["macs"]
    return {name: int(macs[0] - macs[number]) for number, name in enumerate(columns, start=1)}


def penalties(found: Sequence[Path], macs: Mapping[str, int]) -> dict[str, float]:
    """Return the MACs of a channel of each path by the mean over all channels that are left."""
    channels = sum(path.channels for path in found)
    mean = sum(path.channels * macs[path.decision] for path in found) / channels if channels else 1.0
    return {path.decision: macs[path.decision] / mean for path in found}


@torch.no_grad()
def dead(
    found: Sequence[Path], threshold: float, averages: Mapping[int, Tensor], *, average_only: bool = False
) -> dict[str, Tensor]:
    """Return which of the channels that are left are dead [channels], by the decision of the path.

    Args:
        found: Paths.
        threshold: Largest absolute scale of a dead channel.
        averages: `id` of a parameter -> its average; empty where there are none.
        average_only: Whether the average alone decides, where there is one.
    """
    marks = {}
    for path in found:
        small = path.scale[: path.channels].abs() <= threshold
        if id(path.scale) in averages:
            average = averages[id(path.scale)][: path.channels].abs() <= threshold
            small = average if average_only else small & average
        marks[path.decision] = small
    return marks


@torch.no_grad()
def remove(
    network: nn.Module,
    found: Sequence[Path],
    marks: Mapping[str, Tensor],
    along: Along,
) -> dict[str, Tensor]:
    """Move the channels that are left to the front, in their order, and set the others to 0.

    Args:
        network: Network, or supernet.
        found: Paths.
        marks: Which channels are dead, see `dead`.
        along: What follows the parameters.

    Returns:
        The new order of all channels of each path, by the decision, int64 [C].
    """
    orders = {}
    for path in found:
        gone = marks[path.decision].cpu()
        numbers = torch.arange(len(path.scale))
        order = torch.cat([numbers[: path.channels][~gone], numbers[: path.channels][gone], numbers[path.channels :]])
        orders[path.decision] = order
        left = path.channels - int(gone.sum())
        if left < path.channels:
            reorder(path.branch, order, along)
            _clear(path.branch, left, along)
    _clear_norms(network, shrunk_blocks(found, marks), along)
    return orders


@torch.no_grad()
def reorder(branch: Branch, order: Tensor, along: Along) -> None:
    """Move channels of a path: the one at `order[i]` comes to place i; so does all that follows its parameters."""
    for tensor, dimension in branch.carriers():
        there = order.to(tensor.device)
        for one in (tensor, *along.get(id(tensor), ())):
            one.copy_(one.index_select(dimension, there))


def _clear(branch: Branch, left: int, along: Along) -> None:
    """Set everything behind the channels that are left to 0, and its masks to what is live."""
    for tensor, dimension in branch.carriers():
        for one in (tensor, *along.get(id(tensor), ())):
            one.narrow(dimension, left, one.shape[dimension] - left).fill_(one.dtype == torch.bool)


def _clear_norms(network: nn.Module, runs: Mapping[str, int], along: Along) -> None:
    """Set the norms of blocks that have lost all paths to 0, so that nothing comes from them."""
    for module in network.modules():
        if isinstance(module, ElasticBranches) and not runs[module.decision]:
            module.norm.running_mean.zero_()
            for parameter in module.norm.parameters():
                for tensor in (parameter, *along.get(id(parameter), ())):
                    tensor.zero_()


def shrunk_blocks(found: Sequence[Path], marks: Mapping[str, Tensor]) -> dict[str, int]:
    """Return whether each block has paths with channels left, as 1 or 0."""
    runs: dict[str, int] = {}
    for path in found:
        left = path.channels - int(marks[path.decision].sum())
        runs[path.block] = int(bool(runs.get(path.block)) or left > 0)
    return runs


def shrunk(space: Space, found: Sequence[Path], marks: Mapping[str, Tensor]) -> Architecture:
    """Return the architecture without the dead channels."""
    left = {path.decision: path.channels - int(marks[path.decision].sum()) for path in found}
    return space.architecture({**shrunk_blocks(found, marks), **left})


def unmask_paths(network: nn.Module) -> int:
    """Make all connections of all paths live again; return how many were masked."""
    masked = 0
    for module in network.modules():
        if isinstance(module, ElasticBranches):
            for _, layer in masked_layers(module.paths):
                masked += int((~layer.mask[layer.live()]).sum())
                layer.mask.fill_(True)
    return masked
