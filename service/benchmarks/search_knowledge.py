"""What the searchers of a benchmark know beside what they have evaluated: it stands beside their results."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from nas.benchmarks.problems import BenchmarkProblem
from service import catalogue
from service.benchmarks.search_benchmark import WARM, Plan, named
from service.benchmarks.search_problems import KNOWN

SUMMARIES = ("surrogate", "nas.searchers.screened:ScreenedNSGA2")
"""Searchers that see summaries of architectures made by hand; others do where `features` is `summary`."""
CHOSEN_ON = {
    **{name: "accuracies" for name in KNOWN if name.startswith("nb201_")},
    **{
        f"nb201_{device}": "problem"
        for device in ("samsung_s7", "silver_4114", "titanxp_1", "titanxp_32", "titanxp_256")
    },
    **dict.fromkeys(("nb101", "macro", "conv_macro", "graph_cora", "graph_citeseer"), "problem"),
}
"""Known problem -> what of it the settings of `surrogate` were chosen on: its accuracies only, or all of it."""
FOOTNOTES = {
    "summaries": "summaries: it sees features of architectures that were made by hand",
    "accuracies": "tuned on the accuracies: its settings were chosen on them, with the latency of other devices",
    "problem": "tuned on the problem: its settings were chosen on it, with other seeds",
}


class Known(NamedTuple):
    """What one searcher knows of one problem.

    Attributes:
        exact: Objectives that it computes; others learn them from evaluations.
        summaries: Whether it sees summaries made by hand.
        chosen_on: What of the problem its settings were chosen on; empty if nothing is known to be.
    """

    exact: tuple[str, ...]
    summaries: bool
    chosen_on: str

    def text(self) -> str:
        """Return the cell of a table."""
        parts = [f"exact {name}" for name in self.exact] + ["summaries"] * self.summaries
        return ", ".join([*parts, *([f"tuned on the {self.chosen_on}"] if self.chosen_on else [])]) or "-"

    def footnotes(self) -> list[str]:
        """Return what explains the cell."""
        exact = [f"exact {name}: it computes {name}; the others predict it or do without" for name in self.exact]
        marks = ["summaries"] * self.summaries + [self.chosen_on] * bool(self.chosen_on)
        return exact + [FOOTNOTES[mark] for mark in marks]


def knowledge(plan: Plan) -> dict[str, dict[str, Known]]:
    """Return what is known beforehand: problem -> searcher -> knowledge."""
    return {problem.name: {name: _known(plan, problem, name) for name in plan.searchers} for problem in plan.problems}


def footnotes(known: Mapping[str, Known]) -> list[str]:
    """Return the lines that explain what searchers of one problem know, once each."""
    return list(dict.fromkeys(note for one in known.values() for note in one.footnotes()))


def _known(plan: Plan, problem: BenchmarkProblem, searcher: str) -> Known:
    name, options = named(searcher), plan.options.get(searcher.removesuffix(WARM), {})
    computed = [problem.directions[place][0] for place in sorted(problem.problem.exact_losses)]
    return Known(
        exact=tuple(computed) if _is_told(name, options) else (),
        summaries=name in SUMMARIES or options.get("features") == "summary",
        chosen_on=_chosen_on(problem) if name == "surrogate" else "",
    )


def _chosen_on(problem: BenchmarkProblem) -> str:
    """Return what of a problem the settings of `surrogate` were chosen on.

    Those who chose them had one oracle of Once-for-All; another table of that space is taken for it.
    """
    if problem.front is None and problem.space.name == "ofa_mobilenet_v3":
        return "problem"
    return CHOSEN_ON.get(problem.name, "")


def _is_told(name: str, options: Mapping[str, Any]) -> bool:
    takes = catalogue.parameters("searcher", name)
    return "exact" in takes and ("exact_costs" not in takes or bool(options.get("exact_costs")))
