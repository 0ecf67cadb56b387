"""Published tables: accuracies and scores of architectures, read from csv.

A table is a csv or csv.gz with a header. The space decides which columns name the architecture of a row, see
`Space.read_row`; every other column is read when it is asked for.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TextIO

import numpy as np

from nas.benchmarks.provenance import PUBLISHED, Provenance, require_same
from search_spaces import Architecture, Choice, InvalidArchitecture, LeftOut, Space


@dataclass(frozen=True)
class Accuracies:
    """Accuracies of one provenance, in percent.

    Attributes:
        column: Column that they stood in.
        provenance: How they were obtained.
        percent: Percent of each architecture.
    """

    column: str
    provenance: Provenance
    percent: Mapping[Architecture, float]

    def merged(self, other: "Accuracies") -> "Accuracies":
        """Return both together.

        Raises:
            ValueError: They were obtained differently, or differ for an architecture.
        """
        require_same(self.provenance, other.provenance)
        for architecture, value in other.percent.items():
            if self.percent.get(architecture, value) != value:
                raise ValueError(
                    f"{self.column} and {other.column} differ for {dict(architecture)}: "
                    f"{self.percent[architecture]:g} and {value:g}"
                )
        return replace(self, percent={**self.percent, **other.percent})

    def differences(self, other: "Accuracies") -> dict[Architecture, float]:
        """Return these less the other ones, in percentage points, for architectures that both hold.

        Raises:
            ValueError: They were obtained differently.
        """
        require_same(self.provenance, other.provenance)
        return {a: value - other.percent[a] for a, value in self.percent.items() if a in other.percent}


class Table:
    """Rows of a csv, with the architecture of each.

    Args:
        path: Path of the file that the rows come from, for messages.
        space: Space of the architectures.
        cells: Column -> text of every row.
        lines: Line of every row in the file.
        architectures: Architectures of every row.
    """

    def __init__(
        self,
        path: Path,
        space: Space,
        *,
        cells: Mapping[str, Sequence[str]],
        lines: Sequence[int],
        architectures: Sequence[Architecture],
    ) -> None:
        self.path, self.space = path, space
        self.cells, self.lines, self.architectures = dict(cells), list(lines), list(architectures)

    @classmethod
    def read(cls, path: Path, space: Space) -> "Table":
        """Read a table with a row for each architecture; rows that an option of the space leaves out are passed over.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file is not such a table; the message names file, line and column.
        """
        cells, lines = read_cells(path)
        architectures, kept = [], []
        for number, (line, row) in enumerate(zip(lines, zip(*cells.values()))):
            try:
                architectures.append(space.read_row(dict(zip(cells, row))))
            except LeftOut:
                continue
            except ValueError as error:
                raise ValueError(f"{path}, line {line}: {error}") from error
            kept.append(number)
        if lines and not kept:
            raise ValueError(f"{path} has no row of the space {space.name} with these options")
        cells = {name: [column[number] for number in kept] for name, column in cells.items()}
        return cls(path, space, cells=cells, lines=[lines[number] for number in kept], architectures=architectures)

    def __len__(self) -> int:
        return len(self.architectures)

    def joined(self, path: Path, *, on: str) -> "Table":
        """Return the rows that also stand in another csv, with its columns beside those here.

        Args:
            path: A csv or csv.gz.
            on: A column of both that names the row, such as `idx`.

        Raises:
            OSError: The file cannot be read.
            ValueError: `on` is missing or not unique, no row stands in both, or a column of both differs.
        """
        others, lines = read_cells(path)
        for where, columns in ((self.path, self.cells), (path, others)):
            if on not in columns:
                raise ValueError(f"{where} has no column {on!r} to join on; it has {', '.join(columns)}")
        row_of: dict[str, int] = {}
        for row, key in enumerate(others[on]):
            if row_of.setdefault(key, row) != row:
                raise ValueError(f"{path}, line {lines[row]}: {on} = {key!r} stands in line {lines[row_of[key]]} too")
        pairs = [(row, row_of[key]) for row, key in enumerate(self.cells[on]) if key in row_of]
        if not pairs:
            raise ValueError(f"no {on} stands in both {self.path} and {path}")
        ours = self._rows([row for row, _ in pairs])
        for name, column in others.items():
            texts = [column[row] for _, row in pairs]
            if ours.cells.setdefault(name, texts) != texts:
                raise ValueError(f"column {name!r} differs between {self.path} and {path}; rename one of them")
        return ours

    def _rows(self, rows: Sequence[int]) -> "Table":
        return Table(
            self.path,
            self.space,
            cells={name: [column[row] for row in rows] for name, column in self.cells.items()},
            lines=[self.lines[row] for row in rows],
            architectures=[self.architectures[row] for row in rows],
        )

    def numbers(self, column: str) -> np.ndarray:
        """Return the finite numbers [N] of a column.

        Raises:
            ValueError: There is no such column, or a cell holds anything else.
        """
        return self._parsed(column, _finite, "a finite number")

    def scores(self, column: str) -> np.ndarray:
        """Return the numbers [N] of a column in which infinity and NaN may stand; NaN where a cell is empty.

        Raises:
            ValueError: There is no such column, or a cell holds text.
        """
        return self._parsed(column, _score, "a number or nothing")

    def accuracies(self, column: str, provenance: Provenance | None = None) -> Accuracies:
        """Return the accuracies of a column, with their provenance.

        Args:
            column: Name of the column.
            provenance: How they were obtained; for columns of published tables this is known.

        Raises:
            ValueError: The column is missing, its provenance is unknown, a value is not an accuracy, or an architecture
                has two.
        """
        self._require(column)
        known = PUBLISHED.get((self.space.name, column))
        if provenance is not None and known is not None:
            require_same(provenance, known)
        provenance = provenance or known
        if provenance is None:
            published = [name for space, name in PUBLISHED if space == self.space.name]
            raise ValueError(
                f"{self.path}: say of what provenance {column!r} is: dataset, epochs, split and seeds"
                + (f"; known are {', '.join(published)}" if published else "")
            )
        percent = self.numbers(column) * provenance.percent
        outside = np.flatnonzero((percent < 0) | (percent > 100))
        if len(outside):
            limit = f"0 to {100 / provenance.percent:g} ({provenance.unit})"
            raise ValueError(f"{self._cell(column, int(outside[0]))} is not an accuracy, which is {limit}")
        return Accuracies(column, provenance, self._by_architecture(column, percent.tolist()))

    def covered_space(self) -> Space:
        """Return the space of the architectures that stand in this table; all others are invalid there."""
        held = frozenset(self.architectures)
        return replace(self.space, fold=_Covered(self.space.fold, held, str(self.path)), size=len(held))

    @cached_property
    def row_of(self) -> dict[Architecture, int]:
        """The first row of each architecture."""
        rows: dict[Architecture, int] = {}
        for row, architecture in enumerate(self.architectures):
            rows.setdefault(architecture, row)
        return rows

    def _by_architecture(self, column: str, values: Sequence[float]) -> dict[Architecture, float]:
        if len(self.row_of) < len(self):
            for row, architecture in enumerate(self.architectures):
                first = self.row_of[architecture]
                if values[first] != values[row]:
                    raise ValueError(
                        f"{self._cell(column, row)} is of the same architecture as line {self.lines[first]}, "
                        f"where it is {self.cells[column][first]!r}; an architecture has one value"
                    )
        return {architecture: values[row] for architecture, row in self.row_of.items()}

    def _parsed(self, column: str, parse: Callable[[str], float], allowed: str) -> np.ndarray:
        self._require(column)
        values = np.empty(len(self))
        for row, text in enumerate(self.cells[column]):
            try:
                values[row] = parse(text)
            except ValueError:
                raise ValueError(f"{self._cell(column, row)} must be {allowed}") from None
        return values

    def _require(self, column: str) -> None:
        if column not in self.cells:
            raise ValueError(f"{self.path} has no column {column!r}; it has {', '.join(self.cells)}")

    def _cell(self, column: str, row: int) -> str:
        return f"{self.path}, line {self.lines[row]}: {column} = {self.cells[column][row]!r}"


@dataclass(frozen=True)
class _Covered:
    """The fold of a space in which only these are members."""

    fold: Callable[[dict[str, Choice]], dict[str, Choice]] | None
    members: frozenset[Architecture]
    path: str

    def __call__(self, values: dict[str, Choice]) -> dict[str, Choice]:
        folded = self.fold(values) if self.fold is not None else values
        if Architecture(folded) not in self.members:
            raise InvalidArchitecture(f"{folded} is not among the {len(self.members)} architectures of {self.path}")
        return folded


def _finite(text: str) -> float:
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(text)
    return value


def _score(text: str) -> float:
    return float(text) if text.strip() else np.nan


def _open(path: Path) -> TextIO:
    # spreadsheets write a byte-order mark before the header
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def read_cells(path: Path) -> tuple[dict[str, list[str]], list[int]]:
    """Read column -> cells, and the line of each row."""
    rows, lines = [], []
    try:
        with _open(Path(path)) as file:
            reader = csv.reader(file)
            header = next(reader, [])
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ValueError(f"line {reader.line_num}: {len(row)} cells, the header has {len(header)}")
                rows.append(row)
                lines.append(reader.line_num)
    except (ValueError, EOFError, csv.Error, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from error
    doubled = [name for i, name in enumerate(header) if name in header[:i]]
    if doubled:
        raise ValueError(f"{path}: column {doubled[0]!r} stands twice in the header")
    if not rows:
        raise ValueError(f"{path} has no rows; a table is a header and a row for each architecture")
    return {name: list(column) for name, column in zip(header, zip(*rows))}, lines
