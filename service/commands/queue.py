"""The commands that look at the queue, change what is in it and serve it."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from service import catalogue
from service.commands.options import QueueFolder
from service.commands.shared import console
from service.errors import InvalidJob, fail, readable_errors
from service.queue.queue import DEFAULT, Queue, Status
from service.queue.waiting import explained

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="Jobs, by their ids or how these begin.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="A job, by its id or how it begins.")]
_FOLLOW_S, _WATCH_S = 0.3, 1.0
_LAST = 5  # jobs that are shown where none ended while they were watched


def jobs(
    queue_folder: QueueFolder = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per job, for programs.")] = False,
) -> None:
    """List the jobs of the queue: state, progress, time left, GPU, attempts.

    [bold]Examples[/]
      nas jobs
      nas jobs --json | jq .state
    """
    with readable_errors():
        where = Queue.open(queue_folder)
        statuses = _in_order(explained(where, map(where.status, where.folders())))
        if as_json:
            import json

            for status in statuses:
                typer.echo(json.dumps({"id": status.id, **asdict(status), "folder": str(status.folder)}))
        else:
            from service.commands.queue_table import jobs_table

            console().print(jobs_table(statuses))


def watch(
    queue_folder: QueueFolder = DEFAULT,
    stay: Annotated[bool, typer.Option("--stay", help="Stay when all jobs are over, for those to come.")] = False,
    until_idle: Annotated[bool, typer.Option("--until-idle", hidden=True, help="The default.")] = False,
) -> None:
    """Show the jobs of the queue, live, until all are over, and then their results.

    Ctrl-C ends the view, not the jobs.

    [bold]Examples[/]
      nas watch
      nas watch --stay
    """
    from service.commands.queue_results import show_results

    with readable_errors():
        where = Queue.open(queue_folder)
        look = _Look(where)
        over_before = {status.folder for status in look() if status.is_over}
        with suppress(KeyboardInterrupt):
            _show_live(look, stay=stay)
        typer.echo()
        ended = [status for status in look() if status.is_over]
        told = [status for status in ended if status.folder not in over_before]
        show_results(sorted(told or _last(ended), key=lambda status: status.order), _option_of(queue_folder))


def _show_live(look: "_Look", *, stay: bool) -> None:
    """Show the jobs of a queue until all are over."""
    from rich.live import Live

    from service.commands.queue_table import jobs_table

    shown: list[Status] | None = None
    with Live(console=console(), auto_refresh=False) as live:
        while True:
            statuses = _in_order(look())
            if statuses != shown:
                shown = statuses
                live.update(jobs_table(statuses, most=max(5, live.console.height - 6)), refresh=True)
            if not stay and all(status.is_over for status in statuses):
                return
            time.sleep(_WATCH_S)


def _last(ended: Sequence[Status]) -> list[Status]:
    """Return the few jobs that ended last."""
    from service.queue.executors.executor import RESULT

    return sorted(ended, key=lambda status: (status.folder / RESULT).stat().st_mtime)[-_LAST:]


def _option_of(queue_folder: Path) -> str:
    """Return the option that names a queue, as it is typed after a command."""
    return "" if queue_folder == DEFAULT else f" --queue-folder {shlex.quote(str(queue_folder))}"


class _Look:
    """Statuses of a whole queue; a job whose folder has not changed is not read again."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.known: dict[Path, tuple[int, Status]] = {}

    def __call__(self) -> list[Status]:
        found = {}
        for folder in self.queue.folders():
            try:
                changed = folder.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            before = self.known.get(folder)
            settled = before is not None and before[0] == changed and before[1].state not in _CHANGING
            found[folder] = before if settled and before else (changed, self.queue.status(folder))
        self.known = found
        return explained(self.queue, (status for _, status in found.values()))


_CHANGING = ("running", "cancelling", "waiting")


def _in_order(statuses: Sequence[Status]) -> list[Status]:
    """Return what runs first, then what will, then what is over."""
    return sorted(statuses, key=lambda status: (status.is_over, status.state != "running", status.order))


