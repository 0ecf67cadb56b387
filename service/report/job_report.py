"""The results of a job for people: figures, a table of all candidates, and the front in the terminal.

Everything is read from the job folder, so a report can be written again at any time, on any machine.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.job.certainty_keys import ORIGINAL, TEST, TEST_INTERVAL
from service.job.folder import candidates, finite, job_name, read_events, read_json, write_whole
from service.job.front_file import brought_up_to_date, read_front_file, task_of_job
from service.report.breakdown_text import breakdown_lines
from service.report.curves import training_png
from service.report.figures import front_html, front_png, hypervolume_png, picture_of, probabilities_png
from service.report.fronts_text import lettered, letters_lines
from service.report.quantities import Axis, Shown, form_of, is_listed, predicted_axis, shown_of, test_axis
from service.report.text import conditions_line, duration, other_runtime_line
from service.report.ticket_section import ticket_lines, ticket_png

if TYPE_CHECKING:
    from rich.table import Table

Record = Mapping[str, Any]
VOLUME = "search/hypervolume.json"
_NARROW = 80  # columns of a terminal


def write_report(folder: Path) -> list[Path]:
    """Write the figures and the table of candidates of a job into its `report/`.

    Args:
        folder: The job folder; all existing parts are drawn, so the report of a failed job shows its progress.

    Returns:
        The files written: candidates.csv, and where there was something to draw front.html, front.png, hypervolume.png,
        training.png, probabilities.png and ticket.png.
    """
    folder = Path(folder)
    report = folder / "report"
    written = [write_whole(report / "candidates.csv", _candidates_csv(candidates(folder)))]
    picture = picture_of(folder)
    if picture is not None:
        written.append(write_whole(report / "front.html", front_html(picture)))
        written.append(write_whole(report / "front.png", front_png(picture)))
    volume = read_json(folder / VOLUME)
    if volume and volume.get("curve"):
        written.append(write_whole(report / "hypervolume.png", hypervolume_png(job_name(folder), volume["curve"])))
    events = read_events(folder / "progress.jsonl")[0]
    metric = test_axis(task_of_job(folder)).label.removeprefix("test ")
    if (curves := training_png(job_name(folder), events, metric)) is not None:
        written.append(write_whole(report / "training.png", curves))
    learned = [event for event in events if event.get("probabilities")]
    if learned:
        written.append(write_whole(report / "probabilities.png", probabilities_png(job_name(folder), learned)))
    if (drawn := ticket_png(job_name(folder), folder)) is not None:
        written.append(write_whole(report / "ticket.png", drawn))
    return written


def _candidates_csv(rows: list[dict[str, Any]]) -> str:
    header = list(rows[0]) if rows else ["index", "key", "status", "on_front", "seconds", "reason", "architecture"]
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def front_table(source: Path | Record, width: int = _NARROW) -> "Table":
    """Return the front as a table for the terminal, cheapest first by the cost that was searched for.

    Args:
        source: A job folder, or the content of its front.json.
        width: Columns of the terminal; where they are too few, intervals are printed below their values.
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
    headers = [label.replace(" (", "\n(") for label in (*_quality_labels(shown), *(cost.label for cost in listed))]
    headers += [f"predicted\n({axis.unit or axis.noun})" for axis in predicted]
    headers += [f"{cost.name}\n({cost.unit})" if cost.unit else cost.name for cost in own]
    for header in headers:
        table.add_column(header, justify="right")
    axes = (*listed, *predicted, *own)
    rows = [_front_row(member, shown, axes) for member in sorted(members, key=lambda m: cheapest(m, shown))]
    if _width([["key", *headers], *rows]) > width:
        rows = [[_below(cell) for cell in row] for row in rows]
    for row in rows:
        table.add_row(*row)
    if lines := letters_lines(front, shown.task.examples):
        table.caption, table.caption_justify = "\n".join(lines), "left"
    return table


