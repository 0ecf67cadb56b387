"""Images as they are stored, not yet decoded, and how they become arrays of one size."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from nas.data.config import InvalidData
from nas.data.images.decoding import GREY_MODES
from nas.data.images.preprocessing import Decoding

PROBED = 256
LARGEST_OWN_SIZE = 224
DEFAULT_SIZE = 64


class Samples(Protocol):
    """Stored images with their labels; safe to read from several threads and to send to other processes."""

    @property
    def labels(self) -> np.ndarray:
        """int64 [N]."""
        ...

    def open(self, index: int) -> Image.Image:
        """The image; only its header need be read yet."""
        ...

    def name(self, index: int) -> str:
        """What messages call the image."""
        ...


class Part(NamedTuple):
    """Some of the samples, in this order."""

    samples: Samples
    indices: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        return self.samples.labels[self.indices]


@dataclass(frozen=True)
class ArraySamples:
    """Grey images that are decoded already: bytes [N, H, W]."""

    pixels: np.ndarray
    labels: np.ndarray

    def open(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])

    def name(self, index: int) -> str:
        return f"image {index}"


@dataclass(frozen=True)
class PackedSamples:
    """Image files one after the other in an array of bytes; file i lies from `offsets[i]` to `offsets[i + 1]`."""

    path: Path
    packed: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def open(self, index: int) -> Image.Image:
        return Image.open(BytesIO(self.packed[self.offsets[index] : self.offsets[index + 1]].tobytes()))

    def name(self, index: int) -> str:
        return f"{self.path}: image {index}"


@dataclass(frozen=True)
class FileSamples:
    """One file an image."""

    paths: Sequence[Path]
    labels: np.ndarray

    def open(self, index: int) -> Image.Image:
        return Image.open(self.paths[index])

    def name(self, index: int) -> str:
        return str(self.paths[index])


def opened(samples: Samples, index: int) -> Image.Image:
    """Return one image, of which the header alone need be read yet.

    Raises:
        InvalidData: It is no image.
    """
    with naming(samples, index):
        return samples.open(index)


@contextmanager
def naming(samples: Samples, index: int) -> Iterator[None]:
    """Refuse the image, by its name, for whatever is raised here.

    Raises:
        InvalidData: Something was raised.
    """
    try:
        yield
    except InvalidData:
        raise
    # A damaged file may make a decoder raise anything; whatever it is, this image cannot be used.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidData(f"{samples.name(index)} cannot be decoded as an image: {reason}") from error


def probe(parts: Sequence[Part]) -> tuple[int, int]:
    """Channels and image size of the samples, judged by the headers of up to 256 images of each part.

    Returns:
        1 channel where all images are grey, else 3; and the size that all share, where they are square and at most
        224 pixels, else 64.
    """
    modes, sizes = set(), set()
    for part in parts:
        spread = np.linspace(0, len(part.indices) - 1, min(PROBED, len(part.indices))).astype(np.int64)
        for index in np.sort(part.indices)[spread]:
            with opened(part.samples, int(index)) as image:
                modes.add(image.mode)
                sizes.add(image.size)
    width, height = min(sizes)
    alike = len(sizes) == 1 and width == height <= LARGEST_OWN_SIZE
    return 1 if modes <= GREY_MODES else 3, width if alike else DEFAULT_SIZE


def decode(part: Part, decoding: Decoding, *, threads: int = 2) -> np.ndarray:
    """Return all images of the part as bytes [N, size, size, channels].

    Raises:
        InvalidData: An image cannot be decoded.
    """
    size, channels = decoding.image_size, decoding.channels
    decoded = np.empty((len(part.indices), size, size, channels), np.uint8)

    def fill(rows: range) -> None:
        for row in rows:
            index = int(part.indices[row])
            with naming(part.samples, index), part.samples.open(index) as image:
                decoded[row] = decoding.pixels(image)

    chunks = [range(first, min(first + 512, len(decoded))) for first in range(0, len(decoded), 512)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, chunks):
            pass
    return decoded


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels of bytes [N, H, W, C], on the scale 0 to 1."""
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        counts = np.zeros(256, np.int64)
        for first in range(0, len(images), 4096):
            counts += np.bincount(images[first : first + 4096, ..., channel].ravel(), minlength=256)
        share = counts / counts.sum()
        mean = float(share @ levels)
        means.append(mean)
        deviations.append(max(float(np.sqrt(share @ (levels - mean) ** 2)), 1 / 255))
    return tuple(means), tuple(deviations)
