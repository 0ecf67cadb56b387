"""What a job found, for people: figures, a table of all candidates, and the table of the front in the terminal.

Everything is read from the job folder, so a report can be written again at any time, on any machine.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.job.folder import candidates, finite, job_name, read_events, read_json, write_whole
from service.job.front_file import brought_up_to_date, read_front_file, task_of_job
from service.report.breakdown_text import breakdown_lines
from service.report.figures import (
    front_html,
    front_png,
    hypervolume_png,
    interval,
    picture_of,
    probabilities_png,
)
from service.report.quantities import Axis, Shown, form_of, is_listed, predicted_axis, shown_of
from service.report.text import conditions_line, duration

if TYPE_CHECKING:
    from rich.table import Table

Record = Mapping[str, Any]


def write_report(folder: Path) -> list[Path]:
    """Writes the figures and the table of candidates of a job into its `report/`.

    Args:
        folder: The job folder; whatever parts it has are drawn, so the report of a failed job shows how far it got.

    Returns:
        The files written: candidates.csv, and where there was something to draw front.html, front.png, hypervolume.png
        and probabilities.png.
    """
    folder = Path(folder)
    report = folder / "report"
    written = [write_whole(report / "candidates.csv", _candidates_csv(candidates(folder)))]
    picture = picture_of(folder)
    if picture is not None:
        written.append(write_whole(report / "front.html", front_html(picture)))
        written.append(write_whole(report / "front.png", front_png(picture)))
    volume = read_json(folder / "search" / "hypervolume.json")
    if volume and volume.get("curve"):
        written.append(write_whole(report / "hypervolume.png", hypervolume_png(job_name(folder), volume["curve"])))
    learned = [event for event in read_events(folder / "progress.jsonl")[0] if event.get("probabilities")]
    if learned:
        written.append(write_whole(report / "probabilities.png", probabilities_png(job_name(folder), learned)))
    return written


def _candidates_csv(rows: list[dict[str, Any]]) -> str:
    header = list(rows[0]) if rows else ["index", "key", "status", "on_front", "seconds", "reason", "architecture"]
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def front_table(source: Path | Record) -> "Table":
    """The front as a table for the terminal, cheapest first.

    Args:
        source: A job folder, or the content of its front.json.
    """
    from rich.table import Table

    front = (read_front_file(Path(source)) or {}) if isinstance(source, str | Path) else brought_up_to_date(source)
    shown, members = shown_of(front), front.get("members", [])
    known = {name for member in members for name in member["values"]}
    predicted = [p for cost in shown.costs if (p := predicted_axis(cost)).name in known]
    listed = [cost for cost in shown.costs if is_listed(cost.name)]
    own = [cost for cost in shown.costs if cost not in listed]
    table = Table(title="Pareto front", title_justify="left")
    table.add_column("key", style="bold", no_wrap=True)
    for label in (*_quality_labels(shown), *(cost.label for cost in listed)):
        table.add_column(label.replace(" (", "\n("), justify="right", no_wrap=True)
    for axis in predicted:
        table.add_column(f"predicted\n({axis.unit or axis.noun})", justify="right", no_wrap=True)
    for cost in own:
        table.add_column(f"{cost.name}\n({cost.unit})" if cost.unit else cost.name, justify="right", no_wrap=True)
    for member in sorted(members, key=lambda m: _cheapest(m, shown)):
        qualities = (shown.quality.cell(member["values"].get(shown.quality.name)), _tested(member, shown))
        numbers = (_with_error(member, axis) for axis in (*listed, *predicted, *own))
        table.add_row(member["key"], *qualities, *numbers)
    return table


def _quality_labels(shown: Shown) -> tuple[str, str]:
    """Above what networks are judged by, and above what that became on the test split."""
    validation, metric = shown.quality.label, shown.task.metric
    if shown.quality.name == metric.name:
        validation = f"validation ({metric.unit or metric.name})"
    return validation, f"test ({metric.unit or metric.name})"


def _tested(member: Record, shown: Shown) -> str:
    return shown.test.cell(member.get("test_quality"))


def _cheapest(member: Record, shown: Shown) -> tuple[float, ...]:
    values = (finite(member["values"].get(cost.name)) for cost in shown.costs)
    return tuple(math.inf if value is None else value for value in values)


def _with_error(member: Record, axis: Axis) -> str:
    """A value, and how far it may be off where that is known."""
    ends, text = interval(member, axis.name), axis.cell(member["values"].get(axis.name))
    return f"{text} ± {max(ends) / axis.scale:{axis.table_digits}}" if ends else text


def best_by_quality(front: Record) -> Record:
    """The member with the best quality on the validation split: the test split reports, it does not choose.

    Args:
        front: The content of a front.json with at least one member.
    """
    shown = shown_of(brought_up_to_date(front))
    sign = 1 if shown.maximise else -1

    def quality(member: Record) -> float:
        value = finite(member["values"].get(shown.quality.name))
        return -math.inf if value is None else sign * value

    return max(front["members"], key=quality)


def summary_lines(folder: Path) -> list[str]:
    """What a job came to, in a few plain lines: its size and time, its best networks, where the report lies."""
    folder = Path(folder)
    result, front = read_json(folder / "result.json"), read_front_file(folder) or {}
    lines = []
    if result and result.get("status") != "finished":
        lines.append(f"{result.get('status', 'failed')}: {result.get('reason') or 'no reason given'}")
    rows, members = candidates(folder), front.get("members", [])
    if rows:
        counts = {status: sum(row["status"] == status for row in rows) for status in ("infeasible", "failed")}
        beside = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        seconds = finite((result or {}).get("seconds"))
        took = "" if seconds is None else f" in {_exact_duration(seconds)}"
        lines.append(
            f"{len(members)} networks on the front of {len(rows)} evaluations{f' ({beside})' if beside else ''}{took}"
        )
    shown = shown_of(front)
    if members:
        cheapest = min(members, key=lambda member: _cheapest(member, shown))
        lines += best_lines(front)
        lines.append(f"{'cheapest:':<14} {_one_line(cheapest, shown)}")
        lines += breakdown_lines(folder, best_by_quality(front)["key"])
    lines += proxy_lines(folder)
    lines += _prediction_lines(members, shown)
    if front.get("latency"):
        nouns = " and ".join(cost.noun for cost in shown.costs if cost.name in shown.measured)
        lines.append(f"{nouns or 'measured'} of {conditions_line(front['latency'])}")
    if (folder / "report" / "front.html").exists():
        lines.append(f"report: {folder / 'report' / 'front.html'}")
    return lines


def best_lines(front: dict[str, Any]) -> list[str]:
    """Return the best member of a front in one line; none where the front is empty.

    Args:
        front: The content of a front.json.
    """
    if not front.get("members"):
        return []
    shown = shown_of(front)
    form = form_of(shown.quality.name)
    best = form.best or f"best {form.noun}"
    return [f"{f'{best}:':<14} {_one_line(best_by_quality(front), shown)}"]


def _prediction_lines(members: Sequence[Record], shown: Shown) -> list[str]:
    """How far the costs that the search predicted were off those measured at its end."""
    lines = []
    for cost in shown.costs:
        name = predicted_axis(cost).name
        pairs = [(member["values"].get(name), member["values"].get(cost.name)) for member in members]
        errors = [100 * abs(predicted / measured - 1) for predicted, measured in pairs if predicted and measured]
        if errors:
            off = f"{sum(errors) / len(errors):.1f} % off what was measured, {max(errors):.1f} % at most"
            lines.append(f"predicted {cost.noun} of the front: {off}")
    return lines


def proxy_lines(folder: Path) -> list[str]:
    """How well each proxy of a search ranked its candidates, the best first; nothing where it had none."""
    found = read_json(folder / "search" / "proxies.json") or {}
    lines = []
    for name, agreement in sorted(found.items(), key=lambda item: -item[1]["spearman"][0]):
        spearman, kendall = (
            "{:.2f} [{:.2f}, {:.2f}]".format(*agreement[measure]) for measure in ("spearman", "kendall")
        )
        lines.append(f"  {name:<16} Spearman {spearman}  Kendall {kendall}")
    count = next(iter(found.values()))["architectures"] if found else 0
    noun = form_of(task_of_job(folder).metric.name).noun
    return [f"agreement with the {noun} of {count} candidates, 95 % intervals:", *lines] if lines else []


def _one_line(member: Record, shown: Shown) -> str:
    metric = shown.task.metric
    parts = [f"{_tested(member, shown)} {metric.unit}".strip() + " test"]
    value = shown.quality.cell(member["values"].get(shown.quality.name))
    judged = "validation" if shown.quality.name == metric.name else shown.quality.noun
    parts.append(f"{value} {shown.quality.unit}".strip() + f" {judged}")
    for cost in shown.costs:
        if cost.name in shown.measured and finite(member["values"].get(cost.name)) is not None:
            parts.append(f"{_with_error(member, cost)} {cost.unit or cost.noun}")
    return f"{member['key']}  {', '.join(parts)}"


def _exact_duration(seconds: float) -> str:
    """A span of time with tenths of a second where it is short."""
    return duration(seconds) if seconds >= 60 else f"{seconds:.1f} s"