def logs(
    identity: Id,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the job is over.")] = False,
    queue_folder: QueueFolder = DEFAULT,
) -> None:
    """Print the output of a job, from all of its attempts.

    [bold]Examples[/]
      nas logs 3f9a
      nas logs 3f9a -f
    """
    from service.queue.executors.executor import LOG, is_over

    with readable_errors():
        where = Queue.open(queue_folder)
        folder = where.find(identity)
        offset, told = 0, ""
        while True:
            over = is_over(folder)
            if follow and not over:
                told = _tell_why(where, folder, told)
            if (folder / LOG).exists():
                with (folder / LOG).open("rb") as file:
                    file.seek(offset)
                    text = file.read()
                offset += len(text)
                sys.stdout.buffer.write(text)
                sys.stdout.flush()
            if over or not follow:
                break
            time.sleep(_FOLLOW_S)
        if not follow and offset == 0:
            [status] = explained(where, [where.status(folder)])
            waits = f"; it is {status.state}" + (f": {status.reason}" if status.reason else "")
            fail(f"job {status.id}: has said nothing yet{'' if over else waits}", status=1)


def _tell_why(where: Queue, folder: Path, told: str) -> str:
    """Say why a job waits, where that has changed since it was told; return what was."""
    [status] = explained(where, [where.status(folder)])
    why = f"{status.state}: {status.reason}" if status.state in ("queued", "waiting") and status.reason else ""
    if why not in ("", told):
        print(f"job {status.id} is {why}", file=sys.stderr, flush=True)
    return why or told


def cancel(ids: Ids, queue_folder: QueueFolder = DEFAULT) -> None:
    """End queued or running jobs for good.

    A running job ends after its current evaluation or epoch, and is killed if
    that takes too long. Jobs that wait for it are skipped.

    [bold]Examples[/]
      nas cancel 3f9a
      nas cancel 3f9a 77c2 a01
    """
    from service.queue import worker
    from service.queue.executors.executor import end_cancelled, is_over, read_ticket

    asked = list[Path]()  # all are asked before the first is ended: the devices it frees must not start the others

    def ask(where: Queue, folder: Path) -> None:
        where.cancel(folder)
        asked.append(folder)

    def end_them() -> None:
        for folder in asked:
            if not end_cancelled(folder):
                catalogue.resolve("queue", read_ticket(folder).executor)(where.folder).cancel([folder])
            typer.echo(f"{folder.name}: {'cancelled' if is_over(folder) else 'is ending'}")
        worker.start(where)

    with readable_errors(also=(OSError,)):
        where = Queue.open(queue_folder)
        _each(where, ids, ask, finally_do=end_them)


def retry(ids: Ids, queue_folder: QueueFolder = DEFAULT) -> None:
    """Queue failed, cancelled or lost jobs again; they resume where they stopped.

    Jobs that were skipped because of them are queued again as well.

    [bold]Examples[/]
      nas retry 3f9a
    """
    from service.queue import worker

    def again(where: Queue, folder: Path) -> None:
        for one in where.retry(folder):
            typer.echo(f"{one.name}: queued again")

    with readable_errors(also=(OSError,)):
        where = Queue.open(queue_folder)
        _each(where, ids, again, finally_do=lambda: worker.start(where))


def _each(
    where: Queue, ids: Sequence[str], act: Callable[[Queue, Path], None], finally_do: Callable[[], object]
) -> None:
    """Act on every job, those that cannot be do not stop the others; ids are looked up before anything is done."""
    folders, mistakes = list[Path](), list[str]()
    for text in ids:
        try:
            folders.append(where.find(text))
        except InvalidJob as error:
            mistakes += error.mistakes
    if mistakes:
        fail(*mistakes)
    for folder in dict.fromkeys(folders):
        try:
            act(where, folder)
        except InvalidJob as error:
            mistakes += error.mistakes
    if len(mistakes) < len(folders):
        finally_do()
    if mistakes:
        fail(*mistakes)


