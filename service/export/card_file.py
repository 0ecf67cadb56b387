"""Reading and showing cards of exported networks, also those of earlier versions."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.job.folder import read_object

CARD = "card.json"
EXAMPLE = "example.npz"
_EARLIER_METRIC = {"name": "accuracy", "unit": "%"}
_CONDITIONS = ("device", "backend", "batch_size", "threads", "precision", "input_shape", "decode")


def plain(value: Any) -> Any:
    """Return a tree without infinities and NaN, which JSON does not have: null in their place."""
    if isinstance(value, Mapping):
        return {str(name): plain(below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [plain(below) for below in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text_of(card: Mapping[str, Any]) -> str:
    """Return the card in a few lines of Markdown, as a page about the network shows it."""
    (metric, unit), quality = metric_in(card), quality_in(card)
    figures = [
        f"{split} {quality[split]:.2f} {unit}".rstrip()
        for split in ("validation", "test")
        if quality.get(split) is not None
    ]
    lines = [f"**{card['key']}** of {card['space']['name']}, {quality['weights']} weights"]
    lines += [f"{metric}: {', '.join(figures)}"] if figures else []
    lines += [", ".join(f"{name}: {cost['value']:,}" for name, cost in card["costs"].items())] if card["costs"] else []
    for name, measured in card["measured"].items():
        conditions = ", ".join(f"{what} {measured[what]}" for what in _CONDITIONS if measured.get(what) is not None)
        low, high = measured["interval"] or (None, None)
        interval = f" [{low:.4g}, {high:.4g}]" if None not in (low, high) else ""
        lines.append(f"{name}: {measured['value']:.4g}{interval} {measured['unit']} ({conditions})")
    for one in inputs_in(card):
        notes = [f"{name} {one[name]}" for name in ("mean", "std") if name in one]
        notes = [*(one[name] for name in ("scale",) if name in one), *notes] or [one["dtype"]]
        lines.append(f"{one['name']} [{', '.join(map(str, one['shape']))}]: {', '.join(notes)}")
    output = card["output"]
    lines.append(f"output: {output.get('meaning') or ', '.join(map(str, output['shape']))}")
    return "  \n".join(lines)


def metric_in(card: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the unit of what the network of a card is judged by."""
    metric = card.get("metric") or _EARLIER_METRIC
    return metric["name"], metric["unit"]


def quality_in(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return how good the network of a card is: which weights it has, and its metric on `validation` and `test`."""
    return card.get(metric_in(card)[0]) or {}


def inputs_in(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the network of a card takes, in order."""
    return [card["input"]] if "input" in card else card["inputs"]


def read_card(place: Path) -> dict[str, Any] | None:
    """Return the card in a folder; None where there is none, or one that is no longer readable."""
    return read_object(place / CARD) or None
