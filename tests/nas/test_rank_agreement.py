"""Rank agreement against scipy and against resampled rows written out."""

import numpy as np
import pytest
from scipy import stats

from nas import rank_agreement as module
from nas.rank_agreement import kendall, no_better_than_baselines, rank_agreement, spearman, top_precision


def tied(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and accuracies with many ties."""
    generator = np.random.default_rng(seed)
    accuracies = generator.normal(size=n).round(1)
    return (accuracies + generator.normal(size=n)).round(0), accuracies


@pytest.mark.parametrize("seed", range(5))
def test_coefficients_equal_those_of_scipy(seed):
    scores, accuracies = tied(60, seed)
    assert spearman(scores, accuracies) == pytest.approx(stats.spearmanr(scores, accuracies).statistic, abs=1e-12)
    assert kendall(scores, accuracies) == pytest.approx(stats.kendalltau(scores, accuracies).statistic, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_statistics_equal_those_of_rows_written_out(seed):
    scores, accuracies = tied(40, seed)
    rows = np.random.default_rng(seed).integers(40, size=40)
    weights = np.bincount(rows, minlength=40)[None].astype(float)
    x, y = module._Ordered(scores), module._Ordered(accuracies)
    rho = module._spearman(x.midranks(weights), y.midranks(weights), weights)[0]
    assert rho == pytest.approx(stats.spearmanr(scores[rows], accuracies[rows]).statistic, abs=1e-12)
    tau = module._kendall(x, y, module._concordance(x.group, y.group), weights)[0]
    assert tau == pytest.approx(stats.kendalltau(scores[rows], accuracies[rows]).statistic, abs=1e-12)
    precision = module._precision(x.top_shares(weights, 7), y.top_shares(weights, 7), weights, 7)[0]
    top = top_precision(scores[rows], accuracies[rows], top_percent=100 * 7 / 40)
    assert precision == pytest.approx(top, abs=1e-12)


def test_top_precision_counts_ties_at_the_border_by_their_share():
    accuracies = np.arange(10.0)
    assert top_precision(accuracies, accuracies, top_percent=30) == 1.0
    assert top_precision(-accuracies, accuracies, top_percent=30) == 0.0
    assert top_precision(np.zeros(10), accuracies, top_percent=30) == pytest.approx(0.3)
    scores = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 2.0])  # one place for the last, two for the two before
    assert top_precision(scores, accuracies, top_percent=20) == pytest.approx((1 + 0.5) / 2)


def test_what_is_not_finite_ranks_worst():
    accuracies = np.arange(6.0)
    scores = np.array([np.nan, -np.inf, np.inf, 1.0, 2.0, 3.0])
    expected = stats.spearmanr([-9, -9, -9, 1, 2, 3], accuracies).statistic
    assert spearman(scores, accuracies) == pytest.approx(expected)
    assert rank_agreement({"a": scores}, accuracies, resamples=10)["a"].not_finite == 3


def test_a_constant_score_agrees_with_nothing():
    agreement = rank_agreement({"a": np.ones(20)}, np.arange(20.0), resamples=50)["a"]
    for estimate in (agreement.spearman, agreement.kendall):
        assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)


@pytest.mark.parametrize("rows_of_kendall", [2000, 60])
def test_intervals_have_the_width_of_repeated_samples(monkeypatch, rows_of_kendall):
    monkeypatch.setattr(module, "_KENDALL_ROWS", rows_of_kendall)
    generator = np.random.default_rng(0)

    def sample() -> tuple[np.ndarray, np.ndarray]:
        accuracies = generator.normal(size=200)
        return accuracies + generator.normal(size=200), accuracies

    agreement = rank_agreement({"a": (pair := sample())[0]}, pair[1])["a"]
    samples = [sample() for _ in range(400)]
    for estimate, statistic in ((agreement.spearman, spearman), (agreement.kendall, kendall)):
        spread = np.std([statistic(*pair) for pair in samples])
        assert estimate.low < estimate.value < estimate.high
        assert (estimate.high - estimate.low) / (2 * 1.96 * spread) == pytest.approx(1, abs=0.35)


def test_leads_over_baselines_are_paired_and_warned_of():
    generator = np.random.default_rng(1)
    accuracies = generator.normal(size=300)
    params = accuracies + generator.normal(size=300)
    scores = {
        "better": accuracies + 0.1 * generator.normal(size=300),
        "same": params + 1e-9 * generator.normal(size=300),
        "random": generator.normal(size=300),
        "hardly": params + 0.3 * generator.normal(size=300) + 0.1 * accuracies,
        "params": params,
    }
    found = rank_agreement(scores, accuracies)
    assert list(found) == list(scores)
    lead = found["same"].lead["params"]
    assert lead.high - lead.low < 1e-6 < found["same"].spearman.high - found["same"].spearman.low
    assert found["params"].lead == {}
    assert no_better_than_baselines(found["params"]) is None
    assert no_better_than_baselines(found["better"]) is None
    assert no_better_than_baselines(found["random"]).startswith("random ranks worse than params: Spearman ")
    assert (lead.value, lead.low, lead.high) == (0.0, 0.0, 0.0)  # so little noise changes no rank
    assert no_better_than_baselines(found["same"]).startswith("same ranks no better than params: Spearman ")
    assert no_better_than_baselines(found["hardly"]).startswith("hardly is not shown to rank better than params: ")
    assert rank_agreement(scores, accuracies) == found


def test_resamples_do_not_depend_on_the_size_of_chunks(monkeypatch):
    scores, accuracies = tied(30, 0)
    whole = rank_agreement({"a": scores}, accuracies, resamples=50)
    monkeypatch.setattr(module, "_CHUNK_ENTRIES", 100)
    parts = rank_agreement({"a": scores}, accuracies, resamples=50)
    assert parts["a"].spearman.low == pytest.approx(whole["a"].spearman.low, abs=1e-12)
    assert parts["a"].kendall.high == pytest.approx(whole["a"].kendall.high, abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "accuracies", "options", "message"),
    [
        ([1, 2], [1, 2], {}, "at least 3 architectures"),
        ([1, 2, 3], [1, 2, np.nan], {}, "accuracies must be finite, number 2 is not"),
        ([1, 2], [1, 2, 3], {}, "score 'a' has shape"),
        ([1, 2, 3], [1, 2, 3], {"top_percent": 0}, "top_percent must be above 0"),
        ([1, 2, 3], [1, 2, 3], {"resamples": 0}, "resamples must be at least 1"),
    ],
)
def test_bad_input_names_the_value(scores, accuracies, options, message):
    with pytest.raises(ValueError, match=message):
        rank_agreement({"a": np.array(scores)}, np.array(accuracies, dtype=float), **options)
