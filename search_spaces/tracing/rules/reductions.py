"""Reductions, and operations that mix positions along one dimension but keep their order free."""

from collections.abc import Mapping, Sequence

from search_spaces.tracing.labels import Labels
from search_spaces.tracing.walk import ONE, Call, Result, Rule, Value, operation_name


def pin_order(call: Call, value: Value) -> None:
    """Pin the dimensions along which the operation depends on order."""
    for dimension in dimensions_of(call, len(value.dims)):
        call.labels.pin(value.dims[dimension], f"the operation {operation_name(call.node)} depends on order here")


def dimensions_of(call: Call, rank: int) -> list[int]:
    """Return the dimensions that an operation names, all where it names none."""
    given = call.get("dim", call.get("dims", call.get("axis")))
    if given is None or (isinstance(given, Sequence) and not given):
        return list(range(rank))
    return sorted(dimension % rank for dimension in ([given] if isinstance(given, int) else given))


def reduction(call: Call) -> Result:
    """Take dimensions away; those that stay keep their labels."""
    value = call.inputs[0]
    reduced = dimensions_of(call, len(value.dims))
    keep = bool(call.get("keepdim", False))
    dims: list[Labels] = []
    for dimension, labels in enumerate(value.dims):
        if dimension not in reduced:
            dims.append(labels)
        elif keep:
            dims.append(call.labels.fixed(1, ONE))
    parts = call.node.meta.get("parts")
    result = Value(tuple(dims), call_batch(value, reduced, keep), value.live)
    return [result for _ in parts] if parts is not None else result


def call_batch(value: Value, reduced: Sequence[int], keep: bool) -> int | None:
    """Return where the batch is after a reduction."""
    if value.batch is None or value.batch in reduced:
        return None
    return value.batch if keep else value.batch - sum(dimension < value.batch for dimension in reduced)


def pick(call: Call) -> Result:
    """Pin the dimension along which an index is the answer."""
    value = call.inputs[0]
    pin_order(call, value)
    return reduction(call)


def along(call: Call) -> Result:
    """Keep all labels: softmax and norms of vectors do not depend on order."""
    return call.inputs[0]


def ordered(call: Call) -> Result:
    """Pin the dimension along which order matters, and keep the shape."""
    value = call.inputs[0]
    pin_order(call, value)
    parts = call.node.meta.get("parts")
    return [value for _ in parts] if parts is not None else value


REDUCTIONS = """
mean sum amax amin prod var std var_mean std_mean norm linalg_vector_norm logsumexp all any count_nonzero aminmax
"""

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(REDUCTIONS.split(), reduction),
    **dict.fromkeys(("argmax", "argmin", "max", "min", "median"), pick),
    **dict.fromkeys(("softmax", "log_softmax", "_softmax"), along),
    **dict.fromkeys(("cumsum", "cumprod", "sort", "flip", "roll", "argsort"), ordered),
}
