"""The figure of one front or several: quality against a cost, every run in a colour of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.job.certainty_keys import ORIGINAL
from service.job.folder import candidates, finite
from service.job.front_file import quality_of
from service.report.figures import COLOURS, ORIGINAL_NAME, Picture, interval, layout_of
from service.report.fronts import Front, Terms
from service.report.limit_lines import Limit, limits_of, line_of, trace
from service.report.quantities import Axis, axis_of, in_order, quality_axis, test_axis

_MOST_CANDIDATES = 3000
_SHOWN_DECISIONS = 24


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The axes: the quality upwards, its test value, the costs that can be drawn sideways, and limits on them."""

    quality: Axis
    maximise: bool
    test: Axis
    costs: tuple[Axis, ...]
    limits: Sequence[Limit] = ()


def axes_of(fronts: Sequence[Front], terms: Terms) -> Axes:
    """Return the axes that every front has values for; counts have one scale for all."""
    task, directions = fronts[0].task, dict(terms.directions)
    known = {quantity.name: quantity for front in fronts for quantity in front.quantities}
    compared = [known[name] for name in directions]
    judged = quality_of(compared, task)
    if judged not in compared:
        judged = next((quantity for quantity in compared if quantity.maximise), compared[0])
    rest = in_order([quantity for quantity in known.values() if quantity.name not in directions])
    shared = [q for q in (*compared, *rest) if q != judged and all(_has(front, q.name) for front in fronts)]
    values = [member["values"] for front in fronts for member in front.members]
    costs = [axis_of(quantity, [value.get(quantity.name) for value in values]) for quantity in shared]
    quality = quality_axis(judged, task)
    return Axes(
        quality=quality,
        maximise=judged.maximise,
        test=test_axis(task),
        costs=tuple(costs),
        limits=limits_of((objective for front in fronts for objective in front.objectives), [quality, *costs]),
    )


def _has(front: Front, name: str) -> bool:
    return any(finite(member["values"].get(name)) is not None for member in front.members)


def pictures_of(fronts: Sequence[Front], axes: Axes) -> list[Picture]:
    """Return what to draw of each front, on common axes."""
    return [
        Picture(
            title=front.name,
            quality=axes.quality,
            test=axes.test,
            costs=axes.costs,
            maximise=axes.maximise,
            rows=[row for row in candidates(front.folder) if row["status"] == "ok" and not row["on_front"]],
            members=front.members,
            original=front.content.get(ORIGINAL),
        )
        for front in fronts
    ]


def figure_of(pictures: Sequence[Picture], axes: Axes) -> Any:
    """Return the interactive figure: candidates faint, fronts as points with intervals on a staircase."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for place, picture in enumerate(pictures):
        _draw(figure, picture, COLOURS[place % len(COLOURS)])
    for limit in axes.limits:
        figure.add_scatter(**trace(limit))
    views = [_views(pictures, cost, axes) for cost in axes.costs]
    for drawn, view in zip(figure.data, views[0] if views else []):
        drawn.update(view)
    buttons = [_button(cost, view) for cost, view in zip(axes.costs, views)]
    figure.update_layout(height=560, **layout_of(axes.costs, axes.quality, buttons))
    return figure


def _draw(figure: Any, picture: Picture, colour: str) -> None:
    """Draw the traces of one front without coordinates, which follow the choice of the cost."""
    name, quiet = picture.title, {"hoverinfo": "skip", "showlegend": False, "legendgroup": picture.title}
    figure.add_scatter(mode="markers", marker={"color": colour, "size": 5, "opacity": 0.3}, **quiet)
    figure.add_scatter(mode="lines", line={"shape": "hv", "color": colour, "width": 1.5}, **quiet)
    figure.add_scatter(
        mode="markers",
        name=f"{name}: front of {len(picture.members)}",
        legendgroup=name,
        marker={"color": colour, "size": 10, "line": {"color": "white", "width": 1}},
        text=[_text(picture, member) for member in picture.members],
        hovertemplate="%{text}<extra></extra>",
        **_bars(picture, picture.members, colour),
    )
    if picture.original:
        figure.add_scatter(
            mode="markers",
            name=f"{name}: {ORIGINAL_NAME}",
            legendgroup=name,
            marker={"color": colour, "size": 14, "symbol": "star", "line": {"color": "black", "width": 1}},
            text=[_text(picture, picture.original)],
            hovertemplate="%{text}<extra></extra>",
            **_bars(picture, [picture.original], colour),
        )


def _bars(picture: Picture, members: Sequence[dict[str, Any]], colour: str) -> dict[str, Any]:
    """Return the error bars of the cost, whose lengths follow its choice, and thinner ones of the quality."""
    ends = [interval(member, picture.quality.name) or (0.0, 0.0) for member in members]
    arrays = {"array": [high for _, high in ends], "arrayminus": [low for low, _ in ends]}
    both = {"type": "data", "symmetric": False, "color": colour}
    return {
        "error_x": {**both, "thickness": 1.2, "width": 3},
        "error_y": {**both, "thickness": 0.5, "width": 0, **arrays},
    }


def _text(picture: Picture, member: dict[str, Any]) -> str:
    shown = {**member["values"], picture.test.noun: member.get("test_quality")}
    numbers = [f"{what}: {value:,.4g}" for what, entry in shown.items() if (value := finite(entry)) is not None]
    decisions = [f"{what}={value}" for what, value in member["architecture"].items()][:_SHOWN_DECISIONS]
    lines = [", ".join(decisions[i : i + 4]) for i in range(0, len(decisions), 4)]
    return "<br>".join([f"<b>{picture.title} {member.get('key', '')}</b>", *numbers, *lines])


def _views(pictures: Sequence[Picture], cost: Axis, axes: Axes) -> list[dict[str, Any]]:
    """Return the coordinates of every trace when `cost` is the horizontal axis."""
    points = [point for picture in pictures for point in picture.points(cost)]
    limits = [line_of(limit, cost, axes.quality, points) for limit in axes.limits]
    return [view for picture in pictures for view in _view(picture, cost)] + limits


def _view(picture: Picture, cost: Axis) -> list[dict[str, Any]]:
    cloud = [p for row in picture.rows[-_MOST_CANDIDATES:] if (p := picture.point(row, cost))]
    steps = picture.staircase(cost)
    drawn = [picture.members, *([[picture.original]] if picture.original else [])]
    return [_coordinates(cloud), _coordinates(steps), *(_with_bars(picture, members, cost) for members in drawn)]


def _with_bars(picture: Picture, members: Sequence[dict[str, Any]], cost: Axis) -> dict[str, Any]:
    points = [picture.point(member["values"], cost) or (None, None) for member in members]
    ends = [interval(member, cost.name) or (0.0, 0.0) for member in members]
    errors = {"array": [high / cost.scale for _, high in ends], "arrayminus": [low / cost.scale for low, _ in ends]}
    return {**_coordinates(points), "error_x": {**errors, "visible": any(map(any, ends))}}


def _coordinates(points: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    return {"x": [x for x, _ in points], "y": [y for _, y in points]}


def _button(cost: Axis, views: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the entry of the drop-down list that makes `cost` the horizontal axis."""
    data = {name: [view[name] for view in views] for name in ("x", "y")}
    for part in ("array", "arrayminus", "visible"):
        data[f"error_x.{part}"] = [view.get("error_x", {}).get(part) for view in views]
    layout = {"xaxis.title.text": cost.label, "xaxis.autorange": True, "yaxis.autorange": True}
    return {"label": cost.label, "method": "update", "args": [data, layout]}
