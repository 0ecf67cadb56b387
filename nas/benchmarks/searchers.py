"""Runs of searchers on problems with known answers, and the summary of many runs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import moocore
import numpy as np

from nas.benchmarks.problems import BenchmarkProblem
from nas.search.earlier_search import EarlierSearch
from nas.search.journal import Journal
from nas.search.loop import search
from nas.search.pareto import losses
from nas.searchers import Searcher
from search_spaces import Architecture
from supernets.estimate import Estimate

RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Run:
    """The course of one search.

    Attributes:
        losses: Losses of the evaluations in their order [N, K]; infinite where a limit is broken.
        overhead_s: Seconds that the searcher itself took for each evaluation, on average.
        overhead_cpu_s: The same in seconds of processor time.
        overhead_worst_s: Most seconds that it took for each candidate of a round.
    """

    losses: np.ndarray
    overhead_s: float
    overhead_cpu_s: float
    overhead_worst_s: float


@dataclass
class _Timed(Searcher):
    """A searcher and the time that it takes for itself."""

    searcher: Searcher
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    worst_s: float = 0.0
    _round_s: float = field(default=0.0, init=False)

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        asked, self._round_s = self._measured(lambda: self.searcher.ask(pending))
        self.worst_s = max(self.worst_s, self._round_s / max(1, len(asked)))
        return asked

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        _, seconds = self._measured(lambda: self.searcher.tell(architectures, losses, violations))
        self.worst_s = max(self.worst_s, (self._round_s + seconds) / max(1, len(architectures)))

    def _measured(self, call: Callable[[], Any]) -> tuple[Any, float]:
        start, cpu_start = time.perf_counter(), time.process_time()
        answer = call()
        seconds = time.perf_counter() - start
        self.seconds += seconds
        self.cpu_seconds += time.process_time() - cpu_start
        return answer, seconds


def offered(problem: BenchmarkProblem, *, seed: int, evaluations: int, population: int) -> dict[str, Any]:
    """Return what a searcher is offered for a problem, by the name of its argument.

    Beside the space, the objectives, the seed, the population and the violations of exact limits, it is offered the
    number of evaluations, what is exactly computable (`exact`: index of an objective -> its losses [N] of encodings [N,
    D]) and the limits on other objectives (`limits`: index -> largest loss).
    """
    return {
        "space": problem.space,
        "objectives": len(problem.directions),
        "population": population,
        "seed": seed,
        "violation": problem.problem.exact_violation,
        "evaluations": evaluations,
        "exact": problem.problem.exact_losses,
        "limits": problem.problem.loss_limits,
    }


def earlier_search(problem: BenchmarkProblem, searcher: Searcher, evaluations: int) -> EarlierSearch:
    """Run a search to start another one from."""
    done = search(searcher, problem.problem, Journal(None, {}), space=problem.space, evaluations=evaluations)
    return EarlierSearch.of(done, problem.directions, problem.space)


def run_search(problem: BenchmarkProblem, searcher: Searcher, evaluations: int) -> Run:
    """Run one search, in memory."""
    timed = _Timed(searcher)
    done = search(timed, problem.problem, Journal(None, {}), space=problem.space, evaluations=evaluations)
    values = losses(done, problem.directions)
    values[[e.status != "ok" for e in done]] = np.inf
    number = max(1, len(done))
    return Run(
        losses=values,
        overhead_s=timed.seconds / number,
        overhead_cpu_s=timed.cpu_seconds / number,
        overhead_worst_s=timed.worst_s,
    )


# ---- what runs say --------------------------------------------------------------------------------------------------


def hypervolume_curve(values: np.ndarray, reference: np.ndarray, evaluations: int) -> np.ndarray:
    """Return the hypervolume [evaluations] that losses [N, K] dominate after each evaluation; the last one goes on."""
    curve, front, volume = np.zeros(evaluations), np.empty((0, len(reference))), 0.0
    for i, point in enumerate(values[:evaluations]):
        if (point < reference).all() and not (front <= point).all(axis=1).any():
            front = np.concatenate([front[~(point <= front).all(axis=1)], point[None]])
            volume = float(moocore.hypervolume(front, ref=reference))
        curve[i] = volume
    curve[len(values) :] = volume
    return curve


def best_curve(values: np.ndarray, evaluations: int) -> np.ndarray:
    """Return the lowest first loss [evaluations] of losses [N, K] so far; infinite before there is a feasible one."""
    best = np.minimum.accumulate(
        np.concatenate([values[:evaluations, 0], [np.inf] * max(0, evaluations - len(values))])
    )
    return best


def evaluations_to(curves: np.ndarray, target: float) -> np.ndarray:
    """Return evaluations [S] after which each of the curves [S, N] reaches the target; infinite where it does not."""
    reached = curves >= target * (1 - 1e-12)
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def median_interval(values: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return the median of values [S], infinite ones included, with its bootstrap 95 % interval over them."""
    ordered = np.sort(np.asarray(values, dtype=float))
    drawn = np.sort(np.random.default_rng(seed).integers(len(ordered), size=(RESAMPLES, len(ordered))), axis=1)
    medians = np.sort(_middle(ordered[drawn]))
    low, high = medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
    return Estimate(float(_middle(ordered[None])[0]), float(low), float(high))


