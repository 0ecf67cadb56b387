"""Numbers of the layers of one architecture, such as their bits, as people look at them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A few numbers for each layer, from 0 to the same largest number.

    Args:
        name: What the numbers are.
        series: What each of the numbers of a layer is.
        most: The largest number.
        rows: Layers from input to output, each with its numbers.
    """

    name: str
    series: tuple[str, ...]
    most: int
    rows: tuple[tuple[str, tuple[int, ...]], ...]
