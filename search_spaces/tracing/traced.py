"""What a trace says of a network: its graph, and the units that every index of every dimension belongs to.

A *unit* is what can be left out by itself: a channel, a head, a whole group of a grouped convolution. Units that stand
at the same places form a `Group`. All units of a network are numbered through; -1 stands for an index that always
stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor, fx, nn

BATCH = 1009
"""Examples of the traced batch: a prime that no size of a network is a multiple of.

It is neither a square nor a little more than one, as numbers of tokens are: 101 tokens are 10 x 10 patches and a class
token.
"""

Kind = Literal["stream", "hidden", "heads", "grouped"]
Units = tuple[np.ndarray | None, ...]
"""For each dimension of a tensor the number of the unit at every index; None where the whole dimension is fixed."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Units that are kept or left out together wherever they appear.

    Args:
        name: Name that no other group has, taken from the checkpoint: the first tensor that it is a part of.
        kind: `stream`, the residual width of a stage; `hidden`, channels inside a block; `heads` of one attention;
            `grouped`, whole groups of grouped convolutions.
        size: Number of units.
        first: Number of its first unit among all units of the network; the others follow it.
        scope: Innermost module that all places of the group are in; empty for the whole network.
    """

    name: str
    kind: Kind
    size: int
    first: int
    scope: str


@dataclass(frozen=True)
class Pin:
    """A size that stays as it is.

    Args:
        where: Tensor of the checkpoint or node of the graph.
        dimension: Its dimension.
        size: Its size.
        reason: Why it cannot follow a decision, for people.
    """

    where: str
    dimension: int
    size: int
    reason: str


@dataclass(frozen=True)
class Skippable:
    """A part of the graph that an identity path bypasses, so that its output may be replaced by its input.

    Args:
        scope: Module that it is, such as `layer1.1`.
        enters: Node whose value enters.
        leaves: Node whose value leaves, of the same shape.
        nodes: Nodes that only this part needs.
    """

    scope: str
    enters: str
    leaves: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class DepthwiseKernel:
    """A depthwise convolution whose kernel can be cropped at its centre.

    Args:
        node: The convolution in the graph.
        weight: Its weight in the checkpoint [C, 1, K, K].
        size: K.
    """

    node: str
    weight: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a network does otherwise in training, dropouts and batch norms aside, which the graph has.

    Args:
        arguments: Node -> position of an argument -> its value in training, such as the rate at which weights of an
            attention are dropped.
        held: Modules that stay in evaluation mode when the network is trained.
        left_out: What it does in training alone and the graph cannot hold, for people.
    """

    arguments: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Traced:
    """A network and what its trace says.

    Args:
        module: The network itself; its state dict is that of its checkpoints.
        graph: Its graph of ATen operations, flat: placeholders for its inputs, `get_attr` nodes for tensors, named as
            in the state dict or in `constants`, and operations.
        constants: Tensors of the graph that the state dict does not have.
        shapes: Node -> shape of its value for a batch of `BATCH`; nodes that give no tensor are missing.
        units: Node -> units of its dimensions. For a dimension that holds the batch, they are those of the size
            divided by `BATCH`.
        tensors: Name in the state dict or in `constants` -> units of its dimensions.
        groups: The groups, in the order of the graph.
        pins: Every size that was looked at and stays fixed.
        blocks: Parts that can be skipped, in the order of the graph.
        kernels: Depthwise kernels of 5 and more.
        literals: Side of square images in pixels -> node -> arguments that differ from those of `graph`. The sizes at
            which the network has the same graph; the traced size has an empty entry.
        training: What it does otherwise in training.
    """

    module: nn.Module
    graph: fx.Graph
    constants: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int, ...]]
    units: Mapping[str, Units]
    tensors: Mapping[str, Units]
    groups: tuple[Group, ...]
    pins: tuple[Pin, ...]
    blocks: tuple[Skippable, ...]
    kernels: tuple[DepthwiseKernel, ...]
    literals: Mapping[int, Mapping[str, tuple[Any, ...]]]
    training: Training = field(default_factory=Training)

    @property
    def group(self) -> Mapping[str, Group]:
        """Groups by name."""
        return {group.name: group for group in self.groups}
