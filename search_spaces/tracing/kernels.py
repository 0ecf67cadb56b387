"""Depthwise kernels that can be cropped at their centre."""

from torch import fx, nn

from search_spaces.tracing.traced import DepthwiseKernel
from search_spaces.tracing.walk import Walk


def kernels_of(walk: Walk) -> tuple[DepthwiseKernel, ...]:
    """Return the depthwise kernels of 5 and more that are padded to keep positions."""
    found = []
    learned = {name for name, tensor in walk.flat.tensors.items() if isinstance(tensor, nn.Parameter)}
    for node, weight in walk.notes.kernels:
        shape = walk.flat.shapes[weight.name]
        odd_square = len(shape) == 4 and shape[1] == 1 and shape[2] == shape[3] >= 5 and shape[2] % 2 == 1
        if odd_square and weight.target in learned and is_centred(node, shape[2]):
            found.append(DepthwiseKernel(node.name, str(weight.target), shape[2]))
    return tuple(found)


def is_centred(node: fx.Node, size: int) -> bool:
    """Return whether a convolution is padded by half its kernel on each side."""
    named = {item.name: item.default_value for item in node.target._schema.arguments if item.has_default_value()}  # type: ignore[union-attr]
    named |= {item.name: value for item, value in zip(node.target._schema.arguments, node.args)}  # type: ignore[union-attr]
    named |= node.kwargs
    if named["padding"] == "same":
        return True
    dilation = list(named["dilation"]) * (3 - len(named["dilation"]))
    padding = list(named["padding"]) * (3 - len(named["padding"]))
    return [step * (size - 1) // 2 for step in dilation] == padding
