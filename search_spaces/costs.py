"""Exact costs by name, and what single layers add to them."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

UNITS = {"params": "weights", "macs": "MACs"}
"""Units of the costs that families of this package have."""


class Costs(Mapping[str, np.ndarray]):
    """Exact costs of N architectures: name -> column [N].

    Args:
        columns: `params` (weights and biases), `macs` (multiply-accumulates of one input), or whatever else a space
            counts.
        units: Units of costs by name; `UNITS` are known already, and other units default to the name.

    Attributes:
        units: The unit of every cost.
    """

    def __init__(self, columns: Mapping[str, np.ndarray], units: Mapping[str, str] | None = None) -> None:
        self._columns = {name: np.asarray(column) for name, column in columns.items()}
        known = {**UNITS, **(units or {})}
        self.units = {name: known.get(name, name) for name in self._columns}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Costs({', '.join(f'{name} [{self.units[name]}]: {column}' for name, column in self.items())})"


# ---- what a layer adds ----------------------------------------------------------------------------------------------


def convolution(
    in_width: int, out_width: int, kernel: int = 1, *, pixels: int, groups: int = 1, bias: bool = False
) -> Counter[str]:
    """Return the params and MACs of a convolution with a square kernel that writes so many pixels."""
    weights = kernel * kernel * in_width // groups * out_width
    return Counter(params=weights + (out_width if bias else 0), macs=weights * pixels)


def linear(in_width: int, out_width: int) -> Counter[str]:
    """Return the params and MACs of a linear layer with bias."""
    return Counter(params=in_width * out_width + out_width, macs=in_width * out_width)


def norm(width: int) -> Counter[str]:
    """Return the params of a batch norm with weights and biases; its multiplications fold into the layer before it."""
    return Counter(params=2 * width)


def conv_norm(in_width: int, out_width: int, kernel: int = 1, *, pixels: int, groups: int = 1) -> Counter[str]:
    """Return the params and MACs of a convolution without bias and the batch norm behind it."""
    return convolution(in_width, out_width, kernel, pixels=pixels, groups=groups) + norm(out_width)


def inverted_residual(
    widths: tuple[int, int, int], pixels: tuple[int, int], *, kernel: int, squeeze: int = 0, expands: bool = True
) -> Counter[str]:
    """Return the params and MACs of a MobileNet block, its norms included.

    Args:
        widths: Channels that enter, inside, and that leave.
        pixels: Pixels that enter and leave.
        kernel: Size of the depthwise kernel.
        squeeze: Channels inside squeeze-excite, whose layers have biases; 0 for none.
        expands: Whether a 1x1 convolution leads to the channels inside.
    """
    (in_width, middle, out_width), (before, after) = widths, pixels
    total = conv_norm(middle, middle, kernel, pixels=after, groups=middle) + conv_norm(middle, out_width, pixels=after)
    if expands:
        total += conv_norm(in_width, middle, pixels=before)
    if squeeze:
        total += convolution(middle, squeeze, pixels=1, bias=True) + convolution(squeeze, middle, pixels=1, bias=True)
    return total


def on_sequence(layer: Counter[str], length: int) -> Counter[str]:
    """Return the costs of a layer that runs on every place of a sequence."""
    return Counter(params=layer["params"], macs=layer["macs"] * length)


def attention(queries: int, keys: int, width: int) -> Counter[str]:
    """Return the MACs of the two products of attention: so many queries with so many keys, and of these with values.

    Args:
        queries: Number of queries.
        keys: Number of keys, and of values.
        width: Features of all heads together.
    """
    return Counter(macs=2 * queries * keys * width)
