"""How well methods rank architectures, over several trainings each, with intervals for the mean and for differences.

Two things are random: the sample of architectures, and the training. The standard error of the first is that of a
bootstrap over architectures, with the same resamples for every training, so that differences are paired. The error of
the second is the deviation between seeds. The half-width of an interval is the root of the sum of the squares of 1.96
bootstrap errors and of Student's quantile times the standard error over seeds. One seed alone tells nothing about the
training: intervals then cover the architectures only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nas.rank_agreement import MEASURES, Resampled, resampled_agreement
from nas.student_interval import student_half
from supernets.estimate import Estimate

LEAST = {"spearman": -1.0, "kendall": -1.0, "top_precision": 0.0}
"""The least value of each measure; the greatest of all is 1. Intervals of measures end there."""
_NORMAL_97_5 = 1.959964


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The ranking quality of one method.

    Attributes:
        seeds: Number of trainings in this mean.
        measures: Measure -> mean over seeds; measures are those of `nas.rank_agreement.MEASURES`.
        of_seeds: Measure -> value of each seed.
        lead: Measure -> mean less that of the first method, paired; empty for the first one and for baselines.
    """

    seeds: tuple[int, ...]
    measures: Mapping[str, Estimate]
    of_seeds: Mapping[str, tuple[float, ...]]
    lead: Mapping[str, Estimate] = field(default_factory=dict)


def compare(
    scores: Mapping[str, Mapping[int, np.ndarray]],
    accuracies: np.ndarray,
    *,
    baselines: Mapping[str, np.ndarray],
    top_percent: float = 5.0,
    resamples: int = 500,
    seed: int = 0,
) -> dict[str, Ranked]:
    """Compare methods, in the given order, and baselines after them.

    Args:
        scores: Method -> seed -> scores of the architectures [N], higher better; the first method is the reference.
        accuracies: True accuracies [N].
        baselines: Name -> scores [N] that need no training.
        top_percent: Share of the architectures that counts as the top, in percent.
        resamples: Bootstrap resamples.
        seed: Seed of the resamples.

    Raises:
        ValueError: Fewer than three architectures, or columns of other lengths.
    """
    trained = {f"{name}/{s}": column for name, seeds in scores.items() for s, column in seeds.items()}
    if doubled := [name for name in baselines if name in scores]:
        raise ValueError(f"{doubled[0]!r} is the name of a method and of a baseline")
    found = resampled_agreement(
        {**trained, **baselines}, accuracies, top_percent=top_percent, resamples=resamples, seed=seed
    )
    of_seeds = {name: {s: found[f"{name}/{s}"] for s in seeds} for name, seeds in scores.items()}
    first = next(iter(of_seeds), None)
    result = {
        name: _ranked(seeds, lead=_leads(seeds, of_seeds[first]) if first not in (None, name) else {})
        for name, seeds in of_seeds.items()
    }
    return {**result, **{name: _ranked({0: found[name]}, lead={}) for name in baselines}}


def mean_estimate(seeds: Sequence[Resampled]) -> Estimate:
    """Return the mean over seeds, uncertain by the architectures and, from two seeds on, by the training."""
    values = np.array([resampled.value for resampled in seeds])
    mean = float(values.mean())
    half = _NORMAL_97_5 * float(np.mean([resampled.drawn for resampled in seeds], axis=0).std(ddof=1))
    if len(values) > 1:
        half = float(np.hypot(half, student_half(values)))
    return Estimate(mean, mean - half, mean + half)


def _ranked(seeds: Mapping[int, Mapping[str, Resampled]], *, lead: Mapping[str, Estimate]) -> Ranked:
    return Ranked(
        seeds=tuple(seeds),
        measures={
            name: _within(mean_estimate([found[name] for found in seeds.values()]), LEAST[name], 1.0)
            for name in MEASURES
        },
        of_seeds={name: tuple(found[name].value for found in seeds.values()) for name in MEASURES},
        lead=lead,
    )


def _within(estimate: Estimate, least: float, most: float) -> Estimate:
    assert estimate.low is not None
    assert estimate.high is not None
    return Estimate(estimate.value, max(estimate.low, least), min(estimate.high, most))


def _leads(
    ours: Mapping[int, Mapping[str, Resampled]], first: Mapping[int, Mapping[str, Resampled]]
) -> dict[str, Estimate]:
    """Return differences to the first method over the seeds that both have; none where there are none."""
    shared = [s for s in ours if s in first]
    if not shared:
        return {}
    return {name: mean_estimate([ours[s][name] - first[s][name] for s in shared]) for name in MEASURES}
