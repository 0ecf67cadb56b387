"""Reading what a job left in its folder, and writing files into it whole.

The journal of candidates is turned here into the flat rows that the table, the figures and MLflow all show.
"""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file, or None where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def read_lines(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the complete JSON lines from byte `offset` on, and the offset after them; an unfinished line waits."""
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        file.seek(offset if offset <= path.stat().st_size else 0)
        start = file.tell()
        content = file.read()
    complete = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in complete.splitlines() if line.strip()], start + len(complete)


def write_whole(path: Path, content: str | bytes, *, durable: bool = True) -> Path:
    """Write a file so that it is there whole or not at all, whenever the machine stops.

    Without `durable` that holds whenever the process stops, which takes a tenth of the time: for files that can be
    made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if not durable:
        return path
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
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
    records, _ = read_lines(folder / "search" / "journal.jsonl")
    front = read_json(folder / "front.json") or {}
    chosen = {member["key"] for member in front.get("members", [])}
    records = [record for record in records if "architecture" in record]
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


def job_name(folder: Path) -> str:
    """Return the name of the job, or of its folder where no job is described."""
    return (read_json(folder / "job.json") or {}).get("job", {}).get("name", folder.name)
