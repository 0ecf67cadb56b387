"""The output of `nas jobs` and `nas watch`: the jobs of a queue."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from service.report.text import duration

if TYPE_CHECKING:
    from service.queue.queue import Status

_STYLES = {"running": "green", "failed": "red", "lost": "red", "cancelling": "yellow", "finished": "dim"}


def jobs_table(statuses: "Sequence[Status]", *, most: int | None = None) -> Table:
    """Return a table of the jobs of a queue in the given order, up to a number; the title counts all of them.

    Long names and notes take several lines, so that nothing of a row is lost on a terminal of 80 columns.
    """
    counts = Counter(status.state for status in statuses)
    title = ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "no jobs"
    hidden = len(statuses) - len(statuses[:most])
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.caption, table.caption_justify = f"{hidden:,} more: nas jobs" if hidden else None, "left"
    running = [status for status in statuses[:most] if status.total]
    gpus = any(status.gpus for status in statuses[:most])
    for name in ("id", "name", "state", *(["GPU"] if gpus else []), "try", *(["left"] if running else []), "progress"):
        table.add_column(
            name if statuses else "",
            justify="right" if name in ("left", "try") else "left",
            no_wrap=name not in ("name", "progress"),
            overflow="fold",
        )
    for status in statuses[:most]:
        progress = f"{status.stage} {status.done:,.0f}/{status.total:,.0f}" if status.total else status.reason
        cells: list[Any] = [status.id, Text(status.name), Text(status.state, style=_STYLES.get(status.state, ""))]
        cells += [Text("\n".join(gpu[:8] for gpu in status.gpus))] if gpus else []
        cells.append(str(status.attempt) if status.attempt else "")
        cells += [duration(status.left_s) if status.left_s is not None else ""] if running else []
        table.add_row(*cells, Text(progress))
    return table
