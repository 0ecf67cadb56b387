"""How well scores rank architectures: Spearman, Kendall and top precision, each with a bootstrap 95% interval.

Higher scores are better, and scores that are not finite rank worst. Ties count as ties: Spearman uses mid-ranks,
Kendall is tau-b, and equal scores at the border of the top share the places left. A score that is the same for all has
agreement 0.

Intervals are percentiles over resamples of the architectures, drawn with replacement, the same ones for every score, so
that differences between scores are paired. Kendall's is computed from the matrix of concordant pairs, which for more
than 2,000 architectures is that of a random 2,000 of them; deviations then shrink by the square root of the ratio.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from supernets.estimate import Estimate

_KENDALL_ROWS = 2000
_CHUNK_ENTRIES = 2_000_000  # resamples x architectures held at a time


MEASURES = ("spearman", "kendall", "top_precision")


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """A measure of one score, and the same on bootstrap resamples of the architectures.

    Attributes:
        value: Value on all architectures.
        drawn: Values on each resample [R]; resample r is the same for every score.
    """

    value: float
    drawn: np.ndarray

    def __sub__(self, other: "Resampled") -> "Resampled":
        return Resampled(value=self.value - other.value, drawn=self.drawn - other.drawn)

    @property
    def estimate(self) -> Estimate:
        """The value with its 95% percentile interval."""
        low, high = np.quantile(self.drawn, (0.025, 0.975))
        return Estimate(float(self.value), float(low), float(high))


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The agreement of one score with known accuracies.

    Attributes:
        name: Name of the score.
        architectures: Number of architectures.
        not_finite: Number of architectures whose score is not finite.
        spearman: Rank correlation, -1 to 1.
        kendall: Tau-b, -1 to 1.
        top_precision: Share of the best-scored architectures that are among the best, 0 to 1.
        lead: Name of a baseline -> Spearman of this score less that of the baseline, paired; empty for baselines.
    """

    name: str
    architectures: int
    not_finite: int
    spearman: Estimate
    kendall: Estimate
    top_precision: Estimate
    lead: Mapping[str, Estimate] = field(default_factory=dict)


