"""Evaluations that a search of NAS-Bench-201 needs to reach an accuracy, with and without a filter of proposals.

    python -m benchmarks.proposal_filter --table nb201_cifar10.csv.gz --scores scores.csv --column gradsign

Regularised evolution and random search look accuracies up in a published table, in which no architecture is evaluated
twice, until one of them reaches the target. The evolution has by default a population of 10 and samples of 3, small
enough that the target is not met by the first population. In GradSign-assisted search as published (G-REA) the first
population is not filtered; here it is in rows that say so. Beside the score asked for, the filter is run with the
number of weights, which costs nothing, and with `auto`, which leaves the score out where it ranks no better than that.

Searches propose architectures that stand in the table and have a score, and no others: what is measured is a search of
that part of the space. Runs with the same seed share their first population, so differences are paired. A run that does
not reach the target counts as many evaluations as the limit.

A filter helps as far as the very best-scored are the best: it stays among them. The precision of the score's top 1% is
printed for that; a score may rank well and still miss the best.

The accuracy is by default that of the test split: this benchmarks searchers, and finds no architecture for anyone.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from nas.benchmarks.published_tables import Table
from nas.objectives import Tabular
from nas.rank_agreement import rank_agreement
from nas.searchers import AutoScore, Filtered, Random, RegularizedEvolution, Score, Searcher, cost_scores
from search_spaces import Architecture, Space
from search_spaces.families.nasbench201 import nasbench201

RESAMPLES = 10_000
Make = Callable[[int], Searcher]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="accuracies, csv or csv.gz")
    parser.add_argument("--accuracy", default="c10_test_200", help="column of the table")
    parser.add_argument("--scores", type=Path, required=True, help="scores of architectures, csv or csv.gz")
    parser.add_argument("--column", required=True, help="column of the scores, higher better")
    parser.add_argument("--key", default="idx", help="column of both files that names the architecture")
    parser.add_argument("--target", type=float, default=94.0, help="percent")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=10, help="proposals for one evaluation")
    parser.add_argument("--population", type=int, default=10, help="of the evolution")
    parser.add_argument("--sample", type=int, default=3, help="members of a tournament of the evolution")
    parser.add_argument("--limit", type=int, default=3000, help="evaluations of one run")
    return parser.parse_args()


def evaluations_to(target: float, searcher: Searcher, accuracies: Mapping[Architecture, float], limit: int) -> int:
    """Return the number of distinct architectures until one reaches the target, at most `limit`."""
    evaluated: set[Architecture] = set()
    while True:
        asked = searcher.ask()
        for architecture in asked:
            evaluated.add(architecture)
            if accuracies[architecture] >= target or len(evaluated) >= limit:
                return len(evaluated)
        losses = np.array([[-accuracies[architecture]] for architecture in asked])
        searcher.tell(asked, losses, np.zeros(len(asked)))


def no_limits(encodings: np.ndarray) -> np.ndarray:
    return np.zeros(len(encodings))


def looked_up(table: Table, scores: np.ndarray) -> Score:
    """Return a column as a score."""
    known = dict(zip(table.architectures, scores.tolist()))
    return lambda architectures: np.array([known[architecture] for architecture in architectures])


def variants(space: Space, scores: Mapping[str, Score], options: argparse.Namespace) -> dict[str, dict[str, Make]]:
    """Return searcher -> filter -> how to make it from a seed; the first of each is without a filter."""
    size, sample = options.population, options.sample

    def evolution(seed: int) -> Searcher:
        return RegularizedEvolution(
            space, objectives=1, population=size, seed=seed, violation=no_limits, sample_size=sample
        )

    def random(seed: int) -> Searcher:
        return Random(space, objectives=1, population=10, seed=seed, violation=no_limits)

    def filtered(make: Make, *, first: bool) -> dict[str, Make]:
        def by(score: Callable[[], Score]) -> Make:
            return lambda seed: Filtered(make(seed), score(), candidates=options.candidates, first=first)

        def automatic(seed: int) -> Searcher:
            score = AutoScore(proxies, baselines)
            return Filtered(make(seed), score, candidates=options.candidates, first=first, told=score.tell)

        proxies = {options.column: scores[options.column]}
        baselines = {"params": scores["params"]}
        suffix = ", first too" if first and make is evolution else ""
        known = {f"{name}{suffix}": by(partial(scores.__getitem__, name)) for name in scores}
        return {**known, f"auto{suffix}": automatic}

    return {
        "evolution": {
            "none": evolution,
            **filtered(evolution, first=False),
            **filtered(evolution, first=True),
        },
        "random": {"none": random, **filtered(random, first=True)},
    }


def interval(values: np.ndarray) -> str:
    low, high = np.quantile(values, (0.025, 0.975))
    return f"[{low:g}, {high:g}]"


def report(name: str, counts: Mapping[str, np.ndarray], limit: int) -> None:
    """Print a row for each filter: medians and their distance from no filter, with bootstrap 95% intervals."""
    plain = next(iter(counts.values()))
    drawn = np.random.default_rng(0).integers(len(plain), size=(RESAMPLES, len(plain)))
    plain_medians = np.median(plain[drawn], axis=1)
    for by, values in counts.items():
        medians = np.median(values[drawn], axis=1)
        row = f"{name:10s} {by:24s} {np.median(values):7g} {interval(medians):16s} {values.mean():8.1f}"
        less = f"{np.median(values) - np.median(plain):+7g} {interval(medians - plain_medians):16s}"
        print(f"{row}  {less if values is not plain else '':24s} {np.mean(values < limit):6.1%}", flush=True)


def main() -> None:
    options = arguments()
    table = Table.read(options.table, nasbench201()).joined(options.scores, on=options.key)
    accuracies = Tabular(table, options.accuracy, allow_test=True).accuracies
    space, goals = table.covered_space(), sum(value >= options.target for value in accuracies.percent.values())
    print(
        f"{len(table):,} of {nasbench201().count():,} architectures, {goals} of them reach {options.target:g}% "
        f"({accuracies.provenance}); {options.runs} runs; filter: the best of {options.candidates} proposals"
    )
    values = {
        options.column: table.scores(options.column),
        "params": cost_scores(table.space)["params"](table.architectures),
    }
    scores = {name: looked_up(table, column) for name, column in values.items()}
    for name, agreement in rank_agreement(
        values, table.numbers(options.accuracy), top_percent=1, resamples=200
    ).items():
        top, rho = agreement.top_precision, agreement.spearman
        print(f"{name}: Spearman {rho.value:.3f}, top-1% precision {top.value:.3f} [{top.low:.3f}, {top.high:.3f}]")
    columns = f"{'searcher':10s} {'filter':24s} {'median':>7s} {'95% interval':16s} {'mean':>8s}"
    print(f"{columns}  {'against none':24s} reached")
    start = time.perf_counter()
    for name, filters in variants(space, scores, options).items():
        counts = {}
        for by, make in filters.items():
            searchers = map(make, range(options.runs))
            runs = [evaluations_to(options.target, s, accuracies.percent, options.limit) for s in searchers]
            counts[by] = np.array(runs)
        report(name, counts, options.limit)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
