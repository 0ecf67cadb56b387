"""A survey of the images of a split, and of those that cannot be used: each is decoded once before training.

Images that fit into memory are kept as they are decoded. Otherwise JPEG files are decoded at an eighth of their size:
this reads the whole file and finds damage in a fraction of the time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from nas.data.config import InvalidData
from nas.data.images.decoding import Range, deep_values, orientation
from nas.data.images.preprocessing import Decoding
from nas.data.images.samples import Part, naming

Tell = Callable[[int, int], None]
"""Is told how many of how many examples are read."""
_CHUNK = 64
_MOST_THREADS = 32


def usable_threads() -> int:
    """Return how many threads may decode images: one for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_THREADS)


class Look(NamedTuple):
    """The facts of one image.

    Attributes:
        mode: Mode of Pillow.
        size: Width and height in pixels, after turning it upright.
        turned: Whether EXIF says that it must be turned.
        transparent: Whether some of it is transparent.
        several: Whether it has more than one frame or page.
        integers: Lowest and highest value, of an image of whole numbers of more than 8 bits.
        floats: Lowest and highest value, of an image of floating-point numbers.
    """

    mode: str
    size: tuple[int, int]
    turned: bool = False
    transparent: bool = False
    several: bool = False
    integers: Range | None = None
    floats: Range | None = None

    @property
    def is_deep(self) -> bool:
        """Whether it has more than 8 bits a channel."""
        return self.integers is not None or self.floats is not None


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The facts of the images of a part.

    Args:
        images: Number of images that can be used.
        bad: Position in the part -> why an image cannot be used.
        deep: Positions of the images of more than 8 bits a channel.
        modes: Mode of Pillow -> number of images.
        sizes: Width and height of the smallest and of the largest image; None where there are none.
        turned: Number of images that EXIF says must be turned.
        transparent: Number of images that are partly transparent.
        several: Number of images with more than one frame or page.
        integers: Lowest and highest value of images of whole numbers of more than 8 bits, if there are any.
        floats: Lowest and highest value of images of floating-point numbers, if there are any.
    """

    images: int = 0
    bad: Mapping[int, str] = field(default_factory=dict)
    deep: tuple[int, ...] = ()
    modes: Mapping[str, int] = field(default_factory=dict)
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
    turned: int = 0
    transparent: int = 0
    several: int = 0
    integers: Range | None = None
    floats: Range | None = None

    @classmethod
    def of(cls, looks: Mapping[int, Look], bad: Mapping[int, str]) -> Survey:
        """Return what images are like together, by their positions."""
        all_looks = list(looks.values())
        sizes = sorted((look.size for look in all_looks), key=_area)
        return cls(
            images=len(all_looks),
            bad=bad,
            deep=tuple(position for position, look in looks.items() if look.is_deep),
            modes=Counter(look.mode for look in all_looks),
            sizes=(sizes[0], sizes[-1]) if sizes else None,
            turned=sum(look.turned for look in all_looks),
            transparent=sum(look.transparent for look in all_looks),
            several=sum(look.several for look in all_looks),
            integers=_both(look.integers for look in all_looks),
            floats=_both(look.floats for look in all_looks),
        )

    @classmethod
    def joined(cls, surveys: Iterable[Survey]) -> Survey:
        """Return what the images of all of them are like; positions are those of one part."""
        parts = list(surveys)
        sizes = sorted((size for part in parts for size in part.sizes or ()), key=_area)
        return cls(
            images=sum(part.images for part in parts),
            bad={position: why for part in parts for position, why in part.bad.items()},
            deep=tuple(position for part in parts for position in part.deep),
            modes=sum((Counter(part.modes) for part in parts), Counter()),
            sizes=(sizes[0], sizes[-1]) if sizes else None,
            turned=sum(part.turned for part in parts),
            transparent=sum(part.transparent for part in parts),
            several=sum(part.several for part in parts),
            integers=_both(part.integers for part in parts),
            floats=_both(part.floats for part in parts),
        )


def survey(part: Part, *, threads: int, tell: Tell | None = None) -> Survey:
    """Return what the images of a part are like, each decoded once and let go of."""
    return _surveyed(part, lambda position, image: None, threads=threads, tell=tell, reduced=True)


def survey_and_decode(
    part: Part, decoding: Decoding, *, threads: int, tell: Tell | None = None
) -> tuple[Survey, np.ndarray]:
    """Return what the images of a part are like, and their bytes [N, size, size, channels].

    The rows of images that cannot be used are undefined, and so are those of more than 8 bits, whose levels are not
    known before all of them are read.
    """
    size, channels = decoding.image_size, decoding.channels
    decoded = np.zeros((len(part.indices), size, size, channels), np.uint8)

    def fill(position: int, image: Image.Image) -> None:
        decoded[position] = decoding.pixels(image)

    return _surveyed(part, fill, threads=threads, tell=tell), decoded


def look_at(image: Image.Image, use: Callable[[Image.Image], None], *, reduced: bool = False) -> Look:
    """Return what an image is like; it is decoded, and used where 8 bits hold it.

    Args:
        image: The opened image.
        use: Receives the decoded image.
        reduced: Whether a smaller decoded size is enough.

    Raises:
        Exception: Anything that Pillow raises for a damaged image.
    """
    mode, size = image.mode, image.size
    turn = orientation(image) if image.format == "TIFF" else 1  # Pillow turns them itself, and then forgets
    if reduced:
        image.draft("L", (1, 1))
    values = deep_values(image)
    image.load()
    turn = turn if turn != 1 else orientation(image)
    look = Look(
        mode=mode,
        size=size if turn < 5 else size[::-1],
        turned=turn != 1,
        transparent=_shows_through(image),
        integers=_range(values) if values is not None and values.dtype.kind != "f" else None,
        floats=_range(values) if values is not None and values.dtype.kind == "f" else None,
    )
    if not look.is_deep:
        use(image)
    return look._replace(several=_has_several(image))


def _surveyed(
    part: Part,
    use: Callable[[int, Image.Image], None],
    *,
    threads: int,
    tell: Tell | None,
    reduced: bool = False,
) -> Survey:
    def look_at_some(positions: range) -> Survey:
        looks: dict[int, Look] = {}
        bad: dict[int, str] = {}
        for position in positions:
            index = int(part.indices[position])
            try:
                with naming(part.samples, index), part.samples.open(index) as image:
                    looks[position] = look_at(image, partial(use, position), reduced=reduced)
            except InvalidData as error:
                bad[position] = str(error)
        return Survey.of(looks, bad)

    count = len(part.indices)
    chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    surveys = []
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(look_at_some, chunks):
            surveys.append(found)
            if tell is not None:
                tell(min(_CHUNK * len(surveys), count), count)
    return Survey.joined(surveys)


def _shows_through(image: Image.Image) -> bool:
    if "transparency" in image.info:
        return True
    if not image.has_transparency_data:
        return False
    return bool(image.getchannel(image.getbands()[-1]).getextrema()[0] != 255)


def _has_several(image: Any) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    # The first frame is whole, and the others are not needed.
    except Exception:
        return True


def _range(values: np.ndarray) -> Range:
    """Return the lowest and the highest value.

    Raises:
        ValueError: Some values are not finite.
    """
    lowest, highest = float(values.min()), float(values.max())
    if not np.isfinite(lowest + highest):
        raise ValueError("it has values that are not finite")
    return lowest, highest


def _both(ranges: Iterable[Range | None]) -> Range | None:
    """Return the range that holds all of these."""
    known = [one for one in ranges if one is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]
