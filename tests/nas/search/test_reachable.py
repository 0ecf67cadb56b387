"""Limits that contradict each other, and what is said of them."""

import numpy as np

from nas.objectives import Bound, Cost
from nas.search.journal import Evaluation
from nas.search.reachable import contradiction, nearest_found
from search_spaces import Architecture, Decision, Space


def wide_or_deep() -> Space:
    """MACs count what is wide, parameters what is deep; both come with the first decision only."""

    def cost(columns):
        both = columns["both"].astype(np.int64)
        return {"params": 10 * both + columns["deep"], "macs": 10 * both + columns["wide"]}

    decisions = (
        Decision("both", tuple(range(8))),
        Decision("wide", tuple(range(5))),
        Decision("deep", tuple(range(5))),
    )
    return Space(name="wide_or_deep", decisions=decisions, cost=cost)


def found_contradiction(**bounds):
    space = wide_or_deep()
    found = contradiction(space, [(Cost(space, name), bound) for name, bound in bounds.items()])
    return None if found is None else (list(bounds)[found[0]], found[1])


def test_limits_that_can_be_kept_together_are_no_contradiction():
    assert found_contradiction(macs=Bound(high=34), params=Bound(low=30)) is None


def test_the_best_reachable_value_under_the_other_limits_is_said():
    assert found_contradiction(macs=Bound(high=34), params=Bound(low=50)) == ("params", 34.0)
    assert found_contradiction(params=Bound(low=50), macs=Bound(high=34)) == ("macs", 50.0)


def evaluated(**values):
    return Evaluation(index=0, architecture=Architecture({"a": 1}), status="infeasible", values=values)


def test_after_a_search_without_a_feasible_candidate_the_nearest_limit_is_named():
    bounds = {"accuracy": Bound(low=90), "latency_ms": Bound(high=2)}
    seen = [evaluated(accuracy=80.0, latency_ms=1.5), evaluated(accuracy=95.0, latency_ms=4.0)]
    assert nearest_found(seen, bounds) == "accuracy reached 80 beside the other limits"
    assert nearest_found(seen, {"accuracy": Bound(low=90)}) is None
    assert nearest_found([], bounds) is None
