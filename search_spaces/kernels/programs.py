"""The depthwise convolution as programs for a GPU, in Triton: forward, gradient of the input, gradient of the weight.

Tensors are channels-last. A program is compiled for a kernel size, a stride, types of numbers and sizes of blocks.
Channels, height, width, padding and batch are ordinary arguments, and Triton is told not to look at their values: so
new sizes never compile anything. What depends on channels is `VECTOR` alone, 8 where they are a multiple of 8, else 1:
it says how many numbers lie beside each other in memory for certain.

Sums are in float32, in an order that does not depend on the sizes of blocks. So results are the same whichever blocks
a device prefers.
"""

import triton
import triton.language as tl

_WEIGHT_STRIDES = ["weight_channel", "weight_row", "weight_column"]
_IMAGE = ["channel_groups", "height", "width", "out_height", "out_width", "padding", "pixels"]


@triton.jit(do_not_specialize=[*_WEIGHT_STRIDES, *_IMAGE])
def output(  # noqa: PLR0917
    x,
    weight,
    bias,
    y,
    weight_channel,
    weight_row,
    weight_column,
    channel_groups,
    height,
    width,
    out_height,
    out_width,
    padding,
    pixels,
    KERNEL: tl.constexpr,
    STRIDE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    VECTOR: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Compute a block of output pixels and channels; `pixels` are those of all outputs of the batch."""
    channels = channel_groups * VECTOR
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    inside = channel < channels
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    column, row = pixel % out_width, pixel // out_width % out_height
    image = pixel // (out_width * out_height)
    total = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for i in range(KERNEL):
        in_row = row * STRIDE + i - padding
        in_image = (pixel < pixels) & (in_row >= 0) & (in_row < height)
        first = (image * height + in_row) * width
        for j in tl.static_range(KERNEL):
            in_column = column * STRIDE + j - padding
            seen = in_image & (in_column >= 0) & (in_column < width)
            place = (first + in_column).to(tl.int64) * channels
            numbers = tl.load(x + place[:, None] + channel[None, :], mask=seen[:, None] & inside[None, :], other=0.0)
            tap = tl.load(
                weight + channel * weight_channel + i * weight_row + j * weight_column, mask=inside, other=0.0
            )
            total += numbers.to(tl.float32) * tap.to(tl.float32)[None, :]
    if HAS_BIAS:
        total += tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32)[None, :]
    place = pixel.to(tl.int64) * channels
    there = (pixel < pixels)[:, None] & inside[None, :]
    tl.store(y + place[:, None] + channel[None, :], total.to(y.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=[*_WEIGHT_STRIDES, *_IMAGE])
def input_gradient(  # noqa: PLR0917
    gradient,
    weight,
    out,
    weight_channel,
    weight_row,
    weight_column,
    channel_groups,
    height,
    width,
    out_height,
    out_width,
    padding,
    pixels,
    KERNEL: tl.constexpr,
    STRIDE: tl.constexpr,
    VECTOR: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Compute a block of pixels of the gradient of the input.

    With a stride of 2, pixels of even and of odd rows and columns meet different taps. Each program has pixels of one
    such kind, so that it passes over no tap in vain. `pixels` are those of one kind, of the batch, rounded up.
    """
    channels = channel_groups * VECTOR
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    inside = channel < channels
    pixel = tl.program_id(0) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    odd_row, odd_column = tl.program_id(2) // STRIDE, tl.program_id(2) % STRIDE
    rows, columns = (height + STRIDE - 1) // STRIDE, (width + STRIDE - 1) // STRIDE
    row, column = pixel // columns % rows * STRIDE + odd_row, pixel % columns * STRIDE + odd_column
    image = pixel // (rows * columns)
    there = (pixel < pixels) & (row < height) & (column < width)
    total = tl.zeros((BLOCK_PIXELS, BLOCK_CHANNELS), tl.float32)
    for step in range((KERNEL + STRIDE - 1) // STRIDE):
        i = (odd_row + padding) % STRIDE + step * STRIDE
        from_row = (row + padding - i) // STRIDE  # without a rest
        in_image = there & (i <= tl.minimum(row + padding, KERNEL - 1)) & (from_row < out_height)
        first = (image * out_height + from_row) * out_width
        for other_step in tl.static_range((KERNEL + STRIDE - 1) // STRIDE):
            j = (odd_column + padding) % STRIDE + other_step * STRIDE
            from_column = (column + padding - j) // STRIDE
            seen = in_image & (j <= tl.minimum(column + padding, KERNEL - 1)) & (from_column < out_width)
            place = (first + from_column).to(tl.int64) * channels
            numbers = tl.load(
                gradient + place[:, None] + channel[None, :], mask=seen[:, None] & inside[None, :], other=0.0
            )
            tap_place = tl.minimum(i, KERNEL - 1) * weight_row + tl.minimum(j, KERNEL - 1) * weight_column
            tap = tl.load(weight + channel * weight_channel + tap_place, mask=inside, other=0.0)
            total += numbers.to(tl.float32) * tap.to(tl.float32)[None, :]
    place = ((image * height + row) * width + column).to(tl.int64) * channels
    tl.store(
        out + place[:, None] + channel[None, :],
        total.to(out.dtype.element_ty),
        mask=there[:, None] & inside[None, :],
    )


@triton.jit(do_not_specialize=[*_IMAGE, "share"])
def weight_gradient(  # noqa: PLR0917
    x,
    gradient,
    parts,
    channel_groups,
    height,
    width,
    out_height,
    out_width,
    padding,
    pixels,
    share,
    KERNEL: tl.constexpr,
    STRIDE: tl.constexpr,
    VECTOR: tl.constexpr,
    BLOCK_TAPS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    TOGETHER: tl.constexpr,
):
    """Sum up one share of the output pixels for a block of taps and channels; parts are [shares, K * K, C]."""
    channels = channel_groups * VECTOR
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    inside = channel < channels
    tap = tl.program_id(2) * BLOCK_TAPS + tl.arange(0, BLOCK_TAPS)
    i, j = tap // KERNEL, tap % KERNEL
    begin = tl.program_id(0) * share
    end = tl.minimum(begin + share, pixels)
    total = tl.zeros((BLOCK_TAPS, BLOCK_CHANNELS), tl.float32)
    for start in range(begin, end, TOGETHER):
        for ahead in tl.static_range(TOGETHER):
            pixel = start + ahead
            column, row = pixel % out_width, pixel // out_width % out_height
            image = pixel // (out_width * out_height)
            in_row, in_column = row * STRIDE + i - padding, column * STRIDE + j - padding
            is_tap = tap < tl.where(pixel < end, KERNEL * KERNEL, 0)
            seen = is_tap & (in_row >= 0) & (in_row < height) & (in_column >= 0) & (in_column < width)
            place = ((image * height + in_row) * width + in_column).to(tl.int64) * channels
            numbers = tl.load(x + place[:, None] + channel[None, :], mask=seen[:, None] & inside[None, :], other=0.0)
            slope_place = tl.minimum(pixel, end - 1).to(tl.int64) * channels
            slopes = tl.load(gradient + slope_place + channel, mask=inside, other=0.0)
            total += numbers.to(tl.float32) * slopes.to(tl.float32)[None, :]
    place = (tl.program_id(0) * (KERNEL * KERNEL) + tap) * channels
    tl.store(parts + place[:, None] + channel[None, :], total, mask=(tap < KERNEL * KERNEL)[:, None] & inside[None, :])
