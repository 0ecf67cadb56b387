"""The part of a traced graph that a setting runs: what runtime and extraction read it from."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import fx

from search_spaces.elastic.graph.kept import Layout
from search_spaces.elastic.graph.literals import Call, Look, place_of, resized
from search_spaces.elastic.graph.plan import Plan
from search_spaces.elastic.graph.tensors import Cut
from search_spaces.tracing.traced import BATCH, DepthwiseKernel, Skippable, Traced


@dataclass(frozen=True)
class Source:
    """A trace, and where the units stand in it that follow decisions; shared by all copies of a network."""

    traced: Traced
    layout: Layout

    @cached_property
    def kernels(self) -> dict[str, DepthwiseKernel]:
        """Depthwise kernels by node."""
        return {one.node: one for one in self.traced.kernels}

    @cached_property
    def kernel_weights(self) -> dict[str, DepthwiseKernel]:
        """Depthwise kernels by the name of their weight."""
        return {one.weight: one for one in self.traced.kernels}

    @cached_property
    def blocks(self) -> dict[str, Skippable]:
        """Blocks by scope."""
        return {one.scope: one for one in self.traced.blocks}

    @cached_property
    def node(self) -> dict[str, fx.Node]:
        """Nodes by name."""
        return {node.name: node for node in self.traced.graph.nodes}

    @cached_property
    def order(self) -> dict[str, int]:
        """Paths of the modules of the network in their order."""
        return {path: place for place, (path, _) in enumerate(self.traced.module.named_modules())}

    @cached_property
    def outputs(self) -> list[fx.Node]:
        """Nodes that the network returns."""
        return list(self.traced.graph.find_nodes(op="output")[0].all_input_nodes)

    @cached_property
    def batch(self) -> tuple[fx.Node, int, int]:
        """The input, the dimension and the factor at which the batch is read.

        Raises:
            ValueError: No input holds the batch.
        """
        for node in self.traced.graph.find_nodes(op="placeholder"):
            for dimension, size in enumerate(self.traced.shapes[node.name]):
                if size and size % BATCH == 0:
                    return node, dimension, size // BATCH
        raise ValueError("no input of the network holds the batch")

    @cached_property
    def images(self) -> fx.Node | None:
        """The input that holds images [B, C, H, W]; None where there is none."""
        inputs = self.traced.graph.find_nodes(op="placeholder")
        return next((node for node in inputs if len(self.traced.shapes[node.name]) == 4), None)


class Active:
    """The part of a graph that a setting runs.

    Args:
        source: The graph.
        plan: The setting.
    """

    def __init__(self, source: Source, plan: Plan) -> None:
        self.source, self.plan = source, plan
        self.look = Look(source.layout, plan.counts)
        self.removed: set[str] = set()
        self._instead: dict[str, str] = {}
        for scope in plan.skipped:
            block = source.blocks[scope]
            self.removed.update(block.nodes)
            self._instead[block.leaves] = block.enters
        literals = source.traced.literals
        self._literals = literals.get(plan.side, {}) if plan.side is not None else {}

    def runs(self, node: fx.Node) -> bool:
        """Return whether a node runs."""
        return node.name not in self.removed and node.name not in self._instead

    def of(self, node: fx.Node) -> fx.Node:
        """Return the node whose value is used for that of a node: another one where a block is skipped."""
        if node.name not in self._instead:
            return node
        name = node.name
        while name in self._instead:
            name = self._instead[name]
        return self.source.node[name]

    def cut(self, name: str) -> Cut:
        """Return the dimensions of a tensor of which not everything is kept."""
        counts, found = self.plan.counts, []
        for dimension, axis in enumerate(self.source.layout.tensors.get(name, ())):
            kept = None if axis is None else axis.at(counts)
            if kept is not None:
                found.append((dimension, kept))
        return tuple(found)

    def kernel(self, weight: str) -> int | None:
        """Return the size to which a depthwise weight is cropped; None where it stays."""
        kernel = self.source.kernel_weights.get(weight)
        return None if kernel is None else self.plan.kernels.get(kernel.node)

    def call(self, node: fx.Node) -> Call:
        """Return an operation with the sizes of this setting."""
        call = resized(node, self._literals.get(node.name), self.look)
        size = self.plan.kernels.get(node.name)
        kernel = self.source.kernels.get(node.name)
        return call if size is None or kernel is None else _with_kernel(node, call, kernel.size - size)

    def call_in_training(self, node: fx.Node, call: Call) -> Call | None:
        """Return an operation as it is in training; None where it is the same."""
        changed = self.source.traced.training.arguments.get(node.name)
        if changed is None:
            return None
        args = padded(node, call.args, max(changed) + 1)
        return replace(call, args=tuple(changed.get(place, one) for place, one in enumerate(args)))

    def key(self, node: fx.Node, groups: tuple[int, ...]) -> tuple[Any, ...]:
        """Return what decides the arguments of a node that follows these groups."""
        counts = self.plan.counts
        return (*[counts[group] for group in groups], self.plan.side, self.plan.kernels.get(node.name))


def _with_kernel(node: fx.Node, call: Call, smaller: int) -> Call:
    """Return a convolution whose kernel is smaller by so many pixels: its padding shrinks, or else its input."""
    place, dilated = place_of(node, "padding"), place_of(node, "dilation")
    sides = 2
    dilation = _pair(call.args[dilated]) if len(call.args) > dilated else (1,) * sides
    padding = _pair(call.args[place]) if len(call.args) > place else (0,) * sides
    if isinstance(padding[0], str):
        return call
    margins = [smaller // 2 * one for one in dilation]
    left = [max(pad - margin, 0) for pad, margin in zip(padding, margins)]
    crop = tuple(max(margin - pad, 0) for pad, margin in zip(padding, margins))
    stride = call.args[3] if len(call.args) > 3 else [1] * sides
    args = (*call.args[:3], stride, left, *call.args[5:])
    return replace(call, args=args, crop=crop if any(crop) else ())


def padded(node: fx.Node, args: tuple[Any, ...], length: int) -> tuple[Any, ...]:
    """Return at least so many arguments of an operation; those that are not given have their defaults."""
    missing = node.target._schema.arguments[len(args) : length]  # type: ignore[union-attr]
    return (*args, *[argument.default_value for argument in missing])


def _pair(value: Any) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    return values * 2 if len(values) == 1 else values
