"""Operations that move, add or repeat dimensions without mixing them."""

from collections.abc import Mapping, Sequence

import numpy as np

from search_spaces.tracing.labels import Labels
from search_spaces.tracing.rules.elementwise import broadcast
from search_spaces.tracing.traced import BATCH
from search_spaces.tracing.walk import ONE, PIXELS, Call, Result, Rule, Value

APART = "taken apart index by index"


def moved(value: Value, order: Sequence[int]) -> Value:
    """Return a value with its dimensions in another order."""
    order = [dimension % len(value.dims) for dimension in order]
    batch = order.index(value.batch) if value.batch is not None else None
    return Value(tuple(value.dims[dimension] for dimension in order), batch, value.live)


def permute(call: Call) -> Result:
    """Move dimensions."""
    return moved(call["self"], call["dims"])


def transpose(call: Call) -> Result:
    """Swap two dimensions; the last two where none are named."""
    value = call["self"]
    order = list(range(len(value.dims)))
    first, second = call.get("dim0", -2), call.get("dim1", -1)
    if len(order) > 1:
        order[first], order[second] = order[second], order[first]
    return moved(value, order)


def movedim(call: Call) -> Result:
    """Move some dimensions to other places; the rest keeps its order."""
    value, rank = call["self"], len(call["self"].dims)
    pairs = [[item] if isinstance(item, int) else list(item) for item in (call["source"], call["destination"])]
    source, target = ([place % rank for place in places] for places in pairs)
    rest = iter(place for place in range(rank) if place not in source)
    return moved(value, [source[target.index(place)] if place in target else next(rest) for place in range(rank)])


def unsqueeze(call: Call) -> Result:
    """Add a dimension of size 1."""
    value, dims = call["self"], list(call["self"].dims)
    place = call["dim"] % (len(dims) + 1)
    dims.insert(place, call.labels.fixed(1, ONE))
    batch = value.batch + (value.batch >= place) if value.batch is not None else None
    return Value(tuple(dims), batch, value.live)


def squeeze(call: Call) -> Result:
    """Take dimensions of size 1 away."""
    value, given = call["self"], call.get("dim")
    rank = len(value.dims)
    named = range(rank) if given is None else [d % rank for d in ([given] if isinstance(given, int) else given)]
    gone = {d for d in named if len(value.dims[d]) == 1 and d != value.batch}
    batch = value.batch - sum(d < value.batch for d in gone) if value.batch is not None else None
    return Value(tuple(labels for d, labels in enumerate(value.dims) if d not in gone), batch, value.live)


def expand(call: Call) -> Result:
    """Repeat dimensions of size 1; all indices that come of one are alike and may be left out."""
    value = call["self"]
    shape = call.shape
    batch = batch_of(call, value, len(shape))
    dims: list[Labels] = []
    for place, size in enumerate(shape):
        back = place - len(shape) + len(value.dims)
        old = value.dims[back] if back >= 0 else call.labels.fixed(1, ONE)
        if place == batch:
            dims.append(old)
        else:
            dims.append(old if len(old) == size else call.walk.size(size))
    return Value(tuple(dims), batch, value.live or batch is not None)


def batch_of(call: Call, value: Value, rank: int) -> int | None:
    """Return the dimension that holds the batch after one is expanded, also where only a size tells it."""
    if value.batch is not None:
        return value.batch - len(value.dims) + rank
    shape = call.shape
    old = [1] * (rank - len(value.dims)) + list(value.sizes)
    return next((d for d, (size, before) in enumerate(zip(shape, old)) if size == BATCH and before == 1), None)


def expand_as(call: Call) -> Result:
    """Expand to the shape of another value, whose labels the result gets."""
    return broadcast(call, [call["self"], call["other"]])


def repeat(call: Call) -> Result:
    """Repeat whole dimensions; copies of one index are left out together."""
    value = call["self"]
    times = list(call.get("repeats", call.get("dims")))
    rank = max(len(times), len(value.dims))
    times = [1] * (rank - len(times)) + times
    old = [call.labels.fixed(1, ONE)] * (rank - len(value.dims)) + list(value.dims)
    batch = batch_of(call, value, rank)
    dims = []
    for place, (labels, count) in enumerate(zip(old, times)):
        if place == batch:
            dims.append(labels)
        elif len(labels) == 1:
            dims.append(call.walk.size(count))
        else:
            dims.append(np.tile(labels, count))
    return Value(tuple(dims), batch, value.live or batch is not None)


def repeat_interleave(call: Call) -> Result:
    """Repeat each index in place."""
    value, count, dimension = call["self"], call.get("repeats"), call.get("dim")
    if not isinstance(count, int) or dimension is None:
        return call.pinned("repeated by a tensor")
    dims = list(value.dims)
    place = dimension % len(dims)
    dims[place] = call.walk.size(count) if len(dims[place]) == 1 else np.repeat(dims[place], count)
    return Value(tuple(dims), value.batch, value.live)


def pixel_shuffle(call: Call) -> Result:
    """Tie the channels that become one."""
    value, square = call["self"], call["upscale_factor"] ** 2
    rows = value.dims[-3].reshape(-1, square)
    call.labels.merge(rows[:, :1], rows)
    return call.result([*value.dims[:-3], rows[:, 0], None, None])


def pixel_unshuffle(call: Call) -> Result:
    """Label channels by the one that they come from."""
    value, square = call["self"], call["downscale_factor"] ** 2
    return call.result([*value.dims[:-3], np.repeat(value.dims[-3], square), None, None])


def channel_shuffle(call: Call) -> Result:
    """Tie the channels of one place in all groups, and mix groups."""
    value, groups = call.inputs[0], call["groups"]
    rows = value.dims[1].reshape(groups, -1)
    call.labels.merge(rows[:1], rows)
    return call.result([value.dims[0], rows.T.ravel(), *value.dims[2:]])


def diagonal_positions(call: Call) -> Result:
    """Pin both dimensions of a triangle."""
    value = call.inputs[0]
    for labels in value.dims[-2:]:
        call.labels.pin(labels, PIXELS)
    return value


RULES: Mapping[str, Rule] = {
    "permute": permute,
    **dict.fromkeys(("transpose", "t", "swapaxes", "swapdims", "numpy_T", "mT", "mH", "adjoint"), transpose),
    **dict.fromkeys(("movedim", "moveaxis"), movedim),
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "expand": expand,
    "expand_as": expand_as,
    "repeat": repeat,
    "tile": repeat,
    "repeat_interleave": repeat_interleave,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "channel_shuffle": channel_shuffle,
    "tril": diagonal_positions,
    "triu": diagonal_positions,
}
