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
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(2.6 * columns, 2.1 * rows + 0.5), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes, (decision, choices) in zip(panels, shown):
        _draw(axes, decision, choices)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    more = f" (the first {len(shown)} of {len(decisions)} decisions)" if len(shown) < len(decisions) else ""
    figure.suptitle(f"{title}: probabilities of choices by epoch{more}", x=0.01, ha="left", fontsize=12)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _draw(axes: Any, decision: str, choices: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for choice, curve in choices.items():
        axes.plot(*zip(*curve), linewidth=1.3, marker="." if len(curve) < 3 else None, label=choice)
    axes.set_title(decision, loc="left", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.grid(color="#e2e8f0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=5, frameon=False, loc="upper left", borderpad=0.1, labelspacing=0.1)
