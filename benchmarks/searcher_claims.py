"""Claims about searchers: one finds more than another, on small problems with known answers.

    python -m benchmarks.searcher_claims [--only fronts,filter]

Each line compares two means or medians over seeds and says whether the claim holds; the command fails where one does
not. The figures of README are those of `nas benchmark search`, on published tables; this takes two minutes.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import moocore
import numpy as np
from rich.console import Console
from rich.table import Table

from nas import Estimate
from nas.objectives import Bound
from nas.search.journal import Evaluation, Journal
from nas.search.loop import search
from nas.searchers import NSGA2, Filtered, Random, Searcher
from nas.searchers.surrogate import Surrogate
from search_spaces import Architecture, Space
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from service import catalogue
from tests.nas.helpers import Leading, bits, problem
from tests.nas.simulated import SimulatedWorkers

UNEQUAL = (1.0, 1.1, 1.3, 2.0, 2.9, 4.7, 7.3, 20.0)
FILTERED = ("nsga2", "random", "regularized_evolution")
Losses = Callable[[np.ndarray], np.ndarray]
"""Encodings [N, D] -> losses [N, K]."""


class Claim(NamedTuple):
    """A figure of a searcher, what it must exceed, and what the two are."""

    text: str
    figure: float
    least: float

    @property
    def holds(self) -> bool:
        """Whether the figure exceeds what it must."""
        return self.figure > self.least


def no_limits(encodings: np.ndarray) -> np.ndarray:
    return np.zeros(len(encodings))


def made(name: str, space: Space, *, objectives: int = 2, population: int = 8, seed: int = 0, **offered) -> Searcher:
    """Return a searcher of the catalogue; LINAS with a fast predictor."""
    options = {"inner_evaluations": 160, "predictor": lambda: catalogue.make("predictor", "ridge")}
    known = {"space": space, "objectives": objectives, "population": population, "seed": seed, "violation": no_limits}
    return catalogue.make("searcher", name, offered=known | offered, options=options if name == "linas" else {})


def names() -> list[str]:
    """Return the searchers to compare; the Gaussian process of Optuna takes minutes."""
    return [name for name in catalogue.SEARCHERS if name not in ("random", "optuna_gp")]


# ---- fronts ---------------------------------------------------------------------------------------------------------


def fronts() -> Iterator[Claim]:
    """Check that every searcher finds a better front than random search, by one deviation between seeds."""
    random = [_found_hypervolume("random", seed) for seed in range(8)]
    for name in names():
        ours = np.mean([_found_hypervolume(name, seed) for seed in range(3)])
        yield Claim(
            f"{name}: hypervolume after 100 evaluations, against random search",
            float(ours),
            float(np.mean(random) + np.std(random)),
        )


def _found_hypervolume(name: str, seed: int, evaluations: int = 100) -> float:
    space = bits(18)
    generator = np.random.default_rng(7)
    gain, pairs = generator.gamma(1.0, size=18), 0.5 * generator.normal(size=17)
    searcher, seen = made(name, space, population=16, seed=seed), dict[Architecture, np.ndarray]()
    while len(seen) < evaluations:
        asked = searcher.ask()
        encodings = np.stack([space.encode(architecture) for architecture in asked])
        accuracy = encodings @ gain + (encodings[:, 1:] * encodings[:, :-1]) @ pairs
        points = np.stack([-accuracy, encodings.sum(axis=1)], axis=1).astype(float)
        searcher.tell(asked, points, np.zeros(len(asked)))
        seen.update({a: point for a, point in zip(asked, points) if a in seen or len(seen) < evaluations})
    return float(moocore.hypervolume(np.array(list(seen.values())), ref=[0.0, 18.0]))


def evolution() -> Iterator[Claim]:
    """Check that NSGA-II finds a much better compromise than random search among 1,048,576 architectures."""
    space = bits(20)

    def compromise(make: Callable[..., Searcher], seed: int) -> float:
        task = problem(space)
        searcher = make(space, objectives=2, population=20, seed=seed, violation=task.exact_violation)
        found = search(searcher, task, Journal(None, {}), space=space, evaluations=300)
        return max(e.values["accuracy"] - e.values["macs"] / 2 for e in found)

    ours, random = (np.mean([compromise(make, seed) for seed in range(5)]) for make in (NSGA2, Random))
    yield Claim("nsga2: best compromise after 300 evaluations, against random search + 1", float(ours), random + 1)


def limits() -> Iterator[Claim]:
    """Check that searchers learn limits on what is measured: more of their candidates keep them than of random ones."""

    def feasible(name: str) -> float:
        space = bits(12)
        shares = []
        for seed in range(3):
            task = problem(space, accuracy=Bound(low=3))
            done = search(
                made(name, space, population=16, seed=seed), task, Journal(None, {}), space=space, evaluations=100
            )
            shares.append(np.mean([evaluation.status == "ok" for evaluation in done]))
        return float(np.mean(shares))

    random = feasible("random")
    for name in names():
        yield Claim(
            f"{name}: share that keeps a measured limit, against 1.4 times random", feasible(name), 1.4 * random
        )


def filters() -> Iterator[Claim]:
    """Check that a filter of proposals that scores by the truth saves a quarter of the evaluations or more."""
    for name in FILTERED:
        plain = np.median([_evaluations_to_optimum(name, False, seed) for seed in range(7)])
        ours = np.median([_evaluations_to_optimum(name, True, seed) for seed in range(7)])
        yield Claim(f"{name}: evaluations saved by a filter, against a quarter", float(1 - ours / plain), 0.25)


def _evaluations_to_optimum(name: str, filtered: bool, seed: int) -> int:
    """Return the evaluations until the optimum; all of them where it was not found."""
    space = bits(10)
    optimum = space.decode(np.array([0, 1] * 5))

    def accuracies(architectures) -> np.ndarray:
        return np.array([sum(a[bit] == optimum[bit] for bit in a) for a in architectures], dtype=float)

    searcher = made(name, space, objectives=1, seed=seed)
    searcher = Filtered(searcher, accuracies) if filtered else searcher
    seen: set[Architecture] = set()
    for _ in range(150):
        asked = searcher.ask()
        seen.update(asked)
        if optimum in asked:
            break
        searcher.tell(asked, -accuracies(asked)[:, None], np.zeros(len(asked)))
    return len(seen)


# ---- the surrogate --------------------------------------------------------------------------------------------------


def surrogate() -> Iterator[Claim]:
    """Check that 60 evaluations of the surrogate beat 180 of NSGA-II and random search, in the worst of four runs."""
    space = small_mobilenet_v3()
    losses, volume = _weighted(space)
    known = {"exact": {1: lambda encodings: losses(encodings)[:, 1]}, "evaluations": 60}

    def ours(seed: int) -> float:
        searcher = Surrogate(space, objectives=2, population=12, seed=seed, violation=no_limits, **known)
        return volume(_told(searcher, losses, 60, space))

    def theirs(make: Callable[..., Searcher], seed: int) -> float:
        searcher = make(space, objectives=2, population=20, seed=seed, violation=no_limits)
        return volume(_told(searcher, losses, 180, space))

    others = [theirs(make, seed) for make in (NSGA2, Random) for seed in range(4)]
    worst = min(ours(seed) for seed in range(4))
    yield Claim(
        "surrogate: worst hypervolume after 60 evaluations, against the best of others after 180", worst, max(others)
    )


def warm_start() -> Iterator[Claim]:
    """Check that an earlier search helps, whatever the unit of its losses."""
    space = small_mobilenet_v3()
    losses, volume = _weighted(space)
    generator = np.random.default_rng(4)
    rows = [space.sample(generator) for _ in range(150)]
    earlier = losses(np.stack([space.encode(a) for a in rows]))
    warm = [(a, (3 * loss + 100, cost)) for a, (loss, cost) in zip(rows, earlier)]
    exact = {1: lambda encodings: losses(encodings)[:, 1]}

    def final(seed: int, **options) -> float:
        searcher = Surrogate(
            space,
            objectives=2,
            population=12,
            seed=seed,
            violation=no_limits,
            inner_evaluations=400,
            exact=exact,
            initial=8,
            **options,
        )
        return volume(_told(searcher, losses, 20, space))

    ours = np.mean([final(seed, warm_start=warm) for seed in range(2)])
    cold = np.mean([final(seed) for seed in range(2)])
    yield Claim("surrogate: hypervolume after 20 evaluations and an earlier search, against a cold start", ours, cold)


def _weighted(space: Space) -> tuple[Losses, Callable[[np.ndarray], float]]:
    """Return losses of encodings (a random additive function with some interaction, and MACs), and their volume."""
    generator = np.random.default_rng(0)
    width = space.features(space.sample_encodings(1, generator)).shape[1]
    first, second = generator.normal(size=width), generator.normal(size=(width, 2)) / 4

    def losses(encodings: np.ndarray) -> np.ndarray:
        x = space.features(encodings)
        macs = space.costs(encodings)["macs"].astype(float)
        return np.stack([x @ first + (x @ second).prod(axis=1) - 5 * np.log1p(macs), macs], axis=1)

    sample = losses(space.sample_encodings(3000, np.random.default_rng(9)))
    low, high = sample.min(0), sample.max(0)
    return losses, lambda rows: float(moocore.hypervolume((rows - low) / (high - low), ref=np.full(2, 1.1)))


def _told(searcher: Searcher, losses: Losses, n: int, space: Space) -> np.ndarray:
    """Return the losses [n, K] of the first architectures that a searcher asks for."""
    seen: dict[Architecture, np.ndarray] = {}
    while len(seen) < n:
        asked = searcher.ask()
        rows = losses(np.stack([space.encode(architecture) for architecture in asked]))
        searcher.tell(asked, rows, np.zeros(len(asked)))
        seen |= dict(zip(asked, rows))
    return np.stack(list(seen.values())[:n])


# ---- several at the same time ---------------------------------------------------------------------------------------


class Rugged(Leading):
    """An accuracy to which every bit counts, and in which neighbours depend on each other."""

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        ones = np.array(list(architecture.values()))
        weights = 1 + np.arange(len(ones)) % 5
        return Estimate(float(ones @ weights - 2 * (ones[1:] * ones[:-1]).sum()))


def workers() -> Iterator[Claim]:
    """Check that eight workers of unequal speed find as much as one, within two deviations between seeds."""
    for name in ("nsga2", "surrogate"):
        alone = [_volume(_searched(name, seed, None)) for seed in range(3)]
        together = [_volume(_searched(name, seed, UNEQUAL)) for seed in range(3)]
        spread = max(np.std(alone), np.std(together), 0.01 * np.mean(alone))
        yield Claim(
            f"{name}: hypervolume by eight unequal workers, against one less two deviations",
            float(np.mean(together)),
            float(np.mean(alone) - 2 * spread),
        )


def _searched(name: str, seed: int, seconds: tuple[float, ...] | None) -> list[Evaluation]:
    space = bits(10)
    task = problem(space, Rugged())
    searcher = made(name, space, seed=seed, violation=task.exact_violation)
    evaluators = None if seconds is None else SimulatedWorkers(task.measured, seconds)
    return search(searcher, task, Journal(None, {}), space=space, evaluations=48, evaluators=evaluators)


def _volume(evaluations: list[Evaluation]) -> float:
    points = np.array([[-e.values["accuracy"], e.values["macs"]] for e in evaluations])
    return float(moocore.hypervolume(points, ref=[0, 11]))


CLAIMS: dict[str, Callable[[], Iterator[Claim]]] = {
    "fronts": fronts,
    "evolution": evolution,
    "limits": limits,
    "filter": filters,
    "surrogate": surrogate,
    "warm_start": warm_start,
    "workers": workers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"claims to check, joined by commas: {', '.join(CLAIMS)}")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(CLAIMS)
    table = Table("claim", "figure", "must exceed", "holds")
    found = [claim for name in chosen for claim in CLAIMS[name]()]
    for claim in found:
        table.add_row(claim.text, f"{claim.figure:.4g}", f"{claim.least:.4g}", "yes" if claim.holds else "NO")
    Console(width=140).print(table)
    sys.exit(not all(claim.holds for claim in found))


if __name__ == "__main__":
    main()
