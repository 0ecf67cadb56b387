"""Everything that can be named in a job, as plain tables; nothing is imported before it is asked for.

What is not listed is named ``package.module:object``, so that anyone can plug in their own.
"""

import importlib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """Where an object lies, as ``module:object``, and what it is in one line."""

    target: str
    summary: str


SPACES = {
    "ofa_mobilenet_v3": Entry(
        "search_spaces.mobilenet_v3:ofa_mobilenet_v3",
        "Once-for-All MobileNetV3 for large images, 2.18e19 architectures",
    ),
    "small_mobilenet_v3": Entry(
        "search_spaces.mobilenet_v3:small_mobilenet_v3",
        "the same for images of 8 to 64 pixels, everything an option",
    ),
    "nasbench201": Entry(
        "search_spaces.nasbench201:nasbench201", "cells of four nodes and six edges, 15,625 architectures"
    ),
    "darts": Entry("search_spaces.darts:darts", "pairs of cells of four nodes, 1.08e18 of them"),
    "nasbench101": Entry("search_spaces.nasbench101:nasbench101", "cells that are any small graph, 423,624 of them"),
    "nasbench_macro": Entry(
        "search_spaces.nasbench_macro:nasbench_macro", "eight layers, each a skip or a MobileNet block, 6,561 of them"
    ),
}
SEARCHERS = {
    "nsga2": Entry("nas.searchers.nsga2:NSGA2", "evolves a whole Pareto front of several objectives"),
    "regularized_evolution": Entry(
        "nas.searchers.regularized_evolution:RegularizedEvolution", "mutates the best of a sample, the oldest dies"
    ),
    "random": Entry("nas.searchers.random:Random", "draws architectures uniformly: the baseline to beat"),
}
OBJECTIVES = {
    "accuracy": Entry("nas.objectives.accuracy:Accuracy", "top-1 percent on the validation split, maximised"),
    "macs": Entry("nas.objectives.cost:Cost", "exact multiply-accumulates of one input, minimised"),
    "params": Entry("nas.objectives.cost:Cost", "exact number of weights, minimised"),
    "latency_ms": Entry("nas.objectives.latency:Latency", "measured milliseconds of one batch here, minimised"),
}
KINDS = {"space": SPACES, "searcher": SEARCHERS, "objective": OBJECTIVES}


def check(kind: str, name: str) -> None:
    """Whether `name` can be had, without importing what the tables list.

    Raises:
        ValueError: It is neither listed nor an importable ``package.module:object``.
    """
    if name in KINDS[kind]:
        return
    if ":" not in name:
        raise ValueError(f"{name!r} is no {kind}{suggestion(name, KINDS[kind])}, or package.module:object")
    _load(name)


def resolve(kind: str, name: str) -> Any:
    """The object of a listed name, or of ``package.module:object``.

    Args:
        kind: `space`, `searcher` or `objective`.
        name: A name of that table, or where to import it from.

    Raises:
        ValueError: There is no such name, module or object.
    """
    check(kind, name)
    return _load(KINDS[kind][name].target if name in KINDS[kind] else name)


def recipes() -> dict[str, Path]:
    """The complete jobs that come with the package, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml"))}


def recipe_summary(path: Path) -> str:
    """The first line of the comment on top of a recipe."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def suggestion(name: str, valid: Iterable[str]) -> str:
    """A clause to end a message with: what was probably meant, and what there is."""
    names = list(valid)
    close = get_close_matches(name, names, n=2)
    meant = f"; did you mean {' or '.join(close)}?" if close else ";"
    return f"{meant} allowed: {', '.join(names)}"


def _load(target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{target!r} cannot be imported: {error}; write it as package.module:object") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise ValueError(f"{target!r}: module {module_name} has no {attribute!r}") from error
