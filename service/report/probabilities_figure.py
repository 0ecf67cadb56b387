"""The figure of what a training has learned about choices, over its epochs."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS = 6
_MOST = 60
"""Decisions that are drawn; the figure of more would have no room for curves."""


def decisions_png(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> bytes:
    """Return one panel for each decision, with a curve for each choice, as a PNG image.

    Args:
        title: Title of the figure.
        curves: Name of a decision and its choice, such as ``edge0_1/skip_connect`` -> (epoch, probability) in order.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    decisions: dict[str, dict[str, Sequence[tuple[float, float]]]] = {}
    for name, curve in curves.items():
        decision, _, choice = name.rpartition("/")
        decisions.setdefault(decision, {})[choice] = curve
    shown = list(decisions.items())[:_MOST]
    rows = math.ceil(len(shown) / _COLUMNS)
    columns = math.ceil(len(shown) / rows)
    figure = Figure(figsize=(2.6 * columns, 2.1 * rows + 0.7), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    alike = len(shown) > 1 and len({tuple(choices) for _, choices in shown}) == 1
    for axes, (decision, choices) in zip(panels, shown):
        _draw(axes, decision, choices, explained=not alike)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    more = f" (the first {len(shown)} of {len(decisions)} decisions)" if len(shown) < len(decisions) else ""
    figure.suptitle(f"{title}: probabilities of choices by epoch{more}", x=0.01, ha="left", fontsize=12)
    if alike:
        lines, names = panels[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower left", ncols=len(names), fontsize=7, frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _draw(axes: Any, decision: str, choices: Mapping[str, Sequence[tuple[float, float]]], *, explained: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    for choice, curve in choices.items():
        axes.plot(*zip(*curve), linewidth=1.3, marker="." if len(curve) < 3 else None, label=choice)
    axes.set_title(decision, loc="left", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.grid(color="#e2e8f0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if explained:
        axes.legend(fontsize=5, frameon=False, loc="upper left", borderpad=0.1, labelspacing=0.1)
