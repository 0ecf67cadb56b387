"""What a job found, for people: figures, a table of all candidates, and the table of the front in the terminal.

Everything is read from the job folder, so a report can be written again at any time, on any machine.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.job.folder import candidates, finite, job_name, read_json, read_lines, write_whole
from service.report.figures import (
    COSTS,
    axis_of,
    front_html,
    front_png,
    hypervolume_png,
    interval,
    picture_of,
    probabilities_png,
)
from service.report.text import conditions_line

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
    learned = [event for event in read_lines(folder / "progress.jsonl")[0] if event.get("probabilities")]
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

    front = (read_json(Path(source) / "front.json") or {}) if isinstance(source, str | Path) else source
    members = sorted(front.get("members", []), key=_cheapest)
    macs = axis_of("macs", [m["values"].get("macs") for m in members])
    params = axis_of("params", [m["values"].get("params") for m in members])
    table = Table(title="Pareto front", title_justify="left")
    table.add_column("key", style="bold", no_wrap=True)
    for name in ("validation (%)", "test (%)", "latency (ms)", macs.label, params.label):
        table.add_column(name.replace(" (", "\n("), justify="right", no_wrap=True)
    is_predicted = any("predicted_latency_ms" in member["values"] for member in members)
    if is_predicted:
        table.add_column("predicted\n(ms)", justify="right", no_wrap=True)
    own = [o for o in front.get("objectives", []) if o["name"] not in ("accuracy", *COSTS)]
    for objective in own:
        table.add_column(f"{objective['name']}\n({objective['unit']})", justify="right", no_wrap=True)
    for member in members:
        values = member["values"]
        table.add_row(
            member["key"],
            _number(values.get("accuracy"), ".2f"),
            _number(member.get("test_accuracy"), ".2f"),
            _latency(member),
            _number(macs.of(values.get("macs")), ".2f"),
            _number(params.of(values.get("params")), ".1f"),
            *([_latency(member, "predicted_latency_ms")] if is_predicted else []),
            *(_number(values.get(objective["name"]), ".4g") for objective in own),
        )
    return table


def _cheapest(member: Record) -> tuple[float, ...]:
    values = (finite(member["values"].get(name)) for name in COSTS)
    return tuple(math.inf if value is None else value for value in values)


def _number(value: Any, form: str) -> str:
    number = finite(value)
    return "-" if number is None else format(number, form)


def _latency(member: Record, name: str = "latency_ms") -> str:
    ends = interval(member, name)
    text = _number(member["values"].get(name), ".3f")
    return f"{text} ± {max(ends):.3f}" if ends else text


def most_accurate(members: Sequence[Record]) -> Record:
    """The member with the best validation accuracy: the test split reports, it does not choose."""
    return max(members, key=lambda m: finite(m["values"].get("accuracy")) or -math.inf)


def summary_lines(folder: Path) -> list[str]:
    """What a job came to, in a few plain lines: its size and time, its best networks, where the report lies."""
    folder = Path(folder)
    result, front = read_json(folder / "result.json"), read_json(folder / "front.json") or {}
    lines = []
    if result and result.get("status") != "finished":
        lines.append(f"{result.get('status', 'failed')}: {result.get('reason') or 'no reason given'}")
    rows, members = candidates(folder), front.get("members", [])
    if rows:
        counts = {status: sum(row["status"] == status for row in rows) for status in ("infeasible", "failed")}
        beside = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        took = f" in {_duration(result['seconds'])}" if result and finite(result.get("seconds")) is not None else ""
        lines.append(
            f"{len(members)} networks on the front of {len(rows)} evaluations{f' ({beside})' if beside else ''}{took}"
        )
    if members:
        lines.append(f"most accurate: {_one_line(most_accurate(members))}")
        lines.append(f"cheapest:      {_one_line(min(members, key=_cheapest))}")
    lines += proxy_lines(folder)
    lines += _prediction_lines(members)
    if front.get("latency"):
        lines.append(f"latency of {conditions_line(front['latency'])}")
    if (folder / "report" / "front.html").exists():
        lines.append(f"report: {folder / 'report' / 'front.html'}")
    return lines


def _prediction_lines(members: Sequence[Record]) -> list[str]:
    """How far the latencies that the search predicted were off those measured at its end."""
    pairs = [(m["values"].get("predicted_latency_ms"), m["values"].get("latency_ms")) for m in members]
    errors = [100 * abs(predicted / measured - 1) for predicted, measured in pairs if predicted and measured]
    if not errors:
        return []
    mean, worst = sum(errors) / len(errors), max(errors)
    return [f"predicted latency of the front: {mean:.1f} % off what was measured, {worst:.1f} % at most"]


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
    return [f"agreement with the accuracy of {count} candidates, 95 % intervals:", *lines] if lines else []


def _one_line(member: Record) -> str:
    values = member["values"]
    parts = [
        f"{_number(member.get('test_accuracy'), '.2f')} % test",
        f"{_number(values.get('accuracy'), '.2f')} % validation",
    ]
    if finite(values.get("latency_ms")) is not None:
        parts.append(f"{_latency(member)} ms")
    return f"{member['key']}  {', '.join(parts)}"


def _duration(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60:.0f} s" if minutes else f"{seconds:.1f} s"
