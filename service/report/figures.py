"""Figures of a job: the Pareto front, interactive and as an image, and the course of hypervolume and sampling."""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.job.certainty_keys import ORIGINAL
from service.job.folder import candidates, finite, job_name
from service.job.front_file import objectives_of, quality_of, quantities_of, read_front_file, task_of_job
from service.report.limit_lines import COLOUR as LIMIT
from service.report.limit_lines import Limit, limits_of, line_of, trace
from service.report.markup import page_of, text
from service.report.probabilities_figure import decisions_png
from service.report.quantities import Axis, axis_of, quality_axis, test_axis

Record = Mapping[str, Any]

_MOST_NAMED = 16  # more curves than that have no legend
COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#a21caf", "#0e7490", "#b45309", "#4d7c0f", "#be123c", "#6d28d9", "#334155")
"""Of the fronts of several searches, one each."""
ORIGINAL_COLOUR, ORIGINAL_NAME = "#0f172a", "original network"
FRONT, CANDIDATE, INFEASIBLE, QUIET = "#c2410c", "#64748b", "#cbd5e1", "#fdba74"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The content of the figures of a job: the quality upwards, one of the costs sideways, limits as lines."""

    title: str
    quality: Axis
    test: Axis
    costs: tuple[Axis, ...]
    maximise: bool
    rows: list[dict[str, Any]]
    members: list[dict[str, Any]]
    limits: Sequence[Limit] = ()
    original: dict[str, Any] | None = None

    def staircase(self, cost: Axis) -> list[tuple[float, float]]:
        """Return the members that no other beats in this cost and the quality, cheapest first, as (cost, quality)."""
        sign = 1 if self.maximise else -1
        points = sorted((p for m in self.members if (p := self.point(m["values"], cost))), key=lambda p: p[0])
        best, steps = -math.inf, []
        for x, y in points:
            if sign * y > best:
                best = sign * y
                steps.append((x, y))
        return steps

    def point(self, values: Record, cost: Axis) -> tuple[float, float] | None:
        """Return the position of a candidate; None where one of the two values is missing."""
        x, y = cost.of(values.get(cost.name)), self.quality.of(values.get(self.quality.name))
        return None if x is None or y is None else (x, y)

    def points(self, cost: Axis) -> list[tuple[float, float]]:
        """Return where the candidates and the members lie, and the ends of their intervals of quality."""
        members = [*self.members, *([self.original] if self.original else [])]
        values = [*self.rows, *(member["values"] for member in members)]
        for member in members:
            ends = (member.get("intervals") or {}).get(self.quality.name) or ()
            values += [{**member["values"], self.quality.name: end} for end in ends]
        return [point for one in values if (point := self.point(one, cost))]


def picture_of(folder: Path) -> Picture | None:
    """Return the picture to draw; None where no candidate has values of two quantities."""
    front, rows = read_front_file(folder) or {}, candidates(folder)
    members, task, objectives = front.get("members", []), task_of_job(folder), objectives_of(folder)
    values = [*rows, *(member["values"] for member in members)]
    known = {name for value in values for name, entry in value.items() if finite(entry) is not None}
    measured = {name for member in members for name in member.get("intervals") or {}}
    measured |= {name for name in known if {f"{name}_low", f"{name}_high"} & known}
    quantities = quantities_of(objectives, values, measured)
    judged = quality_of(quantities, task)
    if judged.name not in known:
        judged = next((q for q in quantities if q.maximise and q.name in known), judged)
    costs = [quantity for quantity in quantities if quantity.name in known and quantity.name != judged.name]
    if judged.name not in known or not costs:
        return None
    axes = [axis_of(quantity, [value.get(quantity.name) for value in values]) for quantity in costs]
    quality = quality_axis(judged, task)
    return Picture(
        title=job_name(folder),
        quality=quality,
        test=test_axis(task),
        costs=tuple(axes),
        maximise=judged.maximise,
        rows=rows,
        members=members,
        limits=limits_of(objectives, [quality, *axes]),
        original=front.get(ORIGINAL),
    )


def interval(record: Record, name: str) -> tuple[float, float] | None:
    """Return the distances from the value down and up to the ends of its interval, None where none was measured."""
    value = finite(record["values"].get(name))
    low, high = (finite(end) for end in (record.get("intervals") or {}).get(name) or (None, None))
    return None if value is None or low is None or high is None else (max(0.0, value - low), max(0.0, high - value))


def _hover(picture: Picture, values: Record, key: str, architecture: Mapping[str, Any], test: Any = None) -> str:
    names = (picture.quality.name, *(cost.name for cost in picture.costs))
    shown = {**{name: finite(values.get(name)) for name in names}, "test": finite(test)}
    lines = [f"<b>{key}</b>"]
    lines += [f"{name}: {value:,.4g}" for name, value in shown.items() if value is not None]
    decisions = [f"{name}={value}" for name, value in architecture.items()]
    lines += [", ".join(decisions[i : i + 4]) for i in range(0, len(decisions), 4)]
    return "<br>".join(lines)


@dataclass(frozen=True, kw_only=True)
class _Cloud:
    """One kind of points in the interactive figure; `members` carry the intervals of the front."""

    name: str
    marker: dict[str, Any]
    values: Sequence[Record]
    texts: list[str]
    members: list[dict[str, Any]] = field(default_factory=list)

    def view(self, picture: Picture, cost: Axis) -> dict[str, Any]:
        """Return the coordinates and error bars when `cost` is the horizontal axis."""
        ends = [interval(member, cost.name) for member in self.members]
        return {
            "x": [cost.of(values.get(cost.name)) for values in self.values],
            "y": [picture.quality.of(values.get(picture.quality.name)) for values in self.values],
            "error_x.array": [end[1] / cost.scale if end else 0 for end in ends],
            "error_x.arrayminus": [end[0] / cost.scale if end else 0 for end in ends],
            "error_x.visible": any(ends),
        }

    def sureness(self, picture: Picture) -> dict[str, Any]:
        """Return the error bars of the quality."""
        ends = [interval(member, picture.quality.name) or (0.0, 0.0) for member in self.members]
        up, down = [high / picture.quality.scale for _, high in ends], [low / picture.quality.scale for low, _ in ends]
        bars = {"array": up, "arrayminus": down, "visible": any(map(any, ends))}
        return {"type": "data", "symmetric": False, "color": QUIET, "thickness": 0.8, "width": 0, **bars}


def _clouds(picture: Picture) -> list[_Cloud]:
    def rows(name: str, status: str, **marker: Any) -> _Cloud:
        chosen = [row for row in picture.rows if row["status"] == status and not row["on_front"]]
        texts = [_hover(picture, row, row["key"], json.loads(row["architecture"])) for row in chosen]
        return _Cloud(name=name, marker=marker, values=chosen, texts=texts)

    members, known = picture.members, [picture.original] if picture.original else []
    front = _Cloud(
        name="front",
        marker={"color": FRONT, "size": 10, "line": {"color": "white", "width": 1}},
        values=[m["values"] for m in members],
        texts=[_hover(picture, m["values"], m["key"], m["architecture"], m.get("test_quality")) for m in members],
        members=members,
    )
    original = _Cloud(
        name=ORIGINAL_NAME,
        marker={"color": ORIGINAL_COLOUR, "size": 13, "symbol": "star", "line": {"color": "white", "width": 1}},
        values=[member["values"] for member in known],
        texts=[_hover(picture, m["values"], m["key"], m["architecture"], m.get("test_quality")) for m in known],
        members=known,
    )
    infeasible = rows("infeasible", "infeasible", color=INFEASIBLE, size=7, symbol="x")
    return [
        cloud
        for cloud in (infeasible, rows("candidates", "ok", color=CANDIDATE, size=7, opacity=0.4), front, original)
        if cloud.values
    ]


def front_html(picture: Picture) -> str:
    """Return a page of its own, free of the network: the front over all candidates, with a choice of the cost axis."""
    import plotly.graph_objects as go

    figure, clouds = go.Figure(), _clouds(picture)
    for cloud in clouds:
        figure.add_scatter(
            mode="markers",
            name=f"{cloud.name} ({len(cloud.values)})",
            marker=cloud.marker,
            text=cloud.texts,
            hovertemplate="%{text}<extra></extra>",
            error_x={"type": "data", "symmetric": False, "color": FRONT, "thickness": 1.2, "width": 3},
            error_y=cloud.sureness(picture),
        )
    line = {"shape": "hv", "color": FRONT, "width": 1.5}
    figure.add_scatter(mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for limit in picture.limits:
        figure.add_scatter(**trace(limit))
    buttons = [_button(picture, clouds, cost) for cost in picture.costs]
    for name, values in buttons[0]["args"][0].items():
        for drawn, value in zip(figure.data, values):
            drawn.update({name.replace(".", "_"): value})
    figure.update_layout(**layout_of(picture.costs, picture.quality, buttons))
    config = {"displaylogo": False, "responsive": True}
    drawn = figure.to_html(include_plotlyjs=True, full_html=False, default_height="80vh", config=config)
    title = f"{picture.title}: Pareto front"
    return page_of(title, [f"<h1>{text(title)}</h1>", drawn])


def _button(picture: Picture, clouds: list[_Cloud], cost: Axis) -> dict[str, Any]:
    """Return the entry of the drop-down list that makes `cost` the horizontal axis: one value per trace."""
    steps = picture.staircase(cost)
    views = [cloud.view(picture, cost) for cloud in clouds]
    views.append({"x": [x for x, _ in steps], "y": [y for _, y in steps], "error_x.visible": False})
    points = picture.points(cost)
    views += [line_of(limit, cost, picture.quality, points) for limit in picture.limits]
    names = ("x", "y", "error_x.array", "error_x.arrayminus", "error_x.visible")
    data = {name: [view.get(name, False if name == names[-1] else []) for view in views] for name in names}
    layout = {"xaxis.title.text": cost.label, "xaxis.autorange": True, "yaxis.autorange": True}
    return {"label": cost.label, "method": "update", "args": [data, layout]}


def layout_of(costs: Sequence[Axis], quality: Axis, buttons: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the layout of an interactive figure: the list of costs above it, the legend below it."""
    menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "bgcolor": "white"}
    line = {"showline": True, "linecolor": "#94a3b8", "automargin": True}
    return {
        "template": "plotly_white",
        "font": {"family": "system-ui, sans-serif", "size": 14},
        "xaxis": {"title": {"text": costs[0].label if costs else ""}, "rangemode": "normal", **line},
        "yaxis": {"title": {"text": quality.label}, **line},
        "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
        "updatemenus": [menu] if len(buttons) > 1 else [],
        "hoverlabel": {"bgcolor": "white", "align": "left", "font": {"size": 12}},
        "margin": {"l": 60, "r": 20, "t": 60, "b": 60},
    }


