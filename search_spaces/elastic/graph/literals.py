"""Sizes among the arguments of operations, brought to the kept units, the batch and the images of the moment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from search_spaces.elastic.graph.kept import Kept, Layout
from search_spaces.tracing.traced import BATCH

aten = torch.ops.aten
_LARGEST_SIZE = 2**40  # larger numbers mean "to the end"


@dataclass(frozen=True)
class Batch:
    """A multiple of the batch, known when the network runs.

    Args:
        factor: What the batch is multiplied by.
    """

    factor: int


@dataclass(frozen=True)
class Call:
    """One operation with the arguments of a setting.

    Args:
        function: What is called.
        args: Its arguments: nodes, numbers and `Batch`, in nested lists.
        kwargs: Its named arguments.
        crop: Pixels that are cut off both ends of the last dimensions of its first input, the first of these first.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    crop: tuple[int, ...] = ()


class Look:
    """What rules ask about a node under one setting.

    Args:
        layout: Where units stand.
        counts: Units that each group keeps.
    """

    def __init__(self, layout: Layout, counts: Sequence[int]) -> None:
        self.layout, self.counts = layout, counts

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Return the shape that was traced."""
        return self.layout.shapes[node.name]

    def kept(self, node: fx.Node, dimension: int) -> Kept | None:
        """Return what is kept of a dimension; None for everything."""
        axis = self.layout.node_axis(node.name, dimension)
        return None if axis is None else axis.at(self.counts)

    def count(self, node: fx.Node, dimension: int) -> int:
        """Return how long a dimension is; one that holds the batch, for a batch of one."""
        kept = self.kept(node, dimension)
        if kept is not None:
            return kept.count
        size = self.shape(node)[dimension]
        return size // BATCH if self.layout.holds_batch(node.name, dimension) else size

    def scaled(self, node: fx.Node, dimension: int, literal: Any) -> Any:
        """Return a size literal of a dimension for what is kept of it."""
        if not isinstance(literal, int) or literal < 0:
            return literal
        kept, factor = self.kept(node, dimension), literal
        batched = literal > 0 and literal % BATCH == 0
        factor = literal // BATCH if batched else literal
        if kept is not None:  # at other image sizes a flattened dimension is a multiple
            factor = factor * kept.count // kept.size
        return Batch(factor) if batched else factor


Rule = Callable[[fx.Node, list[Any], Look], Callable[..., Any] | None]


def resized(node: fx.Node, literals: Sequence[Any] | None, look: Look) -> Call:
    """Return an operation with the sizes of a setting.

    Args:
        node: The operation.
        literals: Its arguments at another image size; None for those traced.
        look: The setting.
    """
    target: Any = node.target
    args = list(node.args) if literals is None else _merged(list(node.args), literals)
    rule = _RULES.get(getattr(target, "overloadpacket", None), _batches)
    return Call(rule(node, args, look) or target, tuple(args), dict(node.kwargs))


def _merged(args: Any, literals: Any) -> Any:
    """Return arguments with other numbers and the nodes they had."""
    if isinstance(args, fx.Node):
        return args
    if isinstance(args, list | tuple) and isinstance(literals, list | tuple) and len(args) <= len(literals):
        rest = list(literals[len(args) :])
        return [*map(_merged, args, literals), *rest]
    return literals


def place_of(node: fx.Node, name: str) -> int:
    """Return the position of an argument of an operation; -1 where it has none of that name."""
    schema = node.target._schema  # type: ignore[union-attr]
    return next((i for i, argument in enumerate(schema.arguments) if argument.name == name), -1)


def _get(node: fx.Node, args: list[Any], name: str, default: Any = None) -> Any:
    place = place_of(node, name)
    return args[place] if 0 <= place < len(args) else default


def _tensor(args: list[Any]) -> fx.Node:
    return args[0]


def _dimension(node: fx.Node, args: list[Any], look: Look) -> int:
    """Return the dimension of the first input that an operation works on."""
    return int(_get(node, args, "dim", 0)) % len(look.shape(_tensor(args)))


# ---- rules: change `args`, and return another function where needed --------------------------------------------------


def _batches(node: fx.Node, args: list[Any], look: Look) -> None:
    """Bring multiples of the traced batch to that of the moment; what other operations need."""
    args[:] = [_batched(argument) for argument in args]


def _batched(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_batched(item) for item in value]
    whole = isinstance(value, int) and not isinstance(value, bool)
    return Batch(value // BATCH) if whole and 0 < value < _LARGEST_SIZE and value % BATCH == 0 else value


def _sizes(node: fx.Node, args: list[Any], look: Look) -> None:
    """Bring a list of sizes of the output."""
    place = max(place_of(node, name) for name in ("size", "shape"))
    if place >= 0 and isinstance(args[place], list | tuple):
        args[place] = [look.scaled(node, dimension, literal) for dimension, literal in enumerate(args[place])]


def _unflatten(node: fx.Node, args: list[Any], look: Look) -> None:
    first = _dimension(node, args, look)
    args[2] = [look.scaled(node, first + place, literal) for place, literal in enumerate(args[2])]


def _repeats(node: fx.Node, args: list[Any], look: Look) -> None:
    """Bring how often each dimension is repeated; a list may be shorter than the dimensions of the input."""
    inner, outer = len(look.shape(_tensor(args))), len(look.shape(node))
    times = list(args[1])
    for place, repeat in enumerate(times):
        dimension = outer - len(times) + place
        before = dimension - (outer - inner)
        times[place] = _repeat(repeat, node, dimension, look, look.count(_tensor(args), before) if before >= 0 else 1)
    args[1] = times


def _repeat(repeat: int, node: fx.Node, dimension: int, look: Look, before: int) -> Any:
    if look.kept(node, dimension) is None:  # at other image sizes it is another number
        return Batch(repeat // BATCH) if repeat % BATCH == 0 and repeat else repeat
    if repeat == 1:
        return 1
    times = look.count(node, dimension) // before
    return Batch(times) if repeat % BATCH == 0 else times


def _repeat_interleave(node: fx.Node, args: list[Any], look: Look) -> None:
    if isinstance(args[1], int) and _get(node, args, "dim") is not None:
        dimension = _dimension(node, args, look)
        args[1] = _repeat(args[1], node, dimension, look, look.count(_tensor(args), dimension))


def _slice(node: fx.Node, args: list[Any], look: Look) -> None:
    """Bring where a slice starts and ends; a trace keeps all of a dimension that is taken in steps."""
    dimension = _dimension(node, args, look)
    kept = look.kept(_tensor(args), dimension)
    if kept is None:
        _batches(node, args, look)
        return
    start, end = (_get(node, args, name) for name in ("start", "end"))
    taken = range(kept.size)[start:end]
    args[:] = [args[0], dimension, kept.before(taken.start), kept.before(taken.stop)]


def _select(node: fx.Node, args: list[Any], look: Look) -> None:
    kept = look.kept(_tensor(args), _dimension(node, args, look))
    if kept is not None:
        args[2] = kept.before(args[2])


def _narrow(node: fx.Node, args: list[Any], look: Look) -> None:
    kept = look.kept(_tensor(args), _dimension(node, args, look))
    if kept is None:
        _batches(node, args, look)
    else:
        start, length = args[2], args[3]
        args[2] = kept.before(start)
        args[3] = kept.before(start + length) - args[2]


def _split(node: fx.Node, args: list[Any], look: Look) -> Callable[..., Any] | None:
    """Bring the sizes of the parts; parts of equal size become parts of listed sizes."""
    dimension = _dimension(node, args, look)
    kept = look.kept(_tensor(args), dimension)
    if kept is None:
        _batches(node, args, look)
        return None
    if isinstance(args[1], list | tuple):
        ends = [sum(args[1][: place + 1]) for place in range(len(args[1]))]
    else:
        packet = node.target.overloadpacket  # type: ignore[union-attr]
        length = args[1] if packet in (aten.split, aten.unsafe_split) else -(-kept.size // args[1])
        ends = [min(end, kept.size) for end in range(length, kept.size + length, length)]
    starts = [0, *ends[:-1]]
    args[:] = [args[0], [kept.before(end) - kept.before(start) for start, end in zip(starts, ends)], dimension]
    return aten.split_with_sizes.default


def _normalized_shape(node: fx.Node, args: list[Any], look: Look) -> None:
    given = _tensor(args)
    first = len(look.shape(given)) - len(args[1])
    args[1] = [look.scaled(given, first + place, literal) for place, literal in enumerate(args[1])]


def _groups(node: fx.Node, args: list[Any], look: Look) -> None:
    """Bring the number of groups of a convolution or norm: those that keep a channel."""
    place = max(place_of(node, name) for name in ("groups", "num_groups"))
    kept = look.kept(_tensor(args), 1)
    if kept is None or place >= len(args) or args[place] == 1:
        return
    channels = kept.size // args[place]
    args[place] = len({int(index) // channels for index in kept.indices})


def _pad(node: fx.Node, args: list[Any], look: Look) -> None:
    """Bring how much is added at both ends of a dimension whose units are dropped."""
    amounts = list(args[1])
    for place in range(len(amounts) // 2):
        dimension = len(look.shape(node)) - 1 - place
        kept = look.kept(node, dimension)
        if kept is not None:
            before, after = amounts[2 * place : 2 * place + 2]
            amounts[2 * place] = kept.before(before) if before > 0 else before
            amounts[2 * place + 1] = kept.count - kept.before(kept.size - after) if after > 0 else after
    args[1] = amounts


def _squeeze(node: fx.Node, args: list[Any], look: Look) -> Callable[..., Any] | None:
    """Name the dimensions that go, since other settings and batches may have more of size 1."""
    shape = look.shape(_tensor(args))
    named = args[1] if len(args) > 1 else range(len(shape))
    named = [named] if isinstance(named, int) else list(named)
    args[1:] = [[dimension for dimension in named if shape[dimension] == 1]]
    if args[1]:
        return aten.squeeze.dims
    args[1:] = []
    return aten.alias.default


_NO_TENSOR = (aten.zeros, aten.ones, aten.full, aten.empty, aten.rand, aten.randn)
_RULES: dict[Any, Rule] = {
    **dict.fromkeys((aten.view, aten.reshape, aten._unsafe_view, aten.expand, aten.broadcast_to), _sizes),
    **dict.fromkeys((aten.new_zeros, aten.new_ones, aten.new_full, aten.new_empty, *_NO_TENSOR), _sizes),
    aten.unflatten: _unflatten,
    **dict.fromkeys((aten.repeat, aten.tile), _repeats),
    aten.repeat_interleave: _repeat_interleave,
    aten.slice: _slice,
    aten.select: _select,
    aten.narrow: _narrow,
    **dict.fromkeys((aten.split, aten.split_with_sizes, aten.chunk, aten.unsafe_split, aten.unsafe_chunk), _split),
    **dict.fromkeys((aten.layer_norm, aten.rms_norm), _normalized_shape),
    **dict.fromkeys((aten.conv1d, aten.conv2d, aten.conv3d, aten.convolution, aten.group_norm), _groups),
    **dict.fromkeys((aten.conv_transpose1d, aten.conv_transpose2d, aten.conv_transpose3d), _groups),
    **dict.fromkeys((aten.constant_pad_nd, aten.pad), _pad),
    aten.squeeze: _squeeze,
}
