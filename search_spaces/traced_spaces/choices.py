"""Which sizes of a traced network are offered: fractions of its units, rounded to sizes that run well."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from search_spaces.errors import FieldError
from search_spaces.limits import MOST_CHANNELS, MOST_PIXELS, check_most

Per = Literal["stage", "block"]
_FRACTIONS = ("widths", "ratios", "heads", "depths")
_QUARTERS = 4  # the narrowest fraction that is usual: a step is at most this part of a group
_ROUNDING = 1e-9
_LARGEST_KERNEL = 255


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the decisions of a traced network choose from.

    Its fields are options of the space `timm`, which says what they mean; a test holds both to the same defaults.
    """

    widths: Sequence[float] = (0.25, 0.5, 0.75, 1.0)
    ratios: Sequence[float] = (0.25, 0.5, 0.75, 1.0)
    ratios_per: Per = "stage"
    heads: Sequence[float] = (0.25, 0.5, 0.75, 1.0)
    depths: Sequence[float] = (0.5, 0.75, 1.0)
    kernels: Sequence[int] = (3, 5, 7)
    resolutions: Sequence[int] = (224,)
    divisor: int = 8
    least_width: int = 8

    def __post_init__(self) -> None:
        most: dict[str, float] = {"divisor": MOST_CHANNELS, "least_width": MOST_CHANNELS}
        check_most(
            self, {**most, **dict.fromkeys(_FRACTIONS, 1), "kernels": _LARGEST_KERNEL, "resolutions": MOST_PIXELS}
        )
        for field in (*_FRACTIONS, "kernels", "resolutions"):
            self._check_list(field)
        for field in _FRACTIONS:
            fractions = getattr(self, field)
            low = min(fractions) >= 0 if field == "depths" else min(fractions) > 0
            if not (low and max(fractions) == 1):
                least = "0 to 1" if field == "depths" else "more than 0, up to 1"
                raise FieldError(field, f"must be fractions from {least}, with 1 among them, got {list(fractions)}")
        if any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise FieldError("kernels", f"must be odd sizes of 1 or more, got {list(self.kernels)}")
        if min(self.resolutions) < 1:
            raise FieldError("resolutions", f"must be sides of 1 pixel or more, got {list(self.resolutions)}")
        for field in ("divisor", "least_width"):
            if not isinstance(getattr(self, field), int) or getattr(self, field) < 1:
                raise FieldError(field, f"must be a whole number of 1 or more, got {getattr(self, field)!r}")
        if self.ratios_per not in ("stage", "block"):
            raise FieldError("ratios_per", f"must be stage or block, got {self.ratios_per!r}")

    def _check_list(self, field: str) -> None:
        """Refuse what is not a list of different numbers."""
        entries, whole = getattr(self, field), field in ("kernels", "resolutions")
        kind = int if whole else int | float
        fits = isinstance(entries, list | tuple) and len(entries) > 0
        if not fits or any(isinstance(one, bool) or not isinstance(one, kind) for one in entries):
            raise FieldError(field, f"must be a list of {'whole ' if whole else ''}numbers, got {entries!r}")
        if len(set(entries)) != len(entries):
            raise FieldError(field, f"must not name a number twice, got {list(entries)}")

    @property
    def resolution(self) -> int:
        """The largest side of the images in pixels, which the network is traced at."""
        return max(self.resolutions)

    def kept(self, size: int, fraction: float, *, is_channels: bool) -> int:
        """Return how many units of a group of `size` stay at a fraction of it.

        Channels are rounded to a multiple of the divisor, which is halved while it is more than a quarter of the group.
        """
        if fraction == 1:
            return size
        step = self.divisor if is_channels else 1
        while step > 1 and step * _QUARTERS > size:
            step //= 2
        least = self.least_width if is_channels else 1
        return min(size, max(int(fraction * size / step + 0.5) * step, least, 1))

    def crops(self, largest: int) -> tuple[int, ...]:
        """Return the sizes that kernels of up to `largest` are cropped to, their own size last."""
        return (*sorted(kernel for kernel in self.kernels if kernel < largest), largest)


def depths_of(total: int, fixed: int, fractions: Sequence[float]) -> tuple[int, ...]:
    """Return the numbers of blocks that may run, in rising order.

    Args:
        total: Blocks of the stage.
        fixed: Those of them that always run.
        fractions: Fractions of `total`; rounded up.
    """
    least = fixed if 0 in fractions else max(fixed, 1)
    return tuple(sorted({max(least, ceil(fraction * total - _ROUNDING)) for fraction in fractions}))
