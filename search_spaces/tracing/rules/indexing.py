"""Tables: lookups by index tensors."""

from collections.abc import Mapping

from search_spaces.tracing.labels import Labels
from search_spaces.tracing.rules.elementwise import broadcast
from search_spaces.tracing.walk import Call, Result, Rule, Value

INDEX = "index"


def lookup(call: Call) -> Result:
    """Pin dimensions that are looked up by index tensors; the others keep their labels."""
    value, indices = call["self"], call["indices"]
    given = [place for place, item in enumerate(indices) if item is not None]
    for place in given:
        call.walk.pin(indices[place], INDEX)
        call.labels.pin(value.dims[place], INDEX)
    found = broadcast(call, [indices[place] for place in given])
    kept = [labels for place, labels in enumerate(value.dims) if place not in given]
    adjacent = given == list(range(given[0], given[-1] + 1))
    place = given[0] if adjacent else 0
    dims: list[Labels | None] = [*kept[:place], *[None] * len(found.dims), *kept[place:]]
    return call.result(dims, INDEX)


def index_select(call: Call) -> Result:
    """Pin the dimension that is looked up."""
    value, place = call["self"], call["dim"] % len(call["self"].dims)
    call.walk.pin(call["index"], INDEX)
    call.labels.pin(value.dims[place], INDEX)
    return call.result([None if d == place else labels for d, labels in enumerate(value.dims)], INDEX)


def embedding(call: Call) -> Result:
    """Pin the rows of a table; its columns are channels."""
    weight, indices = call["weight"], call["indices"]
    call.walk.pin(indices, INDEX)
    call.labels.pin(weight.dims[0], "entries of a table")
    return call.result([*indices.dims, weight.dims[1]], INDEX)


def gather(call: Call) -> Result:
    """Pin the dimension along which is gathered, and tie the others to those of the index."""
    value, index, place = call["self"], call["index"], call["dim"] % len(call["self"].dims)
    call.labels.pin(value.dims[place], INDEX)
    call.labels.pin(index.dims[place], INDEX)
    dims: list[Labels | None] = []
    for dimension, (labels, own) in enumerate(zip(value.dims, index.dims)):
        if dimension != place and len(labels) == len(own):
            call.labels.merge(labels, own)
            dims.append(own)
        else:
            call.labels.pin(labels, INDEX)
            dims.append(None)
    return call.result(dims, INDEX)


def recurrent(call: Call) -> Result:
    """Pin the state of an LSTM and of its like."""
    return call.pinned("the state of a recurrent layer")


def inert(call: Call) -> Value:
    """Return a value that has only fixed sizes."""
    return call.walk.fixed(call.shape, INDEX, call.live)


RULES: Mapping[str, Rule] = {
    "index": lookup,
    "index_select": index_select,
    "embedding": embedding,
    "gather": gather,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), recurrent),
}
