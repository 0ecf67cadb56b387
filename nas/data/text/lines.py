"""Files of lines: plain or compressed with gzip, UTF-8, one example a line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.data.config import InvalidData, InvalidExamples

_GZIP = b"\x1f\x8b"
_BOM = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Examples of one part of the data: one line of each of one or two files.

    Args:
        files: The files, the source before the target.
        columns: The lines of each file, without spaces around them, all [N].
        numbers: Number of each line in its file, from 1, int64 [N].
    """

    files: tuple[Path, ...]
    columns: tuple[Sequence[str], ...]
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, index: int, column: int = 0) -> str:
        """Return what an example is called in messages, by its line in one of the files."""
        return f"{self.files[column].name}: line {self.numbers[index]}"

    def content(self, index: int) -> bytes:
        """Return the bytes by which an example is recognised."""
        return "\n".join(column[index] for column in self.columns).encode()

    def empty(self) -> list[int]:
        """Return the examples with nothing in one of their lines."""
        return [i for i in range(len(self)) if not all(column[i] for column in self.columns)]

    def empty_lines(self) -> Iterator[str]:
        """Yield a sentence for each empty line."""
        for i in self.empty():
            where = next(number for number, column in enumerate(self.columns) if not column[i])
            yield f"{self.name(i, where)}: empty"

    def without(self, left_out: Sequence[int]) -> Lines:
        """Return the examples but these."""
        kept = np.setdiff1d(np.arange(len(self)), np.asarray(left_out, np.int64))
        columns = tuple([column[i] for i in kept] for column in self.columns)
        return replace(self, columns=columns, numbers=self.numbers[kept])


def read_part(*files: Path) -> Lines:
    """Return the examples of one file, or of two files that belong together line by line.

    Raises:
        InvalidData: A file is missing, damaged, not UTF-8 or empty, or they differ in their number of lines.
    """
    columns = tuple(read_lines(file) for file in files)
    if len({len(column) for column in columns}) > 1:
        counts = ", ".join(f"{len(column):,} in {file}" for file, column in zip(files, columns))
        raise InvalidData(f"two files of lines must have the same number of lines, found {counts}")
    return Lines(files=files, columns=columns, numbers=np.arange(1, len(columns[0]) + 1))


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file without the spaces around them; a file that begins like gzip is unpacked.

    Raises:
        InvalidData: It is missing, damaged, not UTF-8, or has no line.
    """
    if not path.is_file():
        raise InvalidData(f"{path}: no such file; expected a file with one example a line")
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidData(f"{path}: cannot be read, damaged or truncated: {error}") from error
    try:
        text = content.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = f"line {line}: byte 0x{content[error.start]:02x} is not UTF-8"
        raise InvalidData(f"{path}: {wrong}; save the file as UTF-8") from error
    lines = [line.strip() for line in text.split("\n")]  # other separators of Unicode may stand inside a sentence
    if lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InvalidData(f"{path}: no lines; expected one example a line")
    return lines


def without_empty(part: Lines, *, skip: bool) -> tuple[Lines, list[str]]:
    """Return the examples with something in all their lines, and a sentence for each of the others.

    Args:
        part: The examples.
        skip: Whether empty lines may be left out.

    Raises:
        InvalidExamples: There are empty lines, which may not be left out.
        InvalidData: Nothing is left.
    """
    told = list(part.empty_lines())
    if not told:
        return part, []
    if not skip:
        have = "has" if len(told) == 1 else "have"
        count = f"{len(told):,} of {len(part):,} examples {have} an empty line"
        raise InvalidExamples(f"{part.files[0]}: {count}; remove them, or set data.on_error to skip", told)
    left = part.without(part.empty())
    if not len(left):
        raise InvalidData(f"{part.files[0]}: all lines are empty")
    return left, told