def gc(
    older_than_days: Annotated[
        float, typer.Option(min=0, help="Only jobs that ended at least this many days ago.")
    ] = 30,
    states: Annotated[
        str, typer.Option("--states", metavar="A,B,…", help="Only these: finished, failed, cancelled, lost, skipped.")
    ] = "failed,cancelled,lost,skipped",
    yes: Annotated[bool, typer.Option("--yes", help="Remove the folders instead of only listing them.")] = False,
    queue_folder: QueueFolder = DEFAULT,
) -> None:
    """Remove the folders of jobs that are over.

    Folders that an open job needs are kept. Without --yes nothing is removed.

    [bold]Examples[/]
      nas gc                                        list what would be removed
      nas gc --older-than-days 7 --yes
      nas gc --states finished --older-than-days 365 --yes
    """
    with readable_errors(also=(OSError,)):
        from service.queue.cleaning import ENDINGS, clean

        chosen = [state.strip() for state in states.split(",") if state.strip()]
        for state in chosen:
            if state not in ENDINGS:
                fail(f"--states: unknown state {state!r} of jobs that are over{catalogue.suggestion(state, ENDINGS)}")
        found = clean(Queue.open(queue_folder), chosen, older_than_days * 86400, remove=yes)
        for path, size in found:
            typer.echo(f"{path.name}  {size / 1e6:,.1f} MB")
        total = sum(size for _, size in found) / 1e6
        hint = "" if yes or not found else "; remove them with --yes"
        typer.echo(f"{'removed' if yes else 'would remove'} {len(found)} folders, {total:,.1f} MB{hint}")


def worker(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when all jobs are over.")] = False,
    systemd: Annotated[
        bool, typer.Option("--systemd", help="Print a systemd user service that runs a worker.")
    ] = False,
    *,
    gpus: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Indices or UUIDs that jobs may use. [dim]Default: all[/]")
    ] = None,
    jobs_per_gpu: Annotated[
        int | None, typer.Option(min=1, help="Jobs that may share a GPU. [dim]Default: 1[/]")
    ] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Cores that jobs may use. [dim]Default: all[/]")] = None,
    pretend_gpus: Annotated[int | None, typer.Option(min=0, hidden=True)] = None,
    lock: Annotated[int | None, typer.Option(hidden=True)] = None,
    queue_folder: QueueFolder = DEFAULT,
) -> None:
    """Serve the queue: start its jobs, notice dead ones, mirror them in MLflow.

    `nas submit` starts a worker by itself. A worker that runs as a service also
    resumes jobs after a reboot. The settings of GPUs and cores are kept in the
    queue folder.

    [bold]Examples[/]
      nas worker
      nas worker --gpus 0,1 --jobs-per-gpu 2
      nas worker --systemd > ~/.config/systemd/user/espalier.service
      systemctl --user enable --now espalier && loginctl enable-linger
    """
    from service.queue import worker as serving

    with readable_errors(also=(OSError,)):
        where = Queue.open(queue_folder, create=True)
        if systemd:
            typer.echo(serving.systemd_unit(where), nl=False)
            return
        names = gpus.split(",") if gpus else None
        _keep_settings(where, gpus=names, jobs_per_gpu=jobs_per_gpu, cpus=cpus, pretend_gpus=pretend_gpus)
        held = where.try_serve() if lock is None else os.fdopen(lock, "a", encoding="utf-8")
        if held is None:
            fail(f"{where.folder}: another process serves this queue already")
        os.set_inheritable(held.fileno(), False)
        linger_s = 0.0 if lock is None else serving.LINGER_S
        try:
            serving.serve(
                where, held, until_idle=until_idle, say=lambda line: print(line, flush=True), linger_s=linger_s
            )
        except KeyboardInterrupt:
            typer.echo("interrupted; running jobs go on, queued ones wait for the next worker")


def _keep_settings(where: Queue, **given: Any) -> None:
    from service.job.folder import write_json
    from service.queue.executors.executor import read_object
    from service.queue.executors.local import SETTINGS
    from service.queue.executors.slots import Slots, settings_of

    known = read_object(where.folder / SETTINGS)
    settings = {**known, **{name: value for name, value in given.items() if value is not None}}
    try:
        Slots(settings_of(settings)).gpus  # noqa: B018 - it says which of them do not exist
    except ValueError as error:
        fail(f"--{error}")
    cores = len(os.sched_getaffinity(0))
    if (given["cpus"] or 0) > cores:
        fail(f"--cpus: must be {cores} or less, the cores that this process may use, got {given['cpus']}")
    if settings != known:
        write_json(where.folder / SETTINGS, settings)
