"""The course of a training as an interactive figure: loss, quality of networks, learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.job.folder import finite, read_events
from service.report.figures import COLOURS, png

_MOST_POINTS = 1500
_VALIDATED = ("largest", "random", "smallest", "ticket")
_DASHES = ("solid", "dash", "dot", "solid")
_FEW = 30  # most points of a curve that are all marked
_TITLES = {"loss": "training loss", "validation": "validation {metric}", "learning rate": "learning rate"}
Curve = list[tuple[float, float]]


def curves_of(events: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Curve]]:
    """Return the curves of a training over its steps: panel -> name -> points, without panels that have none.

    A resumed training repeats some steps; the last value of a step counts.

    Args:
        events: Lines of `progress.jsonl`.
    """
    trained = {
        "loss": {"loss": _curve(events, "train", "loss")},
        "learning rate": {"lr": _curve(events, "train", "lr")},
    }
    reached = {name: _curve(events, "validate", name) for name in _VALIDATED}
    panels = {"loss": trained["loss"], "validation": reached, "learning rate": trained["learning rate"]}
    kept = {panel: {name: curve for name, curve in curves.items() if curve} for panel, curves in panels.items()}
    return {panel: curves for panel, curves in kept.items() if curves}


def _curve(events: Sequence[Mapping[str, Any]], event: str, name: str) -> Curve:
    """Return a number of one kind of event by its step, thinned out where there are very many."""
    points: dict[float, float] = {}
    for line in events:
        step, value = finite(line.get("step")), finite(line.get(name))
        if line["event"] == event and step is not None and value is not None:
            points[step] = value
    curve = sorted(points.items())
    return curve[:: max(1, len(curve) // _MOST_POINTS)]


def _followed_by(events: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Return the metric that a training was followed by: that of the task unless the events name another one."""
    return next((str(one["metric"]) for one in events if one["event"] == "validate" and "metric" in one), metric)


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One curve of the figure; `job` is empty where there is one job only."""

    job: str
    what: str
    place: int
    which: int
    panel: str

    def trace(self, curve: Curve) -> dict[str, Any]:
        """Return what plotly draws."""
        is_reached = self.panel == "validation"
        colour = COLOURS[(self.place if self.job else self.which) % len(COLOURS)]
        return {
            "x": [x for x, _ in curve],
            "y": [y for _, y in curve],
            "mode": "lines" if len(curve) > _FEW else "lines+markers",
            "name": f"{self.job} {self.what}{' network' if is_reached else ''}".strip(),
            "line": {"color": colour, "dash": _DASHES[self.which]},
            "showlegend": is_reached or (bool(self.job) and self.panel == "loss"),
        }


def training_png(title: str, events: Sequence[Mapping[str, Any]], metric: str) -> bytes | None:
    """Return the curves of one training as a PNG image; None where there are none.

    Args:
        title: Title of the job.
        events: Lines of `progress.jsonl`.
        metric: Metric that networks are judged by, with its unit.
    """
    curves = curves_of(events)
    if not curves:
        return None
    metric = _followed_by(events, metric)

    def draw(panels: Sequence[Any]) -> None:
        for axes, (panel, named) in zip(panels, curves.items()):
            for colour, (name, curve) in zip(COLOURS, named.items()):
                mark = "." if len(curve) <= _FEW else None
                axes.plot(*zip(*curve), linewidth=1.6, marker=mark, color=colour, label=f"{name} network")
            axes.set(xlabel="step", ylabel=_TITLES[panel].format(metric=metric))
            if len(named) > 1:
                axes.legend(fontsize=9, frameon=False)
        panels[0].set_title(f"{title}: training", loc="left", fontsize=13, pad=12)

    return png(draw, panels=len(curves))


def curves_html(folders: Mapping[str, Path], metric: str) -> str:
    """Return the curves of the trainings of several jobs as a figure; empty where none of them left any.

    Args:
        folders: Name of each job -> its folder.
        metric: Metric that networks are judged by, with its unit.
    """
    events = {name: read_events(folder / "progress.jsonl")[0] for name, folder in folders.items()}
    metric = next((_followed_by(told, metric) for told in events.values()), metric)
    found = {name: curves_of(told) for name, told in events.items()}
    panels = [panel for panel in ("loss", "validation", "learning rate") if any(panel in one for one in found.values())]
    if not panels:
        return ""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=len(panels), horizontal_spacing=0.09)
    for place, (name, curves) in enumerate(found.items()):
        for panel, named in curves.items():
            for which, (what, curve) in enumerate(named.items()):
                one = _Line(job=name if len(found) > 1 else "", what=what, place=place, which=which, panel=panel)
                figure.add_scatter(**one.trace(curve), row=1, col=panels.index(panel) + 1)
    for column, panel in enumerate(panels, start=1):
        figure.update_xaxes(title_text="step", row=1, col=column)
        figure.update_yaxes(title_text=_TITLES[panel].format(metric=metric), row=1, col=column)
    layout = {"template": "plotly_white", "height": 360, "margin": {"l": 60, "r": 20, "t": 20, "b": 60}}
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.25, "yanchor": "top"}, **layout)
    figure.update_layout(font={"family": "system-ui, sans-serif", "size": 13})
    config = {"displaylogo": False, "responsive": True}
    return figure.to_html(include_plotlyjs=False, full_html=False, config=config, div_id="curves")
