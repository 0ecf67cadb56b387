"""Operations on single elements: inputs are broadcast against each other, and equal positions are tied."""

from collections.abc import Mapping, Sequence

from search_spaces.tracing.traced import BATCH
from search_spaces.tracing.walk import Call, Result, Rule, Value

NAMES = """
abs acos add addcdiv addcmul alias asin atan atan2 bernoulli bitwise_and bitwise_not bitwise_or ceil celu clamp
clamp_max clamp_min clone contiguous copy cos cosh deg2rad detach div dropout elu eq erf erfc exp expm1 exponential
feature_dropout floor floor_divide fmod ge gelu gt hardshrink hardsigmoid hardswish hardtanh isfinite isinf isnan le
leaky_relu lerp lift_fresh_copy lift_fresh log log10 log1p log2 log_sigmoid logical_and logical_not logical_or
logical_xor lt masked_fill maximum minimum mish mul multiply nan_to_num ne neg negative normal pow prelu_kernel
reciprocal relu relu6 remainder round rsqrt rsub selu sigmoid sign silu sin sinh softplus softshrink sqrt square sub
subtract tan tanh threshold to true_divide trunc uniform where xlogy divide special_expit fill zero
zeros_like ones_like full_like empty_like rand_like randn_like rand_like float alpha_dropout feature_alpha_dropout
_to_copy _weight_norm rrelu clip fmax fmin hypot logaddexp logit bitwise_xor positive isclose
"""


def broadcast(call: Call, values: Sequence[Value]) -> Value:
    """Return the broadcast of values, with equal positions tied."""
    rank = max(len(value.dims) for value in values)
    dims = []
    for back in range(rank, 0, -1):
        here = [value.dims[-back] for value in values if len(value.dims) >= back]
        wide = max(here, key=len)
        for labels in here:
            if len(labels) == len(wide) and labels is not wide and len(wide) > 1:
                call.labels.merge(wide, labels)
        dims.append(wide)
    batches = [value.batch - len(value.dims) + rank for value in values if value.batch is not None]
    return Value(tuple(dims), batches[0] if batches else None, any(value.live for value in values))


def elementwise(call: Call) -> Result:
    """Tie equal positions of all inputs."""
    values = call.inputs
    return broadcast(call, values) if values else call.pinned("made in the forward pass")


def written(call: Call) -> Result:
    """Tie a value that is written to with what is written into it; the result has the shape of the first."""
    result = broadcast(call, call.inputs)
    return Value(result.dims[-len(call.inputs[0].dims) :] if call.inputs[0].dims else (), result.batch, result.live)


def prelu(call: Call) -> Result:
    """Tie the slopes of PReLU to channels."""
    value, weight = call["self"], call["weight"]
    if len(weight.dims) == 1 and len(weight.dims[0]) > 1:
        call.labels.merge(value.dims[1], weight.dims[0])
    return value


def created(call: Call) -> Result:
    """Give a tensor of one number everywhere new labels: any of its indices may be left out."""
    batch = next((place for place, size in enumerate(call.shape) if size and size % BATCH == 0), None)
    sizes = [size // BATCH if place == batch else size for place, size in enumerate(call.shape)]
    return Value(tuple(call.walk.size(size) for size in sizes), batch, call.live)


def shaped_like(call: Call) -> Result:
    """Return a new value of the labels of another one."""
    return call.inputs[0]


CREATIONS = "new_zeros new_ones new_full new_empty zeros ones full empty scalar_tensor"

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(NAMES.split(), elementwise),
    **{name: shaped_like for name in NAMES.split() if name.endswith("_like")},
    **dict.fromkeys(CREATIONS.split(), created),
    "copy": written,
    "type_as": shaped_like,
    "prelu": prelu,
}