def spearman(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Return Spearman's rank correlation of scores [N] with accuracies [N]."""
    x, y = _Ordered(_ranked_worst(scores)), _Ordered(accuracies)
    ones = np.ones((1, len(scores)))
    return float(_spearman(x.midranks(ones), y.midranks(ones), ones)[0])


def kendall(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Return Kendall's tau-b of scores [N] with accuracies [N], in O(N log N)."""
    from scipy.stats import kendalltau  # takes long to import

    x, y = _Ordered(_ranked_worst(scores)).group, _Ordered(accuracies).group
    if not x.any() or not y.any():
        return 0.0
    return float(kendalltau(x, y, method="asymptotic").statistic)


def top_precision(scores: np.ndarray, accuracies: np.ndarray, *, top_percent: float = 10.0) -> float:
    """Return which share of the best-scored `top_percent` of architectures [N] is among the best `top_percent`."""
    x, y = _Ordered(_ranked_worst(scores)), _Ordered(accuracies)
    ones, places = np.ones((1, len(scores))), _places(len(scores), top_percent)
    return float(_precision(x.top_shares(ones, places), y.top_shares(ones, places), ones, places)[0])


def rank_agreement(
    scores: Mapping[str, np.ndarray],
    accuracies: np.ndarray,
    *,
    baselines: Sequence[str] = ("params", "macs"),
    top_percent: float = 10.0,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Agreement]:
    """Return the agreement of every score with the accuracies, in the order given.

    Args:
        scores: Name -> scores [N], higher better.
        accuracies: Accuracies of the same architectures [N], all of one provenance.
        baselines: What to compare the other scores with, if it is among them.
        top_percent: Share of the architectures that counts as the top, in percent.
        resamples: Bootstrap resamples.
        seed: Seed of the resamples.

    Raises:
        ValueError: Fewer than three architectures, columns of other lengths, or accuracies that are not finite.
    """
    found = resampled_agreement(scores, accuracies, top_percent=top_percent, resamples=resamples, seed=seed)
    rivals = {name: [b for b in baselines if b in found and name not in baselines] for name in found}
    return {
        name: Agreement(
            name=name,
            architectures=len(accuracies),
            not_finite=int(np.sum(~np.isfinite(np.asarray(scores[name], dtype=float)))),
            **{measure: resampled.estimate for measure, resampled in measures.items()},
            lead={b: (measures["spearman"] - found[b]["spearman"]).estimate for b in rivals[name]},
        )
        for name, measures in found.items()
    }


def resampled_agreement(
    scores: Mapping[str, np.ndarray],
    accuracies: np.ndarray,
    *,
    top_percent: float = 10.0,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Resampled]]:
    """Return all `MEASURES` of every score with their bootstrap resamples, as `rank_agreement` computes them.

    Raises:
        ValueError: Fewer than three architectures, columns of other lengths, or accuracies that are not finite.
    """
    columns, accuracies = _checked(scores, accuracies, top_percent, resamples)
    drawn = _bootstrap(columns, accuracies, _places(len(accuracies), top_percent), resamples, seed)
    taus = _kendall_bootstrap(columns, accuracies, resamples, seed)
    return {
        name: {
            "spearman": Resampled(value=spearman(column, accuracies), drawn=drawn[name][0]),
            "kendall": Resampled(value=kendall(column, accuracies), drawn=taus[name]),
            "top_precision": Resampled(
                value=top_precision(column, accuracies, top_percent=top_percent), drawn=drawn[name][1]
            ),
        }
        for name, column in columns.items()
    }


def no_better_than_baselines(agreement: Agreement) -> str | None:
    """Return a warning that a score is not shown to rank better than a baseline; None where it is.

    It names the baseline that the score leads least.
    """
    if not agreement.lead:
        return None
    baseline, lead = min(agreement.lead.items(), key=lambda item: item[1].value)
    assert lead.low is not None
    assert lead.high is not None
    if lead.low > 0:
        return None
    verdict = "ranks no better than" if lead.value <= 0 else "is not shown to rank better than"
    if lead.high < 0:
        verdict = "ranks worse than"
    return (
        f"{agreement.name} {verdict} {baseline}: Spearman {agreement.spearman.value:.3f} against "
        f"{agreement.spearman.value - lead.value:.3f} over {agreement.architectures} architectures "
        f"(difference {lead.value:+.3f}, 95% interval {lead.low:+.3f} to {lead.high:+.3f})"
    )


def _checked(
    scores: Mapping[str, np.ndarray], accuracies: np.ndarray, top_percent: float, resamples: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    columns = {name: np.asarray(column, dtype=float) for name, column in scores.items()}
    accuracies = np.asarray(accuracies, dtype=float)
    if accuracies.ndim != 1 or len(accuracies) < 3:
        raise ValueError(f"rank agreement needs at least 3 architectures, got accuracies of shape {accuracies.shape}")
    if not np.isfinite(accuracies).all():
        raise ValueError(f"accuracies must be finite, number {int(np.argmin(np.isfinite(accuracies)))} is not")
    for name, column in columns.items():
        if column.shape != accuracies.shape:
            raise ValueError(f"score {name!r} has shape {column.shape}, the accuracies {accuracies.shape}")
    if not 0 < top_percent <= 100:
        raise ValueError(f"top_percent must be above 0 and at most 100, got {top_percent}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    return columns, accuracies


def _ranked_worst(scores: np.ndarray) -> np.ndarray:
    """Return scores with -inf for those that are not finite."""
    scores = np.asarray(scores, dtype=float)
    return np.where(np.isfinite(scores), scores, -np.inf)


def _places(architectures: int, top_percent: float) -> int:
    return max(1, round(architectures * top_percent / 100))


class _Ordered:
    """Values [N] as groups of equal ones, in ascending order; statistics count row n `weights[:, n]` times.

    Args:
        values: Anything that can be ordered.
    """

    def __init__(self, values: np.ndarray) -> None:
        _, self.group, sizes = np.unique(values, return_inverse=True, return_counts=True)
        self.order = np.argsort(self.group, kind="stable")
        self.starts = np.cumsum(sizes) - sizes

    def group_weights(self, weights: np.ndarray) -> np.ndarray:
        """Return the weight of each group [R, G], of weights [R, N]."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    def midranks(self, weights: np.ndarray) -> np.ndarray:
        """Return the mid-rank of every row [R, N], from 1; the mean of all, by weight, is (N + 1) / 2."""
        grouped = self.group_weights(weights)
        return (np.cumsum(grouped, axis=1) - (grouped - 1) / 2)[:, self.group]

    def top_shares(self, weights: np.ndarray, places: int) -> np.ndarray:
        """Return the share of every row [R, N] that is among the `places` highest."""
        grouped = self.group_weights(weights)
        above = grouped.sum(axis=1, keepdims=True) - np.cumsum(grouped, axis=1)
        return (np.clip(places - above, 0, grouped) / np.maximum(grouped, 1))[:, self.group]

    def untied_pairs(self, weights: np.ndarray) -> np.ndarray:
        """Return the number of pairs [R] whose values differ."""
        return (weights.sum(axis=1) ** 2 - (self.group_weights(weights) ** 2).sum(axis=1)) / 2


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return their quotient, 0 where there is nothing to divide by: all values are equal."""
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)


def _spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return correlations [R] of mid-ranks [R, N]."""
    middle = (weights.sum(axis=1, keepdims=True) + 1) / 2
    dx, dy = x - middle, y - middle
    weighted = weights * dx
    covariance = np.einsum("rn,rn->r", weighted, dy)
    variances = np.einsum("rn,rn->r", weighted, dx) * np.einsum("rn,rn,rn->r", weights, dy, dy)
    return _ratio(covariance, np.sqrt(variances))


def _precision(x: np.ndarray, y: np.ndarray, weights: np.ndarray, places: int) -> np.ndarray:
    """Return the expected number of rows [R] in both tops of shares [R, N], of `places`."""
    return np.einsum("rn,rn,rn->r", weights, x, y) / places


def _resamples(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Return how often each row is drawn [R, N], in chunks."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_ENTRIES // rows)
    for start in range(0, resamples, chunk):
        counts = [
            np.bincount(generator.integers(rows, size=rows), minlength=rows)
            for _ in range(start, min(start + chunk, resamples))
        ]
        yield np.array(counts, dtype=float)


def _bootstrap(
    columns: Mapping[str, np.ndarray], accuracies: np.ndarray, places: int, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return Spearman and top precision [2, resamples] of every score."""
    ordered = {name: _Ordered(_ranked_worst(column)) for name, column in columns.items()}
    truth = _Ordered(accuracies)
    found: dict[str, list[np.ndarray]] = {name: [] for name in columns}
    for weights in _resamples(len(accuracies), resamples, seed):
        ranks, shares = truth.midranks(weights), truth.top_shares(weights, places)
        for name, column in ordered.items():
            rho = _spearman(column.midranks(weights), ranks, weights)
            found[name].append(np.stack([rho, _precision(column.top_shares(weights, places), shares, weights, places)]))
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def _kendall_bootstrap(
    columns: Mapping[str, np.ndarray], accuracies: np.ndarray, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return tau-b [resamples] of every score."""
    rows = len(accuracies)
    generator = np.random.default_rng(seed)
    kept = np.arange(rows) if rows <= _KENDALL_ROWS else generator.choice(rows, _KENDALL_ROWS, replace=False)
    shrink = np.sqrt(len(kept) / rows)
    truth = _Ordered(accuracies[kept])
    found = {}
    for name, column in columns.items():
        ordered = _Ordered(_ranked_worst(column)[kept])
        concordant = _concordance(ordered.group, truth.group)
        taus = [_kendall(ordered, truth, concordant, w) for w in _resamples(len(kept), resamples, seed)]
        middle = _kendall(ordered, truth, concordant, np.ones((1, len(kept))))
        found[name] = kendall(column, accuracies) + shrink * (np.concatenate(taus) - middle)
    return found


def _concordance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return 1 for concordant, -1 for discordant and 0 for tied pairs [N, N]."""
    signs = np.sign(x[:, None] - x[None, :]).astype(np.float32)
    signs *= np.sign(y[:, None] - y[None, :])
    return signs


def _kendall(x: _Ordered, y: _Ordered, concordant: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return tau-b [R] of weighted rows [R, N]; sums of up to 2,000 ones are exact in single precision."""
    sums = weights.astype(np.float32) @ concordant
    numerator = np.einsum("rn,rn->r", weights, sums, dtype=float) / 2
    return _ratio(numerator, np.sqrt(x.untied_pairs(weights) * y.untied_pairs(weights)))
