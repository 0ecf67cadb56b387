"""Sizes beyond which nothing can be made or measured, so that they are refused before it is tried."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from search_spaces.errors import FieldError

MOST_PIXELS = 4096
"""Of the side of an image."""
MOST_CHANNELS = 2**14
"""Of a layer."""
MOST_LAYERS = 256
"""Or cells, of one kind in a row."""
MOST_OF_IMAGES: Mapping[str, int] = {"image_size": MOST_PIXELS, "channels": MOST_CHANNELS, "classes": 10**6}
"""What every network for images has."""
_MOST_OF_OPTIONS = 10**6
_MOST_ENTRIES = 64
_SHORT = 10**15


def check_most(config: object, most: Mapping[str, float]) -> None:
    """Refuse fields with numbers beyond a limit, before anything is made of that size.

    Args:
        config: Has the fields: numbers, null, or lists of numbers, at any depth.
        most: Name of a field -> largest number in it.

    Raises:
        FieldError: Names the first of them.
    """
    for field, limit in most.items():
        for number in _numbers(field, getattr(config, field)):
            if not number <= limit:
                raise FieldError(field, f"must be at most {_written(limit)}, got {_written(number)}")


def check_fields(config: object, limits: Iterable[tuple[str, bool, str]]) -> None:
    """Refuse the first field that does not hold.

    Args:
        config: Has the fields.
        limits: Name of a field, whether it holds, and what is allowed.

    Raises:
        FieldError: Names it, what is allowed, and what it is.
    """
    for name, holds, allowed in limits:
        if not holds:
            raise FieldError(name, f"must be {allowed}, got {getattr(config, name)!r}")


def rise(numbers: Sequence[int]) -> bool:
    """Return whether there are numbers, from 1, each larger than the one before."""
    return bool(numbers) and min(numbers) >= 1 and list(numbers) == sorted(set(numbers))


def option_mistake(name: str, value: object) -> str | None:
    """Return what is wrong with the size of an option of a part that is not built yet, None where nothing is."""
    if not isinstance(value, int) or name == "seed" or value <= _MOST_OF_OPTIONS:
        return None
    return f"must be at most {_written(_MOST_OF_OPTIONS)}, got {_written(value)}"


def _numbers(field: str, value: Any) -> Iterator[float]:
    if isinstance(value, list | tuple):
        if len(value) > _MOST_ENTRIES:
            raise FieldError(field, f"must have at most {_MOST_ENTRIES} entries, got {len(value)}")
        for entry in value:
            yield from _numbers(field, entry)
    elif isinstance(value, int | float):
        yield value


def _written(number: float) -> str:
    if isinstance(number, int) and abs(number) > _SHORT:
        return f"a number of {int(number.bit_length() * 0.30103) + 1} digits"
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
