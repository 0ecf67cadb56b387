"""Norms: their weights and statistics belong to the channels that they normalise."""

from collections.abc import Mapping

from search_spaces.tracing.walk import Call, Result, Rule, tie_all

CHANNEL_TENSORS = ("weight", "bias", "running_mean", "running_var")


def tie_channel_tensors(call: Call, dimension: int) -> None:
    """Tie weight, bias and statistics to the channels of the first argument."""
    channels = call["input"].dims[dimension]
    for name in CHANNEL_TENSORS:
        tensor = call.get(name)
        if tensor is not None:
            call.labels.merge(channels, tensor.dims[0])


def channel_norm(call: Call) -> Result:
    """Tie the tensors of batch and instance norm to channels."""
    tie_channel_tensors(call, 1)
    return call["input"]


def group_norm(call: Call) -> Result:
    """Tie the tensors of group norm to channels, and the channels inside each of several groups."""
    tie_channel_tensors(call, 1)
    channels, groups = call["input"].dims[1], call["num_groups"]
    if 1 < groups < len(channels):
        tie_all(call.labels, channels.reshape(groups, -1))
    return call["input"]


def last_dimensions_norm(call: Call) -> Result:
    """Tie weight and bias of layer and RMS norm to the last dimensions."""
    value = call["input"]
    for name in ("weight", "bias"):
        tensor = call.get(name)
        if tensor is not None:
            for labels, own in zip(reversed(value.dims), reversed(tensor.dims)):
                call.labels.merge(labels, own)
    return value


RULES: Mapping[str, Rule] = {
    "batch_norm": channel_norm,
    "instance_norm": channel_norm,
    "group_norm": group_norm,
    "layer_norm": last_dimensions_norm,
    "rms_norm": last_dimensions_norm,
}
