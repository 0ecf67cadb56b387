"""The certainty that a network of one front is better than one of another front.

Measured costs are compared by their intervals. Quality is compared on the test split, which no search has used: example
by example where both fronts were tested on the same examples and their outcomes are kept, otherwise by intervals. A
value with an unknown error is never surely better.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from nas import intervals
from nas.benchmarks.front_comparison import Member, PValues, by_intervals
from service.job.certainty_keys import TEST, TEST_INTERVAL
from service.job.folder import finite
from service.job.outcomes_file import read_outcomes
from service.report.fronts import Front

_SPLIT = "test"


def errors_of(fronts: Sequence[Front], directions: Sequence[tuple[str, bool]]) -> Mapping[str, PValues]:
    """Return how certain differences are, for the objectives whose values have errors.

    Args:
        fronts: Fronts that are compared.
        directions: The objectives, and whether each is maximised.
    """
    exact = {quantity.name for front in fronts for quantity in front.quantities if quantity.source == "computed"}
    metric = fronts[0].task.metric
    found = {name: by_intervals(name, exact_without=False) for name, _ in directions if name not in exact}
    if metric.name in found:
        found[metric.name] = _on_unseen_examples(fronts, metric.name, maximise=metric.maximise)
    return found


def same_test_examples(fronts: Sequence[Front]) -> bool:
    """Return whether fronts were tested on the same examples, and what their members gave for each is kept."""
    prints = {front.content.get("data_fingerprint") for front in fronts}
    return len(prints) == 1 and None not in prints and all(_kept(front, front.members) is not None for front in fronts)


def how_compared(fronts: Sequence[Front]) -> str:
    """Return on what the quality of networks of several fronts was compared, as a part of a sentence."""
    task, tested = fronts[0].task, {front.tested for front in fronts}
    if same_test_examples(fronts):
        return f"{task.metric.name} example by example on the same {fronts[0].tested:,} test {task.examples}"
    if None not in tested and all(finite(m.get(TEST)) is not None for front in fronts for m in front.members):
        return f"{task.metric.name} by its intervals on the test {task.examples}"
    return f"{task.metric.name} by its intervals, where there are any"


def _on_unseen_examples(fronts: Sequence[Front], metric: str, *, maximise: bool) -> PValues:
    """Return how sure differences of quality are on the test split; in the validation split where none was tested."""
    known = {front.name: front for front in fronts}
    scores = cache(lambda name: np.asarray(_kept(known[name], known[name].members)))
    places = {name: {str(member["key"]): i for i, member in enumerate(f.members)} for name, f in known.items()}
    paired = same_test_examples(fronts)

    def p_values(a: str, ours: Sequence[Member], b: str, theirs: Sequence[Member]) -> np.ndarray:
        if paired:
            first, second = (
                scores(name)[[places[name][str(member["key"])] for member in members]]
                for name, members in ((a, ours), (b, theirs))
            )
            found, values = intervals.paired_p_values(first, second), np.concatenate([first, second]).mean(axis=1)
        elif all(finite(member.get(TEST)) is not None for member in [*ours, *theirs]):
            values = np.array([float(member[TEST]) for member in [*ours, *theirs]])
            ends = [_pair(member.get(TEST_INTERVAL)) for member in [*ours, *theirs]]
            found = intervals.independent_p_values(ends[: len(ours)], ends[len(ours) :], values)
        else:
            return by_intervals(metric, exact_without=False)(a, ours, b, theirs)
        above = values[: len(ours), None] > values[None, len(ours) :]
        below = values[: len(ours), None] < values[None, len(ours) :]
        return np.where(above if maximise else below, found, 1.0)

    return p_values


def _kept(front: Front, members: Sequence[Member]) -> np.ndarray | None:
    """Return what members gave for each test example [N, E]; None where that is not kept of all."""
    rows: list[np.ndarray] = []
    for member in members:
        outcomes = read_outcomes(front.folder, str(member["key"]), _SPLIT)
        if outcomes is None or (rows and len(outcomes.scores) != len(rows[0])):
            return None
        rows.append(outcomes.scores)
    return np.stack(rows) if rows else None


def _pair(ends: Sequence[float] | None) -> intervals.Ends | None:
    low, high = ends or (None, None)
    return None if low is None or high is None else (float(low), float(high))
