"""Comparison of methods: means, intervals and paired differences against closed forms."""

import numpy as np
import pytest
from scipy.stats import t

from nas.benchmarks.method_comparison import compare, mean_estimate
from nas.rank_agreement import MEASURES, Resampled, kendall, rank_agreement

GENERATOR = np.random.default_rng(0)
TRUTH = GENERATOR.normal(size=60)


def noisy(scale: float, seed: int) -> np.ndarray:
    return TRUTH + scale * np.random.default_rng(seed).normal(size=len(TRUTH))


def test_values_are_means_over_seeds() -> None:
    scores = {"a": {0: noisy(1, 1), 1: noisy(1, 2)}, "b": {0: noisy(0.2, 3), 1: noisy(0.2, 4)}}
    found = compare(scores, TRUTH, baselines={"params": noisy(2, 5)})
    assert list(found) == ["a", "b", "params"]
    taus = [kendall(scores["b"][seed], TRUTH) for seed in (0, 1)]
    assert found["b"].of_seeds["kendall"] == pytest.approx(taus)
    assert found["b"].measures["kendall"].value == pytest.approx(np.mean(taus))
    assert found["b"].lead["kendall"].value == pytest.approx(np.mean(taus) - found["a"].measures["kendall"].value)
    assert found["a"].lead == {} == found["params"].lead
    assert found["b"].seeds == (0, 1)


def test_an_interval_joins_the_deviation_of_seeds_and_of_architectures() -> None:
    drawn = np.random.default_rng(0).normal(size=4000)
    seeds = [Resampled(value=v, drawn=v + drawn) for v in (0.0, 1.0, 2.0)]
    estimate = mean_estimate(seeds)
    of_seeds, of_architectures = t.ppf(0.975, 2) * 1 / np.sqrt(3), 1.96 * drawn.std(ddof=1)
    assert estimate.value == 1.0
    assert estimate.high - 1.0 == pytest.approx(np.hypot(of_seeds, of_architectures), rel=1e-3)
    assert estimate.high - 1.0 == pytest.approx(1.0 - estimate.low)
    alone = mean_estimate(seeds[:1])
    assert alone.high == pytest.approx(of_architectures, rel=1e-3)


def test_differences_are_paired_by_architecture_and_seed() -> None:
    same = {0: noisy(1, 1), 1: noisy(1, 2)}
    lead = compare({"a": same, "b": dict(same)}, TRUTH, baselines={})["b"].lead
    assert all((lead[m].value, lead[m].low, lead[m].high) == (0.0, 0.0, 0.0) for m in MEASURES)
    better = compare({"a": {0: noisy(2, 1), 1: noisy(2, 2)}, "b": {0: TRUTH, 1: TRUTH}}, TRUTH, baselines={})["b"].lead
    assert better["kendall"].value > 0


def test_only_seeds_that_both_have_are_paired() -> None:
    found = compare({"a": {0: noisy(1, 1)}, "b": {0: TRUTH, 1: noisy(5, 2)}}, TRUTH, baselines={})
    assert found["b"].lead["kendall"].value == pytest.approx(1 - found["a"].measures["kendall"].value)
    assert found["b"].measures["kendall"].value < 1
    assert compare({"a": {0: TRUTH}, "b": {1: TRUTH}}, TRUTH, baselines={})["b"].lead == {}


def test_intervals_end_where_measures_do() -> None:
    found = compare({"a": {0: TRUTH, 1: -TRUTH}}, TRUTH, baselines={})["a"].measures
    assert (found["kendall"].low, found["kendall"].high) == (-1.0, 1.0)
    assert (found["top_precision"].low, found["top_precision"].high) == (0.0, 1.0)


def test_a_baseline_has_nearly_the_bootstrap_interval_of_rank_agreement() -> None:
    params = noisy(1, 5)
    ours = compare({"a": {0: TRUTH}}, TRUTH, baselines={"params": params})["params"].measures["kendall"]
    theirs = rank_agreement({"params": params}, TRUTH)["params"].kendall
    assert ours.value == theirs.value
    assert ours.low == pytest.approx(theirs.low, abs=0.03)
    assert ours.high == pytest.approx(theirs.high, abs=0.03)


def test_a_method_named_like_a_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match="'params' is the name of a method and of a baseline"):
        compare({"params": {0: TRUTH}}, TRUTH, baselines={"params": TRUTH})
