"""The folder of a job: made or used again, and locked while a process works in it."""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from service import catalogue, own_code
from service.errors import InvalidJob
from service.job import places
from service.job.building import look_at
from service.job.environment import environment, version
from service.job.files import with_todays_names
from service.job.folder import read_json, write_json
from service.job.front_file import read_front_file
from service.job.inside import holds_job, require_inside
from service.job.job import Job, SpaceConfig, to_dict
from service.job.kept_data import SPLIT, job_data
from service.job.store_address import environment_store
from service.job.tracking import without_password

_TARGETS = ("target_path", "test_target_path")
_PLACES = ("data.path", "data.test_path", "data.changed", *(f"data.options.{name}" for name in _TARGETS))
"""Fields that may differ when a job goes on: its data are recognised by their content."""
_ALLOWED = "must be a new folder, an empty one or the folder of this job"
_SAME = {'tracking.experiment: "espalier" there, null now'}  # earlier versions wrote the default
_SAME_DATA = {
    *("source", "options", "dataset", "image_size", "mean", "std", "validation_fraction", "test_fraction"),
}
_LEFT_BY_A_START = {"lock"}
_ORPHANS_END_S = 10.0
_LEADER_STARTS_S = 120.0


def prepare_folder(job: Job, output: str | Path | None = None, *, code: Sequence[str] = ()) -> Path:
    """Return the folder to run a job in, made where it is missing; a job that has begun there is resumed.

    Args:
        job: Job that will run.
        output: The folder; by default a new one, ``runs/<name>-<date>-<time>``.
        code: Folders that the job imports the user's own code from, see `own_code.beside`.

    Raises:
        InvalidJob: The folder cannot be written, is in use, or belongs to something else.
    """
    folder = _new_folder(job.name) if output is None else Path(output)
    if folder.exists() and not folder.is_dir():
        raise InvalidJob(
            [f"--output: {folder} is a file; must be a new folder, an empty one or the folder of this job"]
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if (folder / "job.json").exists():
                check_same(job, folder)
            elif foreign := _foreign(folder):
                here = f"{folder} has other files in it ({foreign}) and no job.json"
                raise InvalidJob([f"--output: {here}; {_ALLOWED}"])
            else:
                save_job(job, folder, code)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidJob([f"--output: cannot write in {folder}: {reason}; give a folder that you can write"]) from error
    return folder


def await_folder(output: str | Path) -> Path:
    """Wait for the folder that the first of several processes prepares, and return it.

    Raises:
        InvalidJob: The first process has not made it in time.
    """
    deadline = time.monotonic() + _LEADER_STARTS_S
    while not (Path(output) / "job.json").exists():
        if time.monotonic() > deadline:
            raise InvalidJob([f"--output: {output} was not prepared by the first process in {_LEADER_STARTS_S:.0f} s"])
        time.sleep(0.1)
    return Path(output)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a job folder; the lock ends with the process, in any way.

    Raises:
        InvalidJob: Another process works in the folder, or a link leads out of it.
    """
    require_inside(folder)
    with (folder / "lock").open("a+") as file:
        deadline = time.monotonic() + _ORPHANS_END_S
        while not _take(file):
            file.seek(0)
            holder = file.read().strip()
            if _alive(holder) or time.monotonic() > deadline:
                running = f"process {holder or 'unknown'} is running this job"
                raise InvalidJob([f"{folder}: {running}; wait for it, or give another --output"])
            time.sleep(0.1)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(process: str) -> bool:
    """Return whether a process id is running; data workers of a killed job hold its lock for a moment after it."""
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def save_job(job: Job, folder: Path, code: Sequence[str] = ()) -> None:
    """Write `job.json`: the job, a fresh id, and where and with what it runs."""
    seen_from_here = places.beside(to_dict(job), folder)
    record = job_record(job, environment(), code)
    write_json(folder / "job.json", {**record, **({places.BESIDE: seen_from_here} if seen_from_here else {})})


def job_record(job: Job, here: Mapping[str, Any], code: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of `job.json`.

    Args:
        job: Job that will run.
        here: The `environment` that it is prepared in.
        code: Folders that the job imports the user's own code from.
    """
    fields = to_dict(job)
    store = environment_store()
    return {
        "job": fields,
        "id": uuid.uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "espalier": version(),
        "environment": dict(here),
        **own_code.record(fields, code),
        **({"tracking": store} if store else {}),
    }


def check_supernet(job: Job, folder: Path) -> None:
    """Refuse a supernet of another job folder that this job cannot search.

    Raises:
        InvalidJob: There is no supernet, or it is of another space.
    """
    if not (folder / "supernet.safetensors").is_file():
        raise InvalidJob([f"{folder}: holds no trained supernet (supernet.safetensors); make one with `nas train`"])
    for line in supernet_differences(job, saved_job(folder)):
        raise InvalidJob([f"{line}; the supernet in {folder} must be of the same space, data and task"])


def supernet_differences(job: Job, theirs: Mapping[str, Any]) -> list[str]:
    """Return where a job and the (tree of the) job that trained a supernet differ so that it cannot be searched."""
    ours, found = to_dict(job), []
    theirs = _completed(theirs, to_dict(Job(name="job", space=SpaceConfig(name="any"))))
    own_task: dict[str, Any] = {"name": None, "options": {}}
    ours["task"], task = (own_task | (tree.get("task") or {}) for tree in (ours, theirs))
    if None in (ours["task"]["name"], task["name"]):  # the fingerprint of the data, which are compared as well
        by_default = look_at(job.data).task
        ours["task"], task = (one | {"name": one["name"] or by_default} for one in (ours["task"], task))
    ours["task"], task = (_learned_from(one) for one in (ours["task"], task))
    theirs = {**theirs, "task": task}
    for name in ("space", "supernet", "data", "task"):
        wanted = _SAME_DATA if name == "data" else None
        for line in differences(theirs.get(name, {}), ours[name], (name,)):
            field = line.split(":")[0]
            if wanted is None or (field.split(".")[1] in wanted and field not in _PLACES):
                found.append(line)
    return found


def _learned_from(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section `task` of a job without options that only change how networks are judged."""
    from supernets.tasks.task import Task

    made: Any = None
    with suppress(ValueError):  # a task that is not there any more
        made = catalogue.resolve("task", task["name"])
    judging = made.judging if isinstance(made, type) and Task in made.__mro__ else ()  # type: ignore[attr-defined]
    return {**task, "options": {name: value for name, value in task["options"].items() if name not in judging}}


def saved_job(folder: Path) -> dict[str, Any]:
    """Return the job tree in the `job.json` of a folder, unchecked; the user's own code can be imported from then on.

    Raises:
        InvalidJob: The file is not what a job writes.
    """
    content = read_json(folder / "job.json") if holds_job(folder) else None
    if content is None:
        raise InvalidJob([f"{folder}: holds no job.json, so it is not a job folder"])
    fields = without_password(with_todays_names(content["job"]))
    return places.placed(fields, folder, content.get(places.BESIDE))


def front_members(folder: Path) -> list[dict[str, Any]]:
    """Return the members of the front of a finished job.

    Raises:
        InvalidJob: The job has no front yet.
    """
    front = read_front_file(folder)
    if front is None:
        raise InvalidJob([f"{folder}: this job has no front yet; finish it with: nas run {folder}"])
    return front["members"]


def differences(there: Any, here: Any, path: tuple[str, ...] = ()) -> list[str]:
    """Return where two job trees differ, one line each."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        names = dict.fromkeys([*there, *here])
        return [line for name in names for line in differences(there.get(name), here.get(name), (*path, name))]
    if there == here:
        return []
    return [f"{'.'.join(path)}: {json.dumps(there)} there, {json.dumps(here)} now"]


def check_same(job: Job, folder: Path) -> None:
    """Refuse to resume a folder with a different job; data may have moved, if their content is the same.

    Raises:
        InvalidJob: It is another job, or its data have changed since it began.
    """
    here, unset = (json.loads(json.dumps(to_dict(j))) for j in (job, Job(name="job", space=SpaceConfig(name="any"))))
    there = _completed(saved_job(folder), unset)
    different = [line for line in differences(there, here) if line not in _SAME]
    if different and (folder / SPLIT).exists() and all(line.split(":")[0] in _PLACES for line in different):
        job_data(job, folder)  # they may have another name now, but must be the same
        _remember_places(job, folder)
        return
    if different:
        advice = f"give another --output, or go on with that job: nas run {folder}"
        raise InvalidJob([f"--output: {folder} holds another job; {advice}", *different])


def _remember_places(job: Job, folder: Path) -> None:
    """Note where the data are now, for a later run in the folder."""
    content = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    there = content["job"].get("data", {})
    options = {name: job.data.options[name] for name in _TARGETS if name in job.data.options}
    moved: dict[str, Any] = {"path": job.data.path, "test_path": job.data.test_path}
    moved |= {"options": {**there.get("options", {}), **options}} if options else {}
    content["job"]["data"] = {**there, **moved}
    content[places.BESIDE] = places.beside(to_dict(job), folder)
    write_json(folder / "job.json", content)


def _completed(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a job, with the defaults of those that an earlier version did not have."""
    completed = dict(defaults)
    for name, value in fields.items():
        below = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            completed[name] = _completed(value, below)
        else:
            completed[name] = value
    return completed


def _foreign(folder: Path) -> str:
    """Return some files in a folder that no start of a job has left there."""
    names = sorted(entry.name for entry in folder.iterdir())
    other = [name for name in names if name not in _LEFT_BY_A_START and not name.startswith(".job.json.")]
    return ", ".join(other[:3]) + (", …" if len(other) > 3 else "")


def _new_folder(name: str) -> Path:
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    taken = 1
    folder = Path("runs") / stem
    while folder.exists():
        taken += 1
        folder = Path("runs") / f"{stem}-{taken}"
    return folder
