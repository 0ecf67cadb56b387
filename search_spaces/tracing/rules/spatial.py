"""Operations on positions: pooling, resizing, padding and windows. Channels pass, positions stay."""

from collections.abc import Mapping

import numpy as np

from search_spaces.tracing.walk import PIXELS, Call, Result, Rule, Value


def positions(call: Call) -> Result:
    """Pass the labels of dimensions whose size is kept and that are no positions; positions stay."""
    value = call.inputs[0]
    spatial = spatial_rank(call)
    for labels in value.dims[len(value.dims) - spatial :]:
        call.labels.pin(labels, PIXELS)
    dims = [*value.dims[: len(value.dims) - spatial], *[None] * spatial]
    parts = call.node.meta.get("parts")
    if parts is None:
        return call.result(dims)
    return [part_of(call, shape, value, spatial) for shape in parts]


def part_of(call: Call, shape: tuple[int, ...], value: Value, spatial: int) -> Value:
    """Return one of several results of pooling."""
    kept = value.dims[: len(value.dims) - spatial]
    return Value((*kept, *[call.labels.fixed(size, PIXELS) for size in shape[len(kept) :]]), value.batch, value.live)


def spatial_rank(call: Call) -> int:
    """Return how many dimensions of positions an operation has, from the number at the end of its name."""
    name = str(call.node.target).lower()
    for rank in (1, 2, 3):
        if f"{rank}d" in name:
            return rank
    return 2


def pad(call: Call) -> Result:
    """Pass labels of dimensions without padding; zeros beside channels may be left out like any of them."""
    value, padding = call["self"], list(call.get("pad", call.get("padding", ())))
    dims = list(value.dims)
    constant = str(call.get("mode", "constant")) == "constant" and "pad" in call.arguments
    for back, (before, after) in enumerate(zip(padding[::2], padding[1::2]), start=1):
        if before == after == 0:
            continue
        labels = dims[-back]
        if constant and before >= 0 and after >= 0 and call.labels.any_free([labels]):
            dims[-back] = np.concatenate([call.labels.fresh(before), labels, call.labels.fresh(after)])
        else:
            call.labels.pin(labels, PIXELS)
            dims[-back] = call.labels.fixed(len(labels) + before + after, PIXELS)
    return Value(tuple(dims), value.batch, value.live)


def sampled(call: Call) -> Result:
    """Pass channels through an image that is read at the places of a grid [B, H, W, 2]."""
    value = call["input"]
    call.walk.pin(call["grid"], PIXELS)
    for labels in value.dims[2:]:
        call.labels.pin(labels, PIXELS)
    return call.result([*value.dims[:2], *[None] * (len(value.dims) - 2)])


def windows_as_channels(call: Call) -> Result:
    """Label the rows of an image's windows [B, C * positions, windows] by their channel."""
    value, kernel = call["self"], call["kernel_size"]
    return call.result([value.dims[0], np.repeat(value.dims[1], int(np.prod(kernel))), None])


def windows_to_image(call: Call) -> Result:
    """Tie the positions of each channel, and give the image its channels."""
    value, kernel = call["self"], int(np.prod(call["kernel_size"]))
    rows = value.dims[1].reshape(-1, kernel)
    call.labels.merge(rows[:, :1], rows)
    return call.result([value.dims[0], rows[:, 0], None, None])


def windows_along(call: Call) -> Result:
    """Pin a dimension of which windows are taken; a window's positions come last."""
    value, dimension = call["self"], call["dimension"] % len(call["self"].dims)
    call.labels.pin(value.dims[dimension], PIXELS)
    dims = [None if d == dimension else labels for d, labels in enumerate(value.dims)]
    return call.result([*dims, None])


POOLS = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
adaptive_max_pool3d avg_pool1d upsample_nearest3d upsample_trilinear3d _upsample_nearest_exact1d
avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d max_pool2d_with_indices lp_pool2d upsample_nearest1d
upsample_nearest2d upsample_bilinear2d upsample_bicubic2d upsample_linear1d _upsample_bilinear2d_aa
_upsample_bicubic2d_aa _upsample_nearest_exact2d _upsample_nearest_exact3d
"""

PADS = """
pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
replication_pad3d
"""

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(POOLS.split(), positions),
    **dict.fromkeys(PADS.split(), pad),
    "grid_sampler": sampled,
    "im2col": windows_as_channels,
    "col2im": windows_to_image,
    "unfold": windows_along,
}
