"""The end of `nas watch`: the results of jobs that are over, and what to type next."""

import os
from collections.abc import Sequence
from pathlib import Path

import typer

from service.commands.shared import show_result
from service.queue.executors.executor import FAILED, FINISHED, LOST
from service.queue.queue import Status

_MOST = 20  # jobs that are shown
_AGAIN = (FAILED, LOST)


def show_results(statuses: Sequence[Status], where: str) -> None:
    """Print the front of a job, or the best network of each of several, and what to type next.

    Args:
        statuses: Statuses of jobs that are over, in the order in which they are told.
        where: The option that names the queue in commands; empty for the usual one.
    """
    from service.job.front_file import read_front_file
    from service.report.job_report import best_lines

    fronts = [status for status in statuses if (status.folder / "front.json").is_file()]
    if len(statuses) == 1 and fronts:
        show_result(statuses[0].folder)
    else:
        for status in statuses[:_MOST]:
            found = best_lines(read_front_file(status.folder) or {}) if status in fronts else []
            told = [" ".join(line.split()) for line in found] or [status.reason or status.state]
            typer.echo(f"{status.id}  {status.name}: {told[0].splitlines()[0]}")
    if len(statuses) > _MOST:
        typer.echo(f"and {len(statuses) - _MOST:,} more jobs: nas jobs{where}")
    for line in _next(statuses, fronts, where):
        typer.echo(line)


def _next(statuses: Sequence[Status], fronts: Sequence[Status], where: str) -> list[str]:
    """Return the commands that come next, a line each."""
    lines = []
    if len(fronts) > 1:
        lines.append(f"compare them: nas compare {' '.join(_short(one.folder) for one in fronts[:_MOST])}")
    if fronts:
        lines.append(f"export the best network: nas export {_short(fronts[0].folder)}")
    trained = [one for one in statuses if one.state == FINISHED and (one.folder / "supernet.safetensors").is_file()]
    if trained and not fronts:
        lines.append(f"search what was trained: nas search --from {_short(trained[0].folder)}")
    ended = [one.id for one in statuses if one.state in _AGAIN]
    if ended:
        lines.append(f"what went wrong: nas logs {ended[0]}{where}")
        lines.append(f"try again: nas retry {' '.join(ended[:_MOST])}{where}")
    return lines


def _short(folder: Path) -> str:
    """Return a folder as it is typed here."""
    path = os.path.relpath(folder)
    return str(folder) if path.startswith("..") else path
