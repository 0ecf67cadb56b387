"""The limits of searches as lines in figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.job.folder import finite
from service.report.quantities import Axis

COLOUR = "#0f172a"
_FARTHEST = 2.0  # widths of the drawn range: a line farther away would leave the networks no room


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit.

    Attributes:
        axis: Axis of what is limited.
        sign: `≤` or `≥`.
        value: Value in the unit of the axis.
    """

    axis: Axis
    sign: str
    value: float

    @property
    def text(self) -> str:
        """What is limited, and to what."""
        return f"{self.axis.noun} {self.sign} {self.value:.4g} {self.axis.unit}".rstrip()

    def within(self, low: float, high: float) -> bool:
        """Return whether the limit is near enough to the drawn range from `low` to `high` to be drawn."""
        room = _FARTHEST * max(high - low, 0.05 * max(abs(low), abs(high)))
        return low - room <= self.value <= high + room


def limits_of(objectives: Iterable[Mapping[str, Any]], axes: Sequence[Axis]) -> list[Limit]:
    """Return the limits on what the axes show, each once.

    Args:
        objectives: Descriptions, as `front.json` has them.
        axes: Axes of the figure.
    """
    by_name = {axis.name: axis for axis in axes}
    found: dict[tuple[str, str, float], Limit] = {}
    for described in objectives:
        axis = by_name.get(described["name"])
        low, high = described.get("bound") or (None, None)
        for sign, end in (("≥", low), ("≤", high)):
            if axis is not None and (number := axis.of(finite(end))) is not None:
                found.setdefault((axis.name, sign, number), Limit(axis=axis, sign=sign, value=number))
    return list(found.values())


def line_of(limit: Limit, cost: Axis, quality: Axis, points: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """Return the coordinates of a limit where this cost is drawn sideways; empty where the figure has none of it.

    Args:
        limit: Limit on this cost, on the quality, or on another cost.
        cost: Cost that is drawn sideways.
        quality: Quality that is drawn upwards.
        points: Drawn points, as (cost, quality).
    """
    nothing: dict[str, list[float]] = {"x": [], "y": []}
    if not points:
        return nothing
    xs, ys = ([point[place] for point in points] for place in (0, 1))
    if limit.axis.name == cost.name:
        return {"x": [limit.value] * 2, "y": [min(ys), max(ys)]} if limit.within(min(xs), max(xs)) else nothing
    if limit.axis.name == quality.name:
        return {"x": [min(xs), max(xs)], "y": [limit.value] * 2} if limit.within(min(ys), max(ys)) else nothing
    return nothing


def trace(limit: Limit) -> dict[str, Any]:
    """Return what plotly draws of a limit, without coordinates."""
    line = {"color": COLOUR, "width": 1.5, "dash": "dash"}
    room = {"color": "rgba(0,0,0,0)", "size": 14}  # around invisible ends, so that the line does not lie on the rim
    return {"mode": "lines+markers", "marker": room, "name": f"limit: {limit.text}", "line": line, "hoverinfo": "name"}
