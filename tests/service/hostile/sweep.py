"""``python -m tests.service.hostile.sweep FOLDER FAULT WHICH``: a small job that meets a fault at one file operation
after the other, each in a process of its own, and is then started again.

FAULT is `kill` or `full`; WHICH is `all`, or how many operations are drawn. Prints a line of JSON for each, with what
was wrong; imports are done once, before the processes begin, so that each takes about a second.
"""

import importlib
import io
import json
import os
import random
import shutil
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from tests.service.hostile import file_operations
from tests.service.hostile.file_operations import Operations
from tests.service.hostile.small_job import JOB

FAULTS: dict[str, Callable[[], None]] = {"kill": file_operations.kill, "full": file_operations.full}


def main(folder: Path, fault: str, which: str) -> None:
    """Sweep the file operations of the job, and print what was wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(JOB))
    first = in_child(lambda: _run(folder, folder / "whole", modules=True))
    for name in first["modules"]:
        with suppress(Exception):  # of the process that has ended
            importlib.import_module(name)
    expected = outcome(folder / "whole")
    kinds = in_child(lambda: _run(folder, folder / "counted", 0, FAULTS[fault]))["kinds"]
    numbers = list(range(1, len(kinds) + 1))
    if which != "all":
        numbers = sorted(random.Random(0).sample(numbers, min(int(which), len(numbers))))
    for number in numbers:
        wrong = _tried(folder, number, fault, expected)
        print(
            json.dumps({"operation": number, "of": len(kinds), "kind": kinds[number - 1], "wrong": wrong}), flush=True
        )


def _tried(folder: Path, number: int, fault: str, expected: Any) -> str | None:
    """Let the job meet a fault at an operation and start it again; return what was wrong."""
    place = folder / f"at-{number}"
    done = in_child(lambda: _run(folder, place, number, FAULTS[fault]))
    if fault == "kill" and done is not None and done["code"]:  # it may have been over one operation earlier
        return f"it was not killed: {done}"
    if fault == "full" and (found := _no_clean_end(done)):
        return found
    again = in_child(lambda: _run(folder, place))
    if again is None or again["code"] != 0:
        return f"it does not go on: {again}"
    differing = [name for name, value in outcome(place).items() if value != expected[name]]
    shown = {name: outcome(place)[name] for name in differing if name == "files"}
    shutil.rmtree(place)
    return f"differs in {differing} {shown}" if differing else None


def _no_clean_end(done: Any) -> str | None:
    if done is None or done["code"] not in (0, 2):
        return f"no clean end: {done}"
    lines = done["errors"].splitlines()
    if done["code"] == 2 and (len(lines) != 1 or not lines[0].startswith("nas: ") or "No space left" not in lines[0]):
        return f"not one line: {lines}"
    return None


def _run(folder: Path, place: Path, at: int = 0, fault: Callable[[], None] | None = None, modules: bool = False) -> Any:
    """Run the job in this process; return how it ended."""
    from service.cli import app

    operations = Operations(place, at, fault or file_operations.full)
    operations.install()
    errors = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(errors):
        try:
            app(["run", str(folder / "job.json"), "--output", str(place)], prog_name="nas")
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            code = 1
            traceback.print_exc()
    found = {"code": code, "errors": errors.getvalue(), "kinds": operations.kinds}
    return found | ({"modules": list(sys.modules)} if modules else {})


def in_child(do: Callable[[], Any]) -> Any:
    """Return what a function gives in a process of its own; None where that was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        content = json.dumps(do()).encode()
        while content:
            content = content[os.write(writing, content) :]
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        content = file.read()
    os.waitpid(child, 0)
    return json.loads(content) if content else None


def outcome(place: Path) -> dict[str, Any]:
    """Return what a job came to, without times and latencies, and the names of its files."""
    lines = [json.loads(line) for line in (place / "search" / "journal.jsonl").read_text().splitlines()]
    front = json.loads((place / "front.json").read_text())
    result = json.loads((place / "result.json").read_text())
    for member in front["members"]:
        member["values"].pop("latency_ms", None)
    return {
        "journal": [{name: value for name, value in line.items() if name != "seconds"} for line in lines],
        "supernet": (place / "supernet.safetensors").read_bytes().hex(),
        "weights": {path.name: path.read_bytes().hex() for path in (place / "front").glob("*.safetensors")},
        "members": [{name: value for name, value in m.items() if name != "intervals"} for m in front["members"]],
        "result": {name: result.get(name) for name in ("status", "front_size", "test_quality", "hypervolume")},
        "files": sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