def _front_row(member: Record, shown: Shown, axes: Sequence[Axis]) -> list[str]:
    """Return the key of a member and its numbers: validation, test, then costs."""
    searched = lettered(shown.quality.cell(member["values"].get(shown.quality.name)), member, shown.quality.name)
    tested = lettered(_tested(member, shown), member, TEST)
    return [member["key"], searched, tested, *(lettered(_with_error(member, a), member, a.name) for a in axes)]


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of terminal columns that a table of these cells takes."""
    widest = [max(len(line) for cell in column for line in cell.split("\n")) for column in zip(*rows)]
    return sum(widest) + 3 * len(widest) + 1


def _below(cell: str) -> str:
    """Return a number with its letters, and its interval on a line of its own."""
    value, bracket, rest = cell.partition(" [")
    ends, _, letters = rest.partition("]")
    return f"{value}{letters}\n[{ends}]" if bracket else cell


def _quality_labels(shown: Shown) -> tuple[str, str]:
    """Return the headings of the quality on the validation and on the test split."""
    validation, metric = shown.quality.label, shown.task.metric
    unit = metric.unit or form_of(metric.name).noun
    if shown.quality.name == metric.name:
        validation = f"validation ({unit})"
    return validation, f"test ({unit})"


def _tested(member: Record, shown: Shown) -> str:
    return shown.test.sure(member.get(TEST), member.get(TEST_INTERVAL), in_table=True)


def cheapest(member: Record, shown: Shown) -> tuple[float, ...]:
    """Return what members are sorted by to have the cheapest first."""
    values = (finite(member["values"].get(cost.name)) for cost in shown.searched)
    return tuple(math.inf if value is None else value for value in values)


def _with_error(member: Record, axis: Axis) -> str:
    """Return a value, with its error where that is known."""
    ends = (member.get("intervals") or {}).get(axis.name)
    return axis.sure(member["values"].get(axis.name), ends, in_table=True)


def best_by_quality(front: Record) -> Record:
    """Return the member with the best quality on the validation split: the test split reports, it does not choose.

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
    """Return the result of a job in a few plain lines: size and time, best networks, and the place of the report."""
    folder = Path(folder)
    result, front = read_json(folder / "result.json"), read_front_file(folder) or {}
    lines = []
    if result and result.get("status") != "finished":
        lines.append(f"{result.get('status', 'failed')}: {result.get('reason') or 'no reason given'}")
    rows, members = candidates(folder), front.get("members", [])
    if rows:
        counts = {status: sum(row["status"] == status for row in rows) for status in ("infeasible", "failed")}
        counts["refused by limits unevaluated"] = (read_json(folder / VOLUME) or {}).get("refused", 0)
        beside = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        seconds = finite((result or {}).get("seconds"))
        took = "" if seconds is None else f" in {_exact_duration(seconds)}"
        networks = "1 network" if len(members) == 1 else f"{len(members)} networks"
        lines.append(f"{networks} on the front of {len(rows)} evaluations{f' ({beside})' if beside else ''}{took}")
    shown = shown_of(front)
    if members:
        first = min(members, key=lambda member: cheapest(member, shown))
        lines += best_lines(front)
        lines.append(f"{'cheapest:':<14} {_one_line(first, shown)}")
        if front.get(ORIGINAL):
            whole = f"the whole {front[ORIGINAL].get('model', 'network')}, adapted alone"
            lines.append(f"{'original:':<14} {_one_line(front[ORIGINAL], shown)}, {whole}")
        best = str(best_by_quality(front)["key"])
        lines += [*ticket_lines(folder), *breakdown_lines(folder, best), *_mixed_lines(folder, best)]
    elif front:
        lines += _empty_lines(folder, front)
    lines += proxy_lines(folder)
    lines += _prediction_lines(members, shown)
    if front.get("latency"):
        nouns = " and ".join(cost.noun for cost in shown.costs if cost.name in shown.measured)
        lines.append(f"{nouns or 'measured'} of {conditions_line(front['latency'])}")
        lines += [line] if (line := other_runtime_line(front["latency"])) else []
    if (folder / "report" / "front.html").exists():
        lines.append(f"report: {folder / 'report' / 'front.html'}")
    return lines


def _mixed_lines(folder: Path, key: str) -> list[str]:
    """Return what to type next where weights were learned in a mixture of all choices; none where they were not."""
    job = (read_json(folder / "job.json") or {}).get("job") or {}
    relaxation = (job.get("train") or {}).get("relaxation")
    if not relaxation or relaxation.get("method") == "one_hot":
        return []
    alone = f"nas retrain {folder} --scratch --member {key}"
    return [f"weights were learned in a mixture of all choices, of which {key} is one; it learns alone with: {alone}"]


def _empty_lines(folder: Path, front: Record) -> list[str]:
    """Return why a front is empty, by the network that came nearest to a limit, and what to type then."""
    limits = {one["name"]: finite((one.get("bound") or (None, None))[1]) for one in front.get("objectives", [])}
    near = [
        (end / high, name, end, member)
        for member in front.get("dropped", [])
        for name, high in limits.items()
        if high and (end := finite((member.get("intervals", {}).get(name) or (None, None))[1])) and end > high
    ]
    if not near:
        return []
    _, name, end, member = min(near, key=lambda one: one[0])
    step = 10 ** (math.floor(math.log10(end)) - 1)
    looser = f"nas search --from {folder} --set 'search.constraints.{name}=<= {math.ceil(end / step) * step:g}'"
    return [f"the front is empty; nearest: {member['key']}, {member['reason']}; a looser limit: {looser}"]


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
    """Return lines on the errors of the costs that the search predicted, against those measured at its end."""
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
    """Return a line for each proxy of a search on how well it ranked the candidates, the best first."""
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
    value = _with_error(member, shown.quality)
    judged = "validation" if shown.quality.name == metric.name else shown.quality.noun
    parts.append(f"{value} {shown.quality.unit}".strip() + f" {judged}")
    for cost in dict.fromkeys([*shown.searched[:1], *shown.costs]):
        wanted = cost.name in shown.measured or cost == shown.searched[0]
        if wanted and finite(member["values"].get(cost.name)) is not None:
            parts.append(f"{_with_error(member, cost)} {cost.unit or cost.noun}")
    return f"{member['key']}  {', '.join(parts)}"


def _exact_duration(seconds: float) -> str:
    """Return a span of time with tenths of a second where it is short."""
    return duration(seconds) if seconds >= 60 else f"{seconds:.1f} s"
