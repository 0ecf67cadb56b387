"""Convolutions: dense, depthwise, grouped and transposed."""

from collections.abc import Mapping

import numpy as np

from search_spaces.tracing.walk import PIXELS, Call, Result, Rule, Value, tie_all

KERNEL = "kernel positions"
INSIDE_A_GROUP = "channels inside a group of a grouped convolution"


def convolution(call: Call) -> Result:
    """Tie channels of input, weight and bias; the result has the labels of the weight's output channels."""
    value, weight, groups = call["input"], call["weight"], call.get("groups", 1)
    spatial = len(weight.dims) - 2
    channel = len(value.dims) - spatial - 1
    for labels in weight.dims[2:]:
        call.labels.pin(labels, KERNEL)
    positions = [pass_positions(call, labels, place) for place, labels in enumerate(value.dims[channel + 1 :])]
    transposed = "transpose" in str(call.node.target)
    out = tie_transposed(call, value.dims[channel]) if transposed else tie_channels(call, value.dims[channel])
    bias = call.get("bias")
    if bias is not None:
        call.labels.merge(out, bias.dims[0])
    if groups > 1 and not transposed and groups == len(value.dims[channel]):
        note_kernel(call, value)
    return call.result([*value.dims[:channel], out, *positions])


def pass_positions(call: Call, labels: np.ndarray, place: int) -> np.ndarray | None:
    """Pass the labels of positions through a kernel of 1 without stride; pin them for any other."""
    stride, padding = call.get("stride", [1]), call.get("padding", [0])
    stride, padding = (list(item) if not isinstance(item, str) else [0] for item in (stride, padding))
    unmoved = stride[place % len(stride)] == 1 and padding[place % len(padding)] == 0
    if unmoved and len(call["weight"].dims[place + 2]) == 1:
        return labels
    call.labels.pin(labels, PIXELS)
    return None


def tie_channels(call: Call, channels: np.ndarray) -> np.ndarray:
    """Tie the channels of a convolution with a weight [out, in / groups, ...]; return its output channels."""
    out, inner, groups = call["weight"].dims[0], call["weight"].dims[1], call.get("groups", 1)
    if groups == 1:
        call.labels.merge(channels, inner)
        return out
    call.labels.pin(inner, INSIDE_A_GROUP)
    tie_groups(call, channels.reshape(groups, -1), out.reshape(groups, -1))
    return out


def tie_transposed(call: Call, channels: np.ndarray) -> np.ndarray:
    """Tie the channels of a convolution with a weight [in, out / groups, ...]; return its output channels."""
    entry, inner, groups = call["weight"].dims[0], call["weight"].dims[1], call.get("groups", 1)
    call.labels.merge(channels, entry)
    if groups == 1:
        return inner
    call.labels.pin(inner, INSIDE_A_GROUP)
    out = call.labels.fresh(len(inner) * groups)
    tie_groups(call, channels.reshape(groups, -1), out.reshape(groups, -1))
    return out


def tie_groups(call: Call, entering: np.ndarray, leaving: np.ndarray) -> None:
    """Make each group one unit: its input channels and its output channels [groups, channels]."""
    tie_all(call.labels, np.concatenate([entering, leaving], axis=1))
    if entering.shape[1] > 1:
        call.walk.notes.grouped.append(entering[:, 0])


def note_kernel(call: Call, value: Value) -> None:
    """Note a depthwise convolution, whose kernel may be cropped."""
    weight = call.node.args[1]
    if getattr(weight, "op", "") == "get_attr" and value.batch == 0:
        call.walk.notes.kernels.append((call.node, weight))  # type: ignore[arg-type]


NAMES = "conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d"

RULES: Mapping[str, Rule] = dict.fromkeys(NAMES.split(), convolution)
