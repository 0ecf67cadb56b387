"""Repair of a job folder before a run resumes in it: damaged or missing files that the rest can make again.

A damaged file is set aside under the name `NAME.damaged`, never removed, and the stage that makes it runs again.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.errors import InvalidJob
from service.job.damage import MADE_AGAIN, DamagedFile
from service.job.folder import read_json
from service.run.stages.outputs import FRONT, RESULT, SUPERNET
from service.run.stages.plan import Plan
from supernets.whole_file import unfinished

_CHECKPOINT = "train/checkpoint.pt"
_ON_THE_QUEUE = (".queue.json.", ".state.json.", ".process.json.", ".activity.json.", ".tracking.json.")
"""Beginnings of the names of files that other processes, perhaps on other machines, write into the folder."""


def mend(folder: Path, plan: Plan) -> list[str]:
    """Prepare a locked job folder for a run, and return what has to be said about it.

    Args:
        folder: The job folder.
        plan: Plan that will run.

    Raises:
        InvalidJob: A file is damaged that this run needs and cannot make again.
    """
    if int(os.environ.get("RANK", "0")) > 0:
        return []
    for path in unfinished(folder):
        if not path.name.startswith(_ON_THE_QUEUE):
            path.unlink(missing_ok=True)
    said = [_set_aside(error.mistakes[0], folder / name) for name, error in _damaged(folder)]
    if any(stage.result == "writes" for stage in plan.made().values()):
        said += _incomplete(folder, damaged=bool(said))
    if SUPERNET not in plan.inputs and not (folder / RESULT).exists():
        said += _supernet(folder, plan)
    return said


def _damaged(folder: Path) -> Iterator[tuple[str, DamagedFile]]:
    for name in MADE_AGAIN:
        try:
            read_json(folder / name)
        except DamagedFile as error:
            yield name, error


def _set_aside(why: str, path: Path) -> str:
    """Rename a damaged file, so that it counts as missing."""
    aside = path.with_name(f"{path.name}.damaged")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    path.rename(aside)
    return f"{why.partition(', ')[0]}; it is made again, what was there is now {aside.name}"


def _incomplete(folder: Path, *, damaged: bool) -> list[str]:
    """Let a job that is over be completed, where its front or weights of its members are not there any more."""
    result = read_json(folder / RESULT)
    if result is not None and result.get("status") != "finished":
        return []
    front = read_json(folder / FRONT)
    members = [] if front is None else [member for member in front["members"] if not _has_weights(folder, member)]
    if result is None or not (front is None or members or damaged):
        return []
    (folder / RESULT).unlink()
    if front is None:
        return [] if damaged else [f"{folder}: {FRONT} is missing; it is made again"]
    keys = ", ".join(str(member["key"]) for member in members)
    return [f"{folder}: the weights of {keys} are missing or damaged; they are made again"] if members else []


def _has_weights(folder: Path, member: Mapping[str, Any]) -> bool:
    """Return whether the weights of a member are there; those that are damaged are set aside."""
    path = folder / str(member.get("weights") or f"front/{member['key']}.safetensors")
    if path.exists() and not is_whole(path):
        _set_aside("", path)
    return path.exists()


def _supernet(folder: Path, plan: Plan) -> list[str]:
    """Set a damaged supernet aside where it is made again; refuse to train one where another job's was searched."""
    path, wanted = folder / SUPERNET, plan.pending(folder)
    said = []
    if path.exists() and wanted and not is_whole(path):
        if "train" not in plan.stages or not (folder / _CHECKPOINT).is_file():
            again = f"remove it, then this trains it again: nas run {folder}"
            raise InvalidJob([f"{path}: damaged, the trained weights are lost; {again}"])
        said = [_set_aside(f"{path}: damaged", path)]
    searched = (folder / "search" / "journal.jsonl").exists()
    if "train" in wanted and "search" in plan.stages and searched and not (folder / "train").exists() and not said:
        how = f"go on with: nas search {folder} --from DIR, or train it here: nas train {folder}"
        raise InvalidJob([f"{folder}: holds a search of the supernet of another job, and no supernet; {how}"])
    return said


def is_whole(path: Path) -> bool:
    """Return whether a file of weights can be read; only its head is looked at."""
    from safetensors import SafetensorError, safe_open

    with suppress(SafetensorError, OSError, ValueError), safe_open(path, framework="np"):
        return True
    return False
