"""Images as they are stored, not yet decoded, and how they become arrays of one size."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from nas.data.config import InvalidData
from nas.data.duplicates import Listing, digest_of
from nas.data.images.decoding import GREY_MODES
from nas.data.images.preprocessing import Decoding
from nas.data.members import Members, as_text, members_of_files, members_of_rows

PROBED = 256
LARGEST_OWN_SIZE = 224
DEFAULT_SIZE = 64
_READ_WHOLE_BYTES = 4 * 2**20
_PIECE_BYTES = 2**18
_CHUNK = 512


class Samples(Protocol):
    """Stored images with their labels; safe to read from several threads and to send to other processes."""

    @property
    def labels(self) -> np.ndarray:
        """int64 [N]."""
        ...

    def open(self, index: int) -> Image.Image:
        """Return the image; only its header need be read yet."""
        ...

    def name(self, index: int) -> str:
        """Return what messages call the image."""
        ...

    def content(self, index: int) -> bytes | None:
        """Return a value that two images share only if they are copies of each other; None if there is none."""
        ...

    def stamp(self, indices: np.ndarray) -> str | None:
        """Return a value that changes with these images or their order, without reading them; None if there is none."""
        ...

    def members(self) -> Members:
        """Return the members by which the images are recognised."""
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

    def content(self, index: int) -> bytes:
        return self.pixels[index].tobytes()

    def stamp(self, indices: np.ndarray) -> None:
        return None

    def members(self) -> Members:
        return members_of_rows(self.labels, self.content)


@dataclass(frozen=True)
class PackedSamples:
    """Image files one after the other in an array of bytes; file i lies from `offsets[i]` to `offsets[i + 1]`."""

    path: Path
    packed: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def open(self, index: int) -> Image.Image:
        return Image.open(BytesIO(self.content(index)))

    def name(self, index: int) -> str:
        return f"{self.path}: image {index}"

    def content(self, index: int) -> bytes:
        return self.packed[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def stamp(self, indices: np.ndarray) -> str | None:
        file = files_stamp([self.path])
        return file and file + hashlib.sha256(indices.astype(np.int64).tobytes()).hexdigest()

    def members(self) -> Members:
        return members_of_rows(self.labels, self.content)


@dataclass(frozen=True)
class FileSamples:
    """Image files below one folder, one for each image."""

    root: Path
    paths: Sequence[Path]
    labels: np.ndarray

    def open(self, index: int) -> Image.Image:
        return Image.open(self.paths[index])

    def name(self, index: int) -> str:
        return as_text(self.paths[index])

    def content(self, index: int) -> bytes:
        return file_content(self.paths[index])

    def stamp(self, indices: np.ndarray) -> str | None:
        return files_stamp([self.paths[index] for index in indices])

    def members(self) -> Members:
        return members_of_files(self.root, self.paths, self.labels)


def file_content(path: Path) -> bytes:
    """Return a file, or of one that is large its size, beginning, middle and end."""
    with path.open("rb") as file:
        size = path.stat().st_size
        if size <= _READ_WHOLE_BYTES:
            return file.read()
        pieces = [size.to_bytes(8, "little")]
        for start in (0, (size - _PIECE_BYTES) // 2, size - _PIECE_BYTES):
            file.seek(start)
            pieces.append(file.read(_PIECE_BYTES))
    return b"".join(pieces)


def listing(part: Part, *, threads: int) -> Listing | None:
    """Return what the images of a part are recognised by; None where nothing tells."""
    samples, indices = part
    if samples.content(int(indices[0])) is None:
        return None

    def digests(chosen: np.ndarray) -> list[int]:
        return [digest_of(samples.content(int(index)) or b"") for index in chosen]

    def digest() -> np.ndarray:
        chunks = [indices[first : first + _CHUNK] for first in range(0, len(indices), _CHUNK)]
        with ThreadPoolExecutor(threads) as pool:
            return np.array([found for chunk in pool.map(digests, chunks) for found in chunk], np.uint64)

    return Listing(digest, lambda position: samples.name(int(indices[position])), part.labels)


def files_stamp(paths: Iterable[Path]) -> str | None:
    """Return what changes when one of the files, or their order, does; None where one cannot be looked at."""
    digest = hashlib.sha256()
    try:
        for path in paths:
            found = path.stat()
            digest.update(f"{path.absolute()}\0{found.st_size}\0{found.st_mtime_ns}\0".encode(errors="surrogateescape"))
    except OSError:
        return None
    return digest.hexdigest()


def opened(samples: Samples, index: int) -> Image.Image:
    """Return one image, of which perhaps only the header was read.

    Raises:
        InvalidData: The file is not an image.
    """
    with naming(samples, index):
        return samples.open(index)


@contextmanager
def naming(samples: Samples, index: int) -> Iterator[None]:
    """Refuse the image by its name if anything is raised inside.

    Raises:
        InvalidData: Something was raised.
    """
    try:
        yield
    except InvalidData:
        raise
    except UnidentifiedImageError as error:
        raise InvalidData(f"{samples.name(index)} cannot be decoded as an image: its kind is not known") from error
    # A damaged file may make a decoder raise anything; this image then cannot be used.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidData(f"{samples.name(index)} cannot be decoded as an image: {reason}") from error


class Probe(NamedTuple):
    """The facts that the headers of some images state.

    Attributes:
        channels: 1 where all of them are grey, else 3.
        image_size: The common size of all, where they are square and at most 224 pixels, else 64.
        looked_at: Number of images that were looked at.
        bad: Why some of them are not images.
    """

    channels: int
    image_size: int
    looked_at: int
    bad: tuple[str, ...]


def probe(parts: Sequence[Part]) -> Probe:
    """Return what the headers of up to 256 images of each part say."""
    modes, sizes, bad, looked_at = set(), set(), [], 0
    for part in parts:
        spread = np.linspace(0, len(part.indices) - 1, min(PROBED, len(part.indices))).astype(np.int64)
        looked_at += len(spread)
        for index in np.sort(part.indices)[spread]:
            try:
                with opened(part.samples, int(index)) as image:
                    modes.add(image.mode)
                    sizes.add(image.size)
            except InvalidData as error:
                bad.append(str(error))
    width, height = min(sizes, default=(0, 1))
    alike = len(sizes) == 1 and width == height <= LARGEST_OWN_SIZE
    return Probe(1 if modes and modes <= GREY_MODES else 3, width if alike else DEFAULT_SIZE, looked_at, tuple(bad))


def decode(part: Part, decoding: Decoding, *, threads: int = 2) -> np.ndarray:
    """Return all images of the part as bytes [N, size, size, channels].

    Raises:
        InvalidData: An image cannot be decoded.
    """
    decoded = np.empty((len(part.indices), decoding.image_size, decoding.image_size, decoding.channels), np.uint8)
    decode_into(decoded, part, range(len(decoded)), decoding, threads=threads)
    return decoded


def decode_into(decoded: np.ndarray, part: Part, positions: Sequence[int], decoding: Decoding, *, threads: int) -> None:
    """Fill in the rows of these positions of a part.

    Raises:
        InvalidData: An image cannot be decoded.
    """

    def fill(some: Sequence[int]) -> None:
        for position in some:
            index = int(part.indices[position])
            with naming(part.samples, index), part.samples.open(index) as image:
                decoded[position] = decoding.pixels(image)

    chunks = [positions[first : first + 64] for first in range(0, len(positions), 64)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, chunks):
            pass


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
