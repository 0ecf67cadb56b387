"""Intervals and differences against scipy, brute force and simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from nas import intervals


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (5, 5), (150, 161), (1, 1000)])
def test_interval_of_a_share_is_that_of_scipy(hits: int, count: int) -> None:
    expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    found = intervals.interval_of_share(100 * hits / count, count)
    assert found == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-4)


def test_interval_of_scores_follows_what_they_are() -> None:
    assert intervals.interval_of_mean(np.array([100.0, 0.0, 100.0])) == intervals.interval_of_share(200 / 3, 3)
    low, high = intervals.interval_of_mean(np.array([1.0, 2.0, 4.0])) or (0.0, 0.0)
    assert (low + high) / 2 == pytest.approx(7 / 3)
    assert intervals.interval_of_mean(np.array([1.5])) is None


def test_p_values_of_pairs_are_those_of_mcnemar_and_student() -> None:
    generator = np.random.default_rng(1)
    shares = 100.0 * (generator.random((2, 80)) < [[0.8], [0.6]])
    more, less = int((shares[0] > shares[1]).sum()), int((shares[0] < shares[1]).sum())
    expected = binomtest(more, more + less).pvalue
    assert intervals.paired_p_values(shares[:1], shares[1:])[0, 0] == pytest.approx(expected)
    numbers = generator.normal(size=(2, 80)) + np.array([[0.2], [0.0]])
    assert intervals.paired_p_values(numbers, numbers)[0, 1] == pytest.approx(ttest_rel(*numbers).pvalue)
    assert intervals.paired_p_values(numbers, numbers)[0, 0] == 1.0


@pytest.mark.parametrize("kind", ["share", "number"])
def test_difference_on_the_same_examples_lies_in_its_interval_in_95_of_100_cases(kind: str) -> None:
    generator, held = np.random.default_rng(2), 0
    for _ in range(400):
        common = generator.normal(size=100)
        ours, theirs = (common + generator.normal(size=100) for _ in range(2))
        if kind == "share":
            ours, theirs = 100.0 * (ours > 0), 100.0 * (theirs > 0)
        found = intervals.paired_difference(ours, theirs)
        held += found.low <= 0 <= found.high
        assert found.value == pytest.approx((ours - theirs).mean())
    assert 370 <= held <= 399


def test_values_measured_apart_differ_where_the_interval_of_their_difference_excludes_zero() -> None:
    ends: list[intervals.Ends | None] = [(0.9, 1.2), (1.1, 1.6), None]
    values = np.array([1.0, 1.5, 9.0, 1.0, 1.5, 9.0])
    p_values = intervals.independent_p_values(ends, ends, values)
    facing = np.hypot(0.2, 0.4)
    assert (p_values[0, 1] < 0.05) == (facing < 0.5)
    assert p_values[0, 1] == p_values[1, 0]
    assert p_values[0, 2] == p_values[2, 1] == 1.0  # an error that nobody knows


def test_together_many_tests_make_few_false_claims() -> None:
    assert intervals.differing(np.array([0.001, 0.02, 0.03, 0.5])).tolist() == [True, False, False, False]
    assert intervals.differing(np.array([0.01, 0.02])).tolist() == [True, True]
    generator = np.random.default_rng(3)
    false = sum(intervals.differing(generator.random(20)).any() for _ in range(1000))
    assert false <= 70


def test_equal_values_share_a_letter_and_others_do_not() -> None:
    values = np.array([3.0, 1.0, 2.0, 9.0])
    near = np.abs(values[:, None] - values[None]) < 1.5
    letters = intervals.equals(values, np.where(near, 1.0, 0.0), maximise=False)
    assert letters == ["b", "a", "ab", ""]
    assert intervals.equals(values, np.where(near, 1.0, 0.0), maximise=True) == ["a", "b", "ab", ""]


def test_letters_agree_with_the_tests_they_stand_for() -> None:
    generator = np.random.default_rng(4)
    values = generator.random(30)
    half = generator.uniform(0.01, 0.2, 30)
    ends: list[intervals.Ends | None] = [(v - h, v + h) for v, h in zip(values, half)]
    p_values = intervals.independent_p_values(ends, ends, np.concatenate([values, values]))
    letters = intervals.equals(values, p_values, maximise=True)
    upper = np.triu_indices(30, 1)
    apart = dict(zip(zip(*upper), intervals.differing(p_values[upper])))
    for (i, j), differs in apart.items():
        share = bool(set(letters[i]) & set(letters[j]))
        assert share or differs, "numbers that may be equal share a letter"
    assert any(apart.values())
    assert not all(apart.values())
