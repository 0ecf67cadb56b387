"""The append-only record of a search: a header, then one line of JSON for each evaluation."""

import json
import os
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from nas.search.evaluators import FULL, Candidate
from search_spaces import Architecture
from supernets.estimate import Estimate
from supernets.whole_file import InvalidFile, LineFile

_NEW_NAMES = ("role", "source")  # of objectives
Status = Literal["ok", "infeasible", "failed"]


class InvalidJournal(InvalidFile):
    """A journal that is damaged or of another search."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of one candidate.

    Attributes:
        index: Place in the journal.
        architecture: The candidate.
        status: `ok`; `infeasible`, where a hard limit is broken; or `failed`, with a reason and without values.
        values: Objective name -> value.
        intervals: Objective name -> 95% interval, for measured objectives.
        reason: Why it failed or is infeasible.
        seconds: Time the evaluation took.
        fidelity: Share of the data that it was evaluated on; fronts hold only what was evaluated on all of it.
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
    """Evaluations on disk; a journal that is opened again holds those of the earlier run and continues after them.

    Args:
        path: File to append to; None keeps the journal in memory only.
        header: Description of the search; a journal of another search is refused.

    Raises:
        InvalidJournal: The file is of another search, or damaged before its last line.
    """

    def __init__(self, path: Path | None, header: dict[str, Any]) -> None:
        self._lines = Records(path, {"journal": 1, **header}, what="search", new_names=_NEW_NAMES)
        self.path, self.header = path, self._lines.header
        self.evaluations = [_evaluation(record, path) for record in self._lines.records]
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
    """Architecture -> standard errors of objectives, as a journal has them; 0 for what was not evaluated.

    Args:
        objectives: Names.

    Attributes:
        journal: Journal in which they are looked up; a searcher may be made before there is one.
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
    """Lines of JSON on disk after a header; opened again, it holds those of the earlier run and continues after them.

    Args:
        path: File to append to; None keeps the records in memory only.
        header: What the records describe; a file with another header is refused.
        what: What such a file belongs to, for the message.
        new_names: Names inside the header that files of earlier versions lack; such files are still accepted.

    Attributes:
        records: Those of the earlier run.

    Raises:
        InvalidJournal: The file has another header, or is damaged before its last line.
    """

    def __init__(
        self, path: Path | None, header: dict[str, Any], *, what: str, new_names: Collection[str] = ()
    ) -> None:
        self.path, self.header, self.what, self.new_names = path, header, what, new_names
        self.records: list[dict[str, Any]] = []
        self._file: LineFile | None = None
        if path is None:
            return
        if path.exists() and path.stat().st_size:
            self._read()
        self._file = LineFile(path)
        if not path.stat().st_size:
            self.append(self.header)

    def append(self, record: dict[str, Any]) -> None:
        """Add one record; it is in the file when this returns."""
        if self._file is not None:
            self._file.append(json.dumps(record))

    def sync(self) -> None:
        """Make what was appended survive a power failure too."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        if self._file is not None:
            try:
                self.sync()
            finally:
                self._file.close()

    def _read(self) -> None:
        assert self.path is not None
        complete = _complete_lines(self.path)
        header, *self.records = [*_parse(complete, self.path)] or [self.header]
        differing = [name for name, ours in self.header.items() if not self._is_same(ours, header.get(name))]
        if differing:
            name = differing[0]
            raise InvalidJournal(
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
    """Return header and evaluations of a journal, of any search.

    Raises:
        InvalidJournal: It is empty, or damaged before its last line.
    """
    lines = [*_parse(_complete_lines(path), path)]
    if not lines:
        raise InvalidJournal(f"{path} is empty: what the search has evaluated is lost; remove it to search again")
    return lines[0], [_evaluation(record, path) for record in lines[1:]]


def is_begun(path: Path) -> bool:
    """Return whether a journal has its first line; a process that was killed may have left half of it."""
    return path.is_file() and bool(_complete_lines(path).strip())


def _evaluation(record: dict[str, Any], path: Path | None) -> Evaluation:
    try:
        evaluation = Evaluation.from_json(record)
        if wrong := _wrong(evaluation):
            raise ValueError(f"{wrong} is {getattr(evaluation, wrong)!r}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        where = f"{path}: the evaluation with index {json.dumps(record.get('index'))}"
        raise InvalidJournal(f"{where} is damaged ({error}); to go on without it, remove its line") from error
    return evaluation


def _wrong(evaluation: Evaluation) -> str | None:
    """Return the first field of an evaluation that holds something else than it should."""
    ends = [end for interval in evaluation.intervals.values() for end in interval]
    sound = {
        "index": _is_number(evaluation.index),
        "status": evaluation.status in get_args(Status),
        "values": isinstance(evaluation.values, dict) and all(map(_is_number, evaluation.values.values())),
        "intervals": all(map(_is_number, ends)),
        "seconds": _is_number(evaluation.seconds),
        "fidelity": _is_number(evaluation.fidelity),
    }
    return next((name for name, is_sound in sound.items() if not is_sound), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _complete_lines(path: Path) -> bytes:
    """Return the content up to its last newline: a killed process may have left half a line behind it."""
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _parse(content: bytes, path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(content.decode("utf-8-sig", errors="replace").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidJournal(_damage(path, number, str(error))) from error
        if not isinstance(record, dict):
            raise InvalidJournal(_damage(path, number, "no object in braces"))
        yield record


def _damage(path: Path, number: int, reason: str) -> str:
    mend = f"to go on without it, remove this line: sed -i {number}d {shlex.quote(str(path))}"
    if number == 1:
        mend = "it says what the search was; put a copy back, or remove the file to search again"
    return f"{path}, line {number}, is damaged ({reason}); {mend}"
