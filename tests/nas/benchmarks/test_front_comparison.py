"""Fronts beside each other, against hand-made cases and brute force."""

import numpy as np
import pytest

from nas.benchmarks.front_comparison import best_within, compare_fronts, losses_of, round_budgets

GOALS = (("accuracy", True), ("latency_ms", False))


def front(*points, width=0.0):
    return [
        {
            "key": f"{accuracy:g}@{latency:g}",
            "values": {"accuracy": accuracy, "latency_ms": latency},
            "intervals": {"latency_ms": [latency - width, latency + width]},
        }
        for accuracy, latency in points
    ]


def test_hypervolume_is_the_share_of_one_box_for_all():
    fronts = {"a": front((90, 1.0), (100, 2.0)), "b": front((90, 2.0))}
    found = compare_fronts(fronts, GOALS, reference={"accuracy": 80, "latency_ms": 3})
    assert found.ideal == {"accuracy": 100, "latency_ms": 1}
    assert found.hypervolume == {"a": pytest.approx(0.75), "b": pytest.approx(0.25)}
    assert found.outside == {"a": 0, "b": 0}


def test_reference_lies_a_tenth_beyond_the_worst_of_all_fronts():
    found = compare_fronts({"a": front((90, 1.0), (100, 2.0)), "b": front((95, 11.0))}, GOALS)
    assert found.reference == {"accuracy": pytest.approx(89), "latency_ms": pytest.approx(12)}
    assert all(share > 0 for share in found.hypervolume.values())


def test_one_point_alone_has_a_box_too():
    found = compare_fronts({"a": front((90, 1.0))}, GOALS)
    assert found.hypervolume["a"] == pytest.approx(1)
    assert found.coverage == {}


def test_members_beyond_the_reference_count_for_nothing_and_are_counted():
    fronts = {"a": front((90, 1.0), (99, 20.0))}
    found = compare_fronts(fronts, GOALS, reference={"accuracy": 80, "latency_ms": 10})
    assert found.outside == {"a": 1}
    with pytest.raises(ValueError, match="latency_ms=1 must be worse than the best value, 1"):
        compare_fronts(fronts, GOALS, reference={"accuracy": 80, "latency_ms": 1})


def test_coverage_has_two_ways():
    fronts = {"a": front((90, 1.0), (95, 3.0)), "b": front((89, 1.0), (94, 3.0), (99, 9.0))}
    found = compare_fronts(fronts, GOALS).coverage
    assert found["a", "b"].share == pytest.approx(2 / 3)
    assert found["b", "a"].share == 0


def test_what_lies_within_the_error_is_covered_but_not_beyond_it():
    fronts = {"a": front((90, 1.0), width=0.1), "b": front((90, 1.1), (90, 1.3), width=0.1)}
    found = compare_fronts(fronts, GOALS).coverage["a", "b"]
    assert (found.share, found.beyond_error) == (1.0, 0.5)


def test_coverage_equals_brute_force():
    generator = np.random.default_rng(0)
    goals = (("accuracy", True), ("latency_ms", False), ("macs", False))
    fronts = {
        name: [
            {"values": dict(zip(("accuracy", "latency_ms", "macs"), map(float, row)))}
            for row in generator.integers(0, 30, (8, 3))
        ]
        for name in "ab"
    }
    found = compare_fronts(fronts, goals).coverage["a", "b"]
    ours, theirs = (losses_of(fronts[name], goals) for name in "ab")
    covered = [any(all(x <= y for x, y in zip(a, b)) for a in ours) for b in theirs]
    assert 0 < found.share < 1
    assert found.share == found.beyond_error == sum(covered) / len(covered)


def test_members_without_a_value_are_left_out():
    broken = [{"values": {"accuracy": 90.0}}, {"values": {"accuracy": float("inf"), "latency_ms": 1.0}}]
    assert compare_fronts({"a": [*front((90, 1.0)), *broken]}, GOALS).members == {"a": 1}
    with pytest.raises(ValueError, match=r"b: no member has a value of every objective \(accuracy, latency_ms\)"):
        compare_fronts({"b": broken}, GOALS)


def test_a_budget_is_kept_by_the_upper_end_as_a_limit_of_the_search_is():
    members = front((90, 1.0), (95, 2.0), width=0.1)
    chosen = [best_within(members, GOALS[0], "latency_ms", budget) for budget in (1.0, 1.1, 2.0, 2.1)]
    assert [member and member["key"] for member in chosen] == [None, "90@1", "90@1", "95@2"]
    assert round_budgets({"a": members}, "latency_ms")[-1] == 2.1


def test_budget_buys_the_best_that_fits_and_the_cheaper_of_equals():
    members = front((90, 1.0), (95, 3.0), (95, 2.0), (99, 9.0))
    chosen = [best_within(members, GOALS[0], "latency_ms", budget) for budget in (0.5, 1.0, 8.9, 9)]
    assert [member and member["key"] for member in chosen] == [None, "90@1", "95@2", "99@9"]


def test_budgets_are_round_and_reach_from_the_cheapest_to_the_dearest():
    budgets = round_budgets({"a": front((90, 0.8314)), "b": front((99, 12.41))}, "latency_ms")
    assert budgets[0] == 0.84
    assert budgets[-1] == 13
    assert budgets == sorted(budgets)
    assert len(budgets) == 6
    assert round_budgets({"a": front((90, 1.0))}, "latency_ms") == [1.0]
    assert round_budgets({"a": []}, "latency_ms") == []
