"""The identity of the examples of a data set, by which they are recognised even after their files have changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.data.duplicates import digest_of

if TYPE_CHECKING:
    from nas.data.splits import Positions

_READ_WHOLE_BYTES = 2 * 2**30
"""Files that are no larger together are read whole. Of a larger set that would take as long as an epoch."""
_PIECE_BYTES = 4096
_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class Members:
    """The examples of one part of the data, in its order.

    Args:
        labels: Class of each example, int64 [N].
        digest: Gives the digests, uint64 [n], of the examples at these positions. The second argument says whether
            large files are read whole.
        names: Path of each below the folder of the part; None where examples are known by their content alone.
        stamps: Size and time of the last change of each file, int64 [N, 2]. A file whose name and stamp are known is
            not read again.
    """

    labels: np.ndarray
    digest: Callable[[np.ndarray, bool], np.ndarray]
    names: Sequence[str] | None = None
    stamps: np.ndarray | None = None

    @property
    def read_whole(self) -> bool:
        """Whether all of it is little enough to be read whole."""
        return self.stamps is None or int(self.stamps[:, 0].sum()) <= _READ_WHOLE_BYTES


@dataclass(frozen=True, kw_only=True)
class Division:
    """The examples of all parts of a data set, and how they are divided.

    Args:
        classes: Names, in the order of their labels; none where there are none.
        parts: `train`, and `validation` and `test` where they are published -> their examples.
        positions: The three splits.
        examples: What one example is called, in the plural.
    """

    classes: tuple[str, ...]
    parts: Mapping[str, Members]
    positions: Positions
    examples: str = "examples"

    def part_of(self, split: str) -> str:
        """Return the part that a split is taken from."""
        return split if split in self.parts else "train"


def as_text(name: str | Path) -> str:
    r"""Return the name of a file as text that can be written anywhere; bytes that are no text become ``\xe9``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def members_of_rows(labels: np.ndarray, content: Callable[[int], bytes]) -> Members:
    """Return examples that lie in memory.

    Args:
        labels: Class of each, int64 [N].
        content: Gives the bytes of one.
    """

    def digest(chosen: np.ndarray, whole: bool) -> np.ndarray:
        return np.array([digest_of(content(int(i))) for i in chosen], np.uint64)

    return Members(labels=labels, digest=digest)


def members_of_files(root: Path, paths: Sequence[Path], labels: np.ndarray) -> Members:
    """Return examples that are files below a folder."""
    beginning = len(str(root)) + 1
    stamps = np.empty((len(paths), 2), np.int64)
    for i, path in enumerate(paths):
        found = os.stat(path)
        stamps[i] = found.st_size, found.st_ctime_ns  # unlike the time of change, this one cannot be set back

    def digest(chosen: np.ndarray, whole: bool) -> np.ndarray:
        with ThreadPoolExecutor(_THREADS) as pool:
            found = pool.map(lambda i: _file_digest(paths[i], int(stamps[i, 0]), whole), chosen.tolist())
            return np.fromiter(found, np.uint64, len(chosen))

    names = [str(path)[beginning:] for path in paths]
    return Members(labels=labels, digest=digest, names=names, stamps=stamps)


def _file_digest(path: Path, size: int, whole: bool) -> int:
    """Return the digest of a file: of all of it, or of its size, beginning, middle and end."""
    with path.open("rb") as file:
        if whole or size <= 3 * _PIECE_BYTES:
            return digest_of(file.read())
        pieces = [size.to_bytes(8, "little")]
        for begin in (0, size // 2, size - _PIECE_BYTES):
            file.seek(begin)
            pieces.append(file.read(_PIECE_BYTES))
        return digest_of(b"".join(pieces))