def _middle(ordered: np.ndarray) -> np.ndarray:
    """Return medians [R] of rows [R, S] in order; infinity stays infinity."""
    size = ordered.shape[1]
    below, above = ordered[:, (size - 1) // 2], ordered[:, size // 2]
    return np.where(below == above, below, (below + above) / 2)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A quantity after each evaluation, over runs: median, mean and the ends of the median's 95 % interval, all [N]."""

    median: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, *, seed: int = 0) -> "Curve":
        """Return the curve of the values [S, N] of S runs; the same runs are drawn again for all evaluations."""
        drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES // 4, len(values)))
        medians = np.stack([_middle(np.sort(column[drawn], axis=1)) for column in values.T])
        ordered = np.sort(medians, axis=1)
        places = (int(0.025 * ordered.shape[1]), int(0.975 * ordered.shape[1]) - 1)
        return cls(
            median=_middle(np.sort(values.T, axis=1)),
            mean=values.mean(axis=0),
            low=ordered[:, places[0]],
            high=ordered[:, places[1]],
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All runs of all searchers on one problem.

    Attributes:
        problem: The problem.
        evaluations: Most evaluations of each run.
        hypervolumes: Searcher -> curves [S, N].
        best: Searcher -> best value of the first objective so far [S, N], as it is written in the table.
        lengths: Searcher -> evaluations of each run [S]; fewer where it had nothing new to propose.
        overheads: Searcher -> seconds for each candidate [S], wall time, processor time and the worst round [S, 3].
        volume: The true hypervolume, or that of everything found by anyone.
        is_true: Whether `volume` is the true one.
        best_possible: Best feasible value of the first objective, where it is known.
    """

    problem: BenchmarkProblem
    evaluations: int
    hypervolumes: Mapping[str, np.ndarray]
    best: Mapping[str, np.ndarray]
    lengths: Mapping[str, np.ndarray]
    overheads: Mapping[str, np.ndarray]
    volume: float
    is_true: bool
    best_possible: float | None

    def share(self, searcher: str) -> np.ndarray:
        """Return curves [S, N] as a share of the volume."""
        return self.hypervolumes[searcher] / self.volume if self.volume > 0 else self.hypervolumes[searcher]

    @cached_property
    def curves(self) -> dict[str, dict[str, Curve]]:
        """Searcher -> `hypervolume_share` and `best`, after each evaluation."""
        return {
            name: {"hypervolume_share": Curve.of(self.share(name)), "best": Curve.of(self.best[name])}
            for name in self.best
        }

    def evaluations_to_final(self, searcher: str, other: str) -> np.ndarray:
        """Return evaluations [S] until a searcher has the final median hypervolume of another."""
        return evaluations_to(self.hypervolumes[searcher], float(np.median(self.hypervolumes[other][:, -1])))

    def regret(self, searcher: str) -> np.ndarray | None:
        """Return how far the best so far [S, N] is from the best possible; None where that is not known."""
        if self.best_possible is None:
            return None
        return np.abs(self.best[searcher] - self.best_possible)


def compare(problem: BenchmarkProblem, runs: Mapping[str, Sequence[Run]], evaluations: int) -> Comparison:
    """Return what runs of several searchers on one problem say; each searcher has at least one run."""
    volume, is_true = problem.true_hypervolume, True
    if volume is None:
        found = np.concatenate([run.losses for searcher_runs in runs.values() for run in searcher_runs])
        inside = found[(found < problem.reference).all(axis=1)]
        volume, is_true = float(moocore.hypervolume(inside, ref=problem.reference)) if len(inside) else 0.0, False
    sign = -1.0 if problem.directions[0][1] else 1.0
    return Comparison(
        problem=problem,
        evaluations=evaluations,
        hypervolumes={
            name: np.stack([hypervolume_curve(run.losses, problem.reference, evaluations) for run in searcher_runs])
            for name, searcher_runs in runs.items()
        },
        best={
            name: sign * np.stack([best_curve(run.losses, evaluations) for run in searcher_runs])
            for name, searcher_runs in runs.items()
        },
        lengths={name: np.array([len(run.losses) for run in searcher_runs]) for name, searcher_runs in runs.items()},
        overheads={
            name: np.array([[run.overhead_s, run.overhead_cpu_s, run.overhead_worst_s] for run in searcher_runs])
            for name, searcher_runs in runs.items()
        },
        volume=volume,
        is_true=is_true,
        best_possible=None if problem.front is None else sign * float(problem.front[:, 0].min()),
    )
