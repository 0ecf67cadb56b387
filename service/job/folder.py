"""Reading the files in a job folder, and writing whole files into it.

The journal of candidates is turned here into the flat rows that the table, the figures and MLflow all show.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.job.damage import DamagedFile, check_shape, refuse, shape_mistake
from supernets.whole_file import written_whole

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file of a job folder, or None where there is no file.

    Raises:
        DamagedFile: The file cannot be read, or holds something else; the message says what is lost and how to go on.
    """
    if not path.exists():
        return None
    if not path.is_file():
        refuse(path, "it is not a file")
    content = path.read_bytes().removeprefix(_BYTE_ORDER_MARK)
    if not content.strip():
        refuse(path, "it is empty")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        refuse(path, str(error)[:200])
    check_shape(path, found)
    return found


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty where it is missing or damaged, for files that are only a memory."""
    try:
        return read_json(path) or {}
    except (OSError, DamagedFile):
        return {}


def read_lines(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the complete JSON lines from byte `offset` on, and the offset after them; an unfinished line waits.

    Raises:
        DamagedFile: A line holds something else.
    """
    content, end = _complete(path, offset)
    found = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            record = _parsed(line)
            if record is None:
                refuse(path, f"{'line' if not offset else 'new line'} {number} holds no object in braces")
            found.append(record)
    return found, end


def read_events(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the events in a log, and the offset after them; see `read_lines`. Damaged lines are left out.

    A full disk, or a machine that stopped, may have left half a line; a log can do without it.
    """
    content, end = _complete(path, offset)
    found = (_parsed(line) for line in content.split(b"\n"))
    return [event for event in found if event is not None and shape_mistake("event", event) is None], end


def _complete(path: Path, offset: int) -> tuple[bytes, int]:
    """Return the complete lines of a file from a byte on, and where they end."""
    if not path.exists():
        return b"", 0
    if not path.is_file():
        refuse(path, "it is not a file")
    with path.open("rb") as file:
        start = file.seek(offset if offset <= path.stat().st_size else 0)
        content = file.read()
    complete = content[: content.rfind(b"\n") + 1]
    return complete.removeprefix(b"" if start else _BYTE_ORDER_MARK), start + len(complete)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_whole(path: Path, content: str | bytes, *, durable: bool = True) -> Path:
    """Write a file whole or not at all, even if the machine stops.

    Without `durable`, this holds only if the process stops. It takes a tenth of the time, for files that can be made
    again.
    """
    with written_whole(path, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def write_json(path: Path, content: Any, *, durable: bool = True) -> Path:
    """Write a JSON file, whole or not at all; see `write_whole`."""
    return write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n", durable=durable)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a csv file, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return write_whole(path, text.getvalue())


def finite(value: Any) -> float | None:
    """Return the value as a float, or None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < 1e300 else None


def architecture_key(architecture: Mapping[str, Any]) -> str:
    """Return the short name of an architecture, as printed in every table."""
    from search_spaces.space import Architecture

    return Architecture.from_json(architecture).key


def candidates(folder: Path) -> list[dict[str, Any]]:
    """Return one flat row per evaluation of the journal, in order; a value that is missing or not finite is None.

    Interval ends are columns `<objective>_low` and `<objective>_high`; `on_front` says which rows were chosen.
    """
    records = journal_records(folder)
    front = read_json(folder / "front.json") or {}
    chosen = {member["key"] for member in front.get("members", [])}
    names = list(dict.fromkeys(name for record in records for name in record.get("values") or {}))
    intervals = list(dict.fromkeys(name for record in records for name in record.get("intervals") or {}))
    rows = []
    for record in records:
        key = architecture_key(record["architecture"])
        row = {"index": record["index"], "key": key, "status": record["status"], "on_front": key in chosen}
        for name in names:
            row[name] = finite((record.get("values") or {}).get(name))
            if name in intervals:
                low, high = (record.get("intervals") or {}).get(name) or (None, None)
                row |= {f"{name}_low": finite(low), f"{name}_high": finite(high)}
        row |= {"seconds": finite(record.get("seconds")), "reason": record.get("reason")}
        rows.append(row | {"architecture": json.dumps(record["architecture"])})
    return rows


def journal_records(folder: Path) -> list[dict[str, Any]]:
    """Return the evaluations in the journal of a search; none where there is no journal yet.

    Raises:
        DamagedFile: One of them is damaged.
    """
    path = folder / "search" / "journal.jsonl"
    records = [record for record in read_lines(path)[0] if "architecture" in record]
    for record in records:
        if (wrong := shape_mistake("evaluation", record)) is not None:
            refuse(path, f"evaluation {record.get('index')}: {wrong}")
    if not records and (folder / "front.json").exists() and path.exists():
        refuse(path, "it has no evaluations")
    return records


def job_name(folder: Path) -> str:
    """Return the name of the job, or of its folder where no job is described."""
    return (read_json(folder / "job.json") or {}).get("job", {}).get("name", folder.name)
