"""The append-only record of a search: a header, then one line of JSON an evaluation."""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nas.search.evaluators import FULL, Candidate
from search_spaces import Architecture
from supernets.estimate import Estimate

_NEW_NAMES = ("role", "source")  # of objectives
Status = Literal["ok", "infeasible", "failed"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What came out for one candidate.

    Attributes:
        index: Place in the journal.
        architecture: The candidate.
        status: `ok`; `infeasible`, where a hard limit is broken; or `failed`, with a reason and without values.
        values: Objective name -> value.
        intervals: Objective name -> 95% interval, for measured objectives.
        reason: Why it failed or is infeasible.
        seconds: Time the evaluation took.
        fidelity: Share of the data that it was evaluated on; only what was evaluated on all of it is on a front.
    """

    index: int
    architecture: Architecture
    status: Status
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    reason: str | None = None
    seconds: float = 0.0
    fidelity: float = 1.0

    def standard_error(self, objective: str) -> float:
        """Return that of the value of an objective; 0 where it is exact or there is none."""
        low, high = self.intervals.get(objective, (None, None))
        return Estimate(self.values.get(objective, 0.0), low, high).standard_error

    @property
    def candidate(self) -> Candidate:
        """What was evaluated."""
        return Candidate(self.architecture, self.fidelity)

    def to_json(self) -> dict[str, Any]:
        record = {**self.__dict__, "architecture": self.architecture.to_json(), "key": self.architecture.key}
        if self.fidelity == FULL:
            del record["fidelity"]
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Evaluation":
        record = {name: value for name, value in record.items() if name != "key"}
        record["architecture"] = Architecture.from_json(record["architecture"])
        record["intervals"] = {name: (low, high) for name, (low, high) in record["intervals"].items()}
        return cls(**record)


class Journal:
    """Evaluations on disk; opened again, it holds those of the earlier run and goes on behind them.

    Args:
        path: File to append to; None keeps the journal in memory only.
        header: What the search is; a journal of another search is refused.

    Raises:
        ValueError: The file is of another search, or damaged before its last line.
    """

    def __init__(self, path: Path | None, header: dict[str, Any]) -> None:
        self._lines = Records(path, {"journal": 1, **header}, what="search", new_names=_NEW_NAMES)
        self.path, self.header = path, self._lines.header
        self.evaluations = [Evaluation.from_json(record) for record in self._lines.records]
        self._lines.records.clear()

    def append(self, evaluation: Evaluation) -> None:
        """Add one evaluation; it is in the file when this returns."""
        self.evaluations.append(evaluation)
        self._lines.append(evaluation.to_json())

    def sync(self) -> None:
        """Make what was appended survive a power failure too."""
        self._lines.sync()

    def close(self) -> None:
        self._lines.close()


class StandardErrors:
    """Architecture -> standard errors of objectives, as a journal has them; 0 of what was not evaluated.

    Args:
        objectives: Names.

    Attributes:
        journal: Where they are looked up; a searcher may be made before there is one.
    """

    def __init__(self, objectives: Sequence[str], journal: Journal | None = None) -> None:
        self.objectives, self.journal = list(objectives), journal
        self._known: dict[Architecture, Evaluation] = {}
        self._read = 0

    def __call__(self, architecture: Architecture) -> list[float]:
        evaluations = self.journal.evaluations if self.journal is not None else []
        for evaluation in evaluations[self._read :]:
            self._known[evaluation.architecture] = evaluation
        self._read = len(evaluations)
        found = self._known.get(architecture)
        return [0.0 if found is None else found.standard_error(name) for name in self.objectives]


class Records:
    """Lines of JSON on disk behind a header; opened again, it gives those of the earlier run and goes on behind them.

    Args:
        path: File to append to; None keeps the records in memory only.
        header: What they are records of; a file with another header is refused.
        what: What a file belongs to, for that message.
        new_names: Names inside the header that files of earlier versions lack; such files are not refused for it.

    Attributes:
        records: Those of the earlier run.

    Raises:
        ValueError: The file has another header, or is damaged before its last line.
    """

    def __init__(
        self, path: Path | None, header: dict[str, Any], *, what: str, new_names: Collection[str] = ()
    ) -> None:
        self.path, self.header, self.what, self.new_names = path, header, what, new_names
        self.records: list[dict[str, Any]] = []
        self._file = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size:
            self._read()
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - stays open as long as the records
        if not path.stat().st_size:
            self._write(self.header)

    def append(self, record: dict[str, Any]) -> None:
        """Add one record; it is in the file when this returns."""
        if self._file is not None:
            self._write(record)

    def sync(self) -> None:
        """Make what was appended survive a power failure too."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self.sync()
            self._file.close()

    def _write(self, record: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def _read(self) -> None:
        assert self.path is not None
        complete = _complete_lines(self.path)
        header, *self.records = [*_parse(complete, self.path)] or [self.header]
        differing = [name for name, ours in self.header.items() if not self._is_same(ours, header.get(name))]
        if differing:
            name = differing[0]
            raise ValueError(
                f"{self.path} is the journal of another {self.what}: its {name} is {header.get(name)}, "
                f"this one's is {self.header[name]}"
            )
        if len(complete) < self.path.stat().st_size:
            os.truncate(self.path, len(complete))

    def _is_same(self, ours: Any, theirs: Any) -> bool:
        """Return whether an entry of the header is that of the file, written by this version or an earlier one."""
        ours = json.loads(json.dumps(ours))
        return ours == theirs or _without(ours, self.new_names) == theirs


def _without(value: Any, names: Collection[str]) -> Any:
    """Return a value as JSON has it, without entries of these names however deep they lie."""
    if isinstance(value, dict):
        return {name: _without(part, names) for name, part in value.items() if name not in names}
    return [_without(part, names) for part in value] if isinstance(value, list) else value


def read_evaluations(path: Path) -> tuple[dict[str, Any], list[Evaluation]]:
    """Return header and evaluations of a journal, whatever its search was."""
    header, *records = _parse(_complete_lines(path), path)
    return header, [Evaluation.from_json(record) for record in records]


def _complete_lines(path: Path) -> bytes:
    """Return the content up to its last newline: a killed process may have left half a line behind it."""
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _parse(content: bytes, path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}, is damaged: {error}") from error
