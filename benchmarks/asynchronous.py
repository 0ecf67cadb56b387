"""What a search loses by evaluating on several workers of unequal speed at the same time.

    python -m benchmarks.asynchronous --problem nb201_pixel2,macro --data-folder tables [--seeds 10]

The workers exist in simulated time: the slowest takes 20 times as long for a candidate as the fastest, and each gets
the next candidate as soon as it is free. Beside each search stands one of the same seed with a single worker and as
many evaluations. Printed are the shares of the true hypervolume, their paired differences with Student's 95 %
intervals over seeds, and the simulated time as a multiple of the least in which the workers together could do as many
evaluations, were none of them left idle by the last.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from nas.benchmarks.problems import BenchmarkProblem
from nas.benchmarks.searchers import hypervolume_curve
from nas.search.journal import Journal
from nas.search.loop import search
from nas.search.pareto import losses
from nas.student_interval import student_half
from service.benchmarks.search_benchmark import Plan, make_searcher
from service.benchmarks.search_problems import ProblemRequest, problems_of
from tests.nas.simulated import SimulatedWorkers

SECONDS = (1.0, 1.1, 1.3, 2.0, 2.9, 4.7, 7.3, 20.0)


class Found(NamedTuple):
    """What a search came to: its share of the true hypervolume and the simulated seconds that it took."""

    share: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", default="nb201_pixel2", help="known problems with commas between")
    parser.add_argument("--data-folder", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--searcher", default="surrogate,nsga2")
    parser.add_argument("--reference", default="nadir")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    request = ProblemRequest(names=given.problem.split(","), data_folder=given.data_folder, reference=given.reference)
    console, table = Console(width=150), Table()
    for column in ("problem", "searcher", "one worker, %", "eight workers, %", "difference", "time / least"):
        table.add_column(column)
    for problem in problems_of(request):
        for searcher in given.searcher.split(","):
            alone, together = (
                [run(problem, searcher, seed, seconds) for seed in range(given.seeds)] for seconds in (None, SECONDS)
            )
            table.add_row(problem.name, searcher, *report(alone, together, plan_of(problem, searcher)["evaluations"]))
    console.print(table)


def plan_of(problem: BenchmarkProblem, searcher: str) -> dict:
    """Return the evaluations and options that `nas benchmark search` uses."""
    return Plan(problems=[problem], searchers=[searcher]).settings(problem, searcher)


def run(problem: BenchmarkProblem, name: str, seed: int, seconds: tuple[float, ...] | None) -> Found:
    """Run one search on workers of these speeds, or evaluate one after the other where there are none."""
    settings = plan_of(problem, name)
    searcher = make_searcher(name, problem, seed=seed, **settings)
    workers = None if seconds is None else SimulatedWorkers(problem.problem.measured, seconds)
    evaluations = settings["evaluations"]
    done = search(
        searcher, problem.problem, Journal(None, {}), space=problem.space, evaluations=evaluations, evaluators=workers
    )
    values = losses(done, problem.directions)
    values[[e.status != "ok" for e in done]] = np.inf
    volume = hypervolume_curve(values, problem.reference, evaluations)[-1]
    assert problem.true_hypervolume is not None
    return Found(100 * volume / problem.true_hypervolume, float("nan") if workers is None else workers.now)


def report(alone: list[Found], together: list[Found], evaluations: int) -> list[str]:
    """Return the cells of a row."""
    shares = np.array([[one.share for one in runs] for runs in (alone, together)])
    difference = shares[1] - shares[0]
    least = evaluations / sum(1 / seconds for seconds in SECONDS)
    slower = np.mean([one.seconds for one in together]) / least
    return [*map(interval, shares), interval(difference), f"{slower:.3f}"]


def interval(values: np.ndarray) -> str:
    """Mean and Student's 95 % interval."""
    mean = values.mean()
    if len(values) < 2:
        return f"{mean:.2f}"
    half = student_half(values)
    return f"{mean:.2f} [{mean - half:.2f}, {mean + half:.2f}]"


if __name__ == "__main__":
    main()
