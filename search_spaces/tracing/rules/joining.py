"""Operations that join tensors or take them apart along a dimension."""

from collections.abc import Mapping, Sequence

import numpy as np

from search_spaces.tracing.labels import Labels
from search_spaces.tracing.rules.elementwise import broadcast
from search_spaces.tracing.rules.shapes import APART
from search_spaces.tracing.traced import BATCH
from search_spaces.tracing.walk import Call, Result, Rule, Value

STRIDED = "every second index is taken"
SELECTED = "a single index is taken"


def concatenate(call: Call) -> Result:
    """Put labels side by side along one dimension, and tie all others."""
    values = [value for value in call["tensors"] if value.sizes != (0,)]
    rank = len(values[0].dims)
    place = call.get("dim", 0) % rank
    others = [Value((*value.dims[:place], *value.dims[place + 1 :])) for value in values]
    tied = list(broadcast(call, others).dims) if rank > 1 else []
    tied.insert(place, np.concatenate([value.dims[place] for value in values]))
    batch = next((value.batch for value in values if value.batch is not None), None)
    return Value(tuple(tied), batch, any(value.live for value in values))


def stack(call: Call) -> Result:
    """Tie all dimensions; the new one stays."""
    value = broadcast(call, call["tensors"])
    place = call.get("dim", 0) % (len(value.dims) + 1)
    dims = [*value.dims[:place], None, *value.dims[place:]]
    return call.result(dims, "stacked")


def pieces(call: Call) -> Result:
    """Hand each piece the labels of its indices."""
    value, place = call["self"], call.get("dim", 0) % len(call["self"].dims)
    shapes = call.node.meta["parts"]
    if place == value.batch:
        return call.pinned("the batch is taken apart")
    found: list[Value | None] = []
    start = 0
    for shape in shapes:
        labels = value.dims[place][start : start + shape[place]]
        start += shape[place]
        found.append(with_dimension(call, value, place, labels))
    return found


def with_dimension(call: Call, value: Value, place: int, labels: Labels) -> Value:
    """Return a value with other labels in one dimension; a dimension of size 1 stays."""
    if len(labels) == 1:
        call.labels.pin(labels, SELECTED)
    return Value((*value.dims[:place], labels, *value.dims[place + 1 :]), value.batch, value.live)


def narrow(call: Call) -> Result:
    """Hand a slice the labels of its indices; a step larger than 1 pins them."""
    value, place = call["self"], call.get("dim", 0) % len(call["self"].dims)
    labels, step = value.dims[place], call.get("step", 1)
    if place == value.batch:
        return value if call.shape[place] == call_size(call, value) else call.pinned("a part of the batch")
    start, end = call.get("start", 0), call.get("end")
    if "length" in call.arguments:
        end = start + call["length"]
    taken = labels[slice(start, end, step)]
    if step != 1:
        call.labels.pin(labels, STRIDED)
    return value if len(taken) == len(labels) else with_dimension(call, value, place, taken)


def call_size(call: Call, value: Value) -> int:
    """Return the size of the dimension with the batch."""
    return BATCH * len(value.dims[call.get("dim", 0) % len(value.dims)])


def without(value: Value, place: int) -> Value:
    """Return a value without one dimension."""
    batch = value.batch - (place < value.batch) if value.batch is not None else None
    return Value((*value.dims[:place], *value.dims[place + 1 :]), batch, value.live)


def select(call: Call) -> Result:
    """Pin the dimension of which one index is taken."""
    value, place = call["self"], call.get("dim", 0) % len(call["self"].dims)
    call.labels.pin(value.dims[place], SELECTED)
    return without(value, place)


def unbind(call: Call) -> Result:
    """Pin the dimension that is taken apart."""
    value, place = call["self"], call.get("dim", 0) % len(call["self"].dims)
    call.labels.pin(value.dims[place], APART)
    return [without(value, place) for _ in range(len(value.dims[place]))]


def gated_half(call: Call) -> Result:
    """Tie both halves of a gated linear unit."""
    value = call["self"]
    place = call.get("dim", -1) % len(value.dims)
    first, second = np.split(value.dims[place], 2)
    call.labels.merge(first, second)
    return with_dimension(call, value, place, first)


def meshgrid(call: Call) -> Result:
    """Pin grids of positions."""
    return call.pinned("a grid of positions")


def broadcast_all(call: Call) -> Result:
    """Tie several values to one shape."""
    values: Sequence[Value] = call["tensors"]
    result = broadcast(call, values)
    return [result for _ in values]


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("cat", "concat", "concatenate"), concatenate),
    "stack": stack,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_chunk", "unsafe_split"), pieces),
    "slice": narrow,
    "narrow": narrow,
    "select": select,
    "unbind": unbind,
    "glu": gated_half,
    "meshgrid": meshgrid,
    "broadcast_tensors": broadcast_all,
}