def png(draw: Callable[[Sequence[Any]], None], *, panels: int = 1) -> bytes:
    """Return what is drawn into panels side by side as a PNG image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (9, 5.6) if panels == 1 else (4.2 * panels, 3.6)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    made = figure.subplots(1, panels, squeeze=False)[0]
    for axes in made:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
    draw(made)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def front_png(picture: Picture) -> bytes:
    """Return the front over all candidates, against the first cost, as a PNG image."""
    cost = picture.costs[0]

    def cloud(axes: Any, status: str, **style: Any) -> None:
        chosen = [row for row in picture.rows if row["status"] == status and not row["on_front"]]
        points = [p for row in chosen if (p := picture.point(row, cost))]
        if points:
            axes.scatter(*zip(*points), label=f"{style.pop('name')} ({len(points)})", **style)

    def draw(axes: Any) -> None:
        cloud(axes, "infeasible", name="infeasible", color=INFEASIBLE, marker="x", s=18)
        cloud(axes, "ok", name="candidates", color=CANDIDATE, s=18, alpha=0.4, linewidths=0)
        steps = picture.staircase(cost)
        if steps:
            axes.step(*zip(*steps), where="post", color=FRONT, linewidth=1.3, alpha=0.7)
        drawn = [(m, p) for m in picture.members if (p := picture.point(m["values"], cost))]
        for member, (x, y) in drawn:
            down, up = interval(member, cost.name) or (0.0, 0.0)
            below, above = interval(member, picture.quality.name) or (0.0, 0.0)
            axes.errorbar(x, y, yerr=[[below], [above]], color=QUIET, linewidth=0.8, zorder=1)
            axes.errorbar(x, y, xerr=[[down / cost.scale], [up / cost.scale]], color=FRONT, capsize=2.5, linewidth=1.1)
        _draw_limits(axes, picture, cost)
        if drawn:
            points = [p for _, p in drawn]
            axes.scatter(*zip(*points), color=FRONT, s=42, zorder=3, edgecolors="white", label=f"front ({len(drawn)})")
        if picture.original and (at := picture.point(picture.original["values"], cost)):
            axes.scatter(*at, color=ORIGINAL_COLOUR, s=90, zorder=4, marker="*", label=ORIGINAL_NAME)
        axes.set(xlabel=cost.label, ylabel=picture.quality.label)
        axes.set_title(f"{picture.title}: Pareto front", loc="left", fontsize=13, pad=12)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none")

    return png(lambda panels: draw(panels[0]))


def _draw_limits(axes: Any, picture: Picture, cost: Axis) -> None:
    """Draw the limits on this cost and on the quality, as far as they lie within reach."""
    points = picture.points(cost)
    for limit in picture.limits:
        if line_of(limit, cost, picture.quality, points)["x"]:
            draw = axes.axvline if limit.axis.name == cost.name else axes.axhline
            draw(limit.value, color=LIMIT, linewidth=1.2, linestyle="--", label=f"limit: {limit.text}")


def hypervolume_png(title: str, curve: list[list[float]]) -> bytes:
    """Return the hypervolume over evaluations as a PNG image; `curve` holds pairs of the two."""
    points = [(x, y) for x, y in curve if finite(x) is not None and finite(y) is not None]

    def draw(axes: Any) -> None:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        axes.step(xs, ys, where="post", color=FRONT, linewidth=1.8)
        axes.fill_between(xs, ys, step="post", color=FRONT, alpha=0.08, linewidth=0)
        axes.set(xlabel="evaluations", ylabel="hypervolume (0 to 1, higher is better)")
        axes.set_ylim(0, 1)
        axes.set_xlim(left=0)
        axes.set_title(f"{title}: hypervolume of the front", loc="left", fontsize=13, pad=12)
        if points:
            axes.annotate(f"{ys[-1]:.3f}", (xs[-1], ys[-1]), xytext=(-4, 6), textcoords="offset points", ha="right")

    return png(lambda panels: draw(panels[0]))


def probabilities_png(title: str, events: Sequence[Record]) -> bytes:
    """Return the probabilities that a sampler learned over epochs as a PNG image; `events` are those of samplers.

    A resumed training repeats some epochs; the last value counts. Phases follow each other.
    """
    points = {(name, event["epoch"]): value for event in events for name, value in event["probabilities"].items()}
    curves: dict[str, list[tuple[float, float]]] = {name: [] for name, _ in points}
    for (name, epoch), value in sorted(points.items(), key=lambda point: point[0][1]):
        curves[name].append((epoch, value))
    if len(curves) > _MOST_NAMED and all("/" in name for name in curves):
        return decisions_png(title, curves)

    def draw(axes: Any) -> None:
        for name, curve in curves.items():
            axes.plot(*zip(*curve), linewidth=1.6, marker="." if len(curve) < 30 else None, label=name)
        axes.set(xlabel="epoch", ylabel="probability in the next epoch")
        axes.set_ylim(bottom=0)
        axes.set_title(f"{title}: what training samples", loc="left", fontsize=13, pad=12)
        if len(curves) <= _MOST_NAMED:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9, frameon=False)

    return png(lambda panels: draw(panels[0]))
