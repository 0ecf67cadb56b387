"""Networks and accelerators together (NASAIC): joint search against choosing one of both first, within the same limits.

    python -m benchmarks.codesign nb_macro_cifar10.csv.gz
    python -m benchmarks.codesign nb_macro_cifar10.csv.gz --images cifar10_train_jpeg.npz

Two networks of NAS-Bench-Macro for CIFAR-10 run on two sub-accelerators. The limits on cycles, energy and area are the
same quantile of each of these costs among random designs, mapped for the least energy. Every search judges as many
pairs of networks, by their mean accuracy:

    joint          NSGA-II on networks and hardware at once
    controller     REINFORCE on networks and hardware at once, as published
    random         random designs
    network_first  NSGA-II on the networks alone; then every hardware there is for the best pair
    hardware_first the hardware that most of 100 random pairs keep the limits on; then NSGA-II on the networks

For each: the best mean accuracy of what keeps all limits, and the share of designs that limits kept from being judged.
Qualities are the published accuracies of three trainings each, which is exact. With `--images`, a supernet of half the
width is trained for a few epochs, and gives them instead; then the published ones of what was found are shown as well.

Cost: 1 to 3 minutes of one core for each method and seed; with `--images` another 15 for the supernet, once, and up to
5 for each row. The same command goes on where an earlier one stopped.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Printed

from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, few_images
from nas import Table
from nas.objectives import Bound, Objective, costs_of
from nas.objectives.objective import Role
from nas.ranking import RankingImages, rank
from nas.search.journal import Evaluation, Journal
from nas.search.loop import search
from nas.search.problem import Problem
from nas.searchers import NSGA2, Random, Searcher
from nas.searchers.controller import Controller
from nas.student_interval import student_half
from search_spaces import Architecture, Space
from search_spaces.families.joined import joined
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.joined_parts import Part
from supernets import Supernet, TrainConfig
from supernets.estimate import Estimate

METHODS = ("joint", "controller", "random", "network_first", "hardware_first")
LIMITED = ("cycles", "energy_nj", "area_um2")
_DESIGNS, _PAIRS = 1000, 100
Qualities = Callable[[Architecture], float]


class MeanAccuracy(Objective):
    """Mean of the qualities of both networks."""

    name, unit, maximise = "mean_accuracy", "%", True
    role: Role = "quality"

    def __init__(self, qualities: Qualities) -> None:
        self.qualities = qualities

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return Estimate(float(np.mean([self.qualities(network) for network in networks_of(architecture)])))


class Refusals:
    """Exact violations, which remember the designs that break limits."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.refused = problem, set[bytes]()

    def __call__(self, encodings: np.ndarray) -> np.ndarray:
        outside = self.problem.exact_violation(encodings)
        self.refused.update(row.tobytes() for row in encodings[outside > 0])
        return outside


def networks_of(architecture: Mapping[str, Any]) -> list[Architecture]:
    """Return both networks of a design."""
    return [
        Architecture({name[5:]: value for name, value in architecture.items() if name.startswith(f"net{i}.")})
        for i in (1, 2)
    ]


@dataclass(frozen=True)
class Comparison:
    """Searches of one space within the same limits.

    Args:
        arguments: Of the command line.
        qualities: Accuracy of a network, by which searches judge.
        published: Its published accuracy.
    """

    arguments: argparse.Namespace
    qualities: Qualities
    published: Qualities

    @property
    def parts(self) -> dict[str, Part]:
        """The networks."""
        return {"net": Part(name="net", space=nasbench_macro(), times=2)}

    @cached_property
    def limits(self) -> dict[str, float]:
        """The limits: the same quantile of every cost among random designs."""
        free = joined(parts=self.parts)
        costs = free.costs(free.sample_encodings(_DESIGNS, np.random.default_rng(0)))
        return {name: float(np.quantile(costs[name], self.arguments.quantile)) for name in LIMITED}

    @cached_property
    def space(self) -> Space:
        """The space of designs, whose mapper knows the limit on cycles."""
        return joined(parts=self.parts, deadline_cycles=self.limits["cycles"])

    @cached_property
    def hardware(self) -> np.ndarray:
        """Every set of sub-accelerators within the limit on area, with the largest networks: encodings [N, D]."""
        base = self.space.encode(self.space.largest())
        start = next(i for i, one in enumerate(self.space.decisions) if one.name.startswith("accelerator"))
        counts = self.space.choice_counts[start:]
        one = [(0, 0, 0), *np.ndindex(*(int(counts[0]) - 1, *map(int, counts[1:3])))]
        kinds = [one[0], *((pes + 1, flow, rate) for pes, flow, rate in one[1:])]
        rows = [[*base[:start], *second, *first] for first, second in combinations_with_replacement(kinds, 2)]
        encodings = np.array(rows)
        pes = np.array([0, *range(256, 4097, 256)])[encodings[:, [start, start + 3]]].sum(axis=1)
        rates = np.where(encodings[:, [start, start + 3]] > 0, encodings[:, [start + 2, start + 5]] + 1, 0).sum(axis=1)
        there = encodings[(pes > 0) & (pes <= 4096) & (rates <= 8)]
        return there[joined(parts=self.parts).costs(there)["area_um2"] <= self.limits["area_um2"]]

    def problem(self, space: Space, *, limited: bool = True) -> Problem:
        """Return the problem of a search."""
        bounds = {name: Bound(None, limit) for name, limit in self.limits.items()} if limited else {}
        return Problem([MeanAccuracy(self.qualities), *costs_of(space)], ["mean_accuracy"], bounds)

    # ---- methods ----------------------------------------------------------------------------------------------------

    def row(self, method: str, seed: int) -> dict[str, Any]:
        """Return what a method finds with a seed."""
        given = self.arguments
        settings = {name: getattr(given, name) for name in ("evaluations", "population", "quantile", "epochs")}
        settings["images"] = str(given.images or "")
        return Row(output=given.output, name=method, seed=seed, settings=settings).made(self.found)

    def found(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Run one method."""
        if row.name == "network_first":
            return self._network_first(row.seed)
        space = self._with_best_hardware(row.seed) if row.name == "hardware_first" else self.space
        done, refusals = self._searched(row.name, space, row.seed)
        kept = [one for one in done if one.status == "ok"]
        best = max(kept, key=lambda one: one.values["mean_accuracy"], default=None)
        return self._described(None if best is None else best.architecture, len(done), len(refusals.refused))

    def _searched(self, method: str, space: Space, seed: int) -> tuple[list[Evaluation], Refusals]:
        problem = self.problem(space)
        refusals = Refusals(problem)
        searcher = self._searcher(method, space, seed, refusals)
        evaluations = self.arguments.evaluations
        return search(searcher, problem, Journal(None, {}), space=space, evaluations=evaluations), refusals

    def _searcher(
        self, method: str, space: Space, seed: int, violation: Callable[[np.ndarray], np.ndarray]
    ) -> Searcher:
        common: dict[str, Any] = {"objectives": 1, "population": self.arguments.population, "seed": seed}
        if method == "random":
            return Random(space, violation=violation, **common)
        if method == "controller":
            return Controller(space, objectives=1, seed=seed, violation=violation)
        return NSGA2(space, violation=violation, mutation="redrawn", **common)

    def _network_first(self, seed: int) -> dict[str, Any]:
        """Search the networks without limits, then all hardware for the best pair."""
        space = self.space.restrict(self._choices(self.space.largest()))
        problem = self.problem(space, limited=False)
        searcher = self._searcher("network_first", space, seed, lambda encodings: np.zeros(len(encodings)))
        done = search(searcher, problem, Journal(None, {}), space=space, evaluations=self.arguments.evaluations)
        best = max(done, key=lambda one: one.values["mean_accuracy"]).architecture
        rows = self.hardware.copy()
        networks = [i for i, one in enumerate(self.space.decisions) if one.name.startswith("net")]
        rows[:, networks] = self.space.encode(best)[networks]
        outside = self.problem(self.space).exact_violation(rows)
        return self._described(self.space.decode(rows[int(outside.argmin())]), len(done), 0)

    def _with_best_hardware(self, seed: int) -> Space:
        """Return the space with the hardware that most random pairs keep the limits on; of equal ones, with the least
        violation.
        """
        generator = np.random.default_rng(seed)
        networks = [i for i, one in enumerate(self.space.decisions) if one.name.startswith("net")]
        pairs = self.space.sample_encodings(_PAIRS, generator)[:, networks]
        problem = self.problem(self.space)
        few = self.hardware[generator.permutation(len(self.hardware))[: self.arguments.hardware]]
        scores = []
        for row in few:
            rows = np.repeat(row[None], len(pairs), axis=0)
            rows[:, networks] = pairs
            outside = problem.exact_violation(rows)
            scores.append((-(outside <= 0).sum(), outside.sum()))
        best = few[min(range(len(few)), key=scores.__getitem__)]
        return self.space.restrict(self._choices(self.space.decode(best)))

    def _choices(self, design: Architecture) -> dict[str, list[Any]]:
        """Return the hardware of a design as the only choice."""
        return {
            one.name: [design.get(one.name, one.choices[0])]
            for one in self.space.decisions
            if one.name.startswith("accelerator")
        }

    def _described(self, design: Architecture | None, judged: int, refused: int) -> dict[str, Any]:
        shown: dict[str, Any] = {"judged": judged, "refused": refused, "refused_share": refused / (judged + refused)}
        if design is None:
            return {**shown, "meets": False, "accuracy": None}
        costs = self.space.costs([design])
        values = {name: int(costs[name][0]) for name in LIMITED}
        networks = networks_of(design)
        return {
            **shown,
            "meets": all(values[name] <= limit for name, limit in self.limits.items()),
            "accuracy": round(float(np.mean([self.qualities(one) for one in networks])), 3),
            "published": round(float(np.mean([self.published(one) for one in networks])), 3),
            **values,
            "design": design.to_json(),
        }


def published(path: Path) -> Qualities:
    """Return the accuracies of a table."""
    table = Table.read(path, nasbench_macro())
    percent = dict(zip(table.architectures, map(float, table.cells["mean_acc"])))
    return lambda network: percent[network]


def inherited(given: argparse.Namespace) -> Qualities:
    """Return the accuracies that a small supernet of the same decisions gives on validation images."""
    data = few_images(given.images, given.train_images, 16, given.output)
    space = nasbench_macro(width=16, head_width=256, image_size=16)
    config = TrainConfig(epochs=given.epochs, batch_size=128)
    settings = {"data": data.fingerprint, "epochs": given.epochs}
    row = Row(output=given.output, name="supernet", seed=0, settings=settings)
    row.folder.mkdir(parents=True, exist_ok=True)
    spent = Processor(row.folder / "processor_s.json")
    supernet = row.trained(lambda: Supernet(space), config, data.train, spent)
    images = RankingImages.of(data.validation.sequential(250), device=torch.device("cpu"))  # type: ignore[arg-type]
    known: dict[Architecture, float] = {}

    def quality(network: Architecture) -> float:
        if network not in known:
            known[network] = float(rank(supernet, [network], images)[0])
        return known[network]

    return quality


def show(rows: Sequence[Mapping[str, Any]], comparison: Comparison) -> None:
    """Print what every method comes to, over its seeds."""
    limits = ", ".join(f"{name} <= {limit:,.0f}" for name, limit in comparison.limits.items())
    printed = Printed("method", "meets", "accuracy %", "published %", "refused", "cycles", "nJ", "um2", title=limits)
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        with_design = [row for row in own if row["accuracy"] is not None]
        cells = [f"{sum(row['meets'] for row in own)}/{len(own)}"]
        for name in ("accuracy", "published"):
            cells.append(_mean([row[name] for row in with_design]))
        cells.append(f"{100 * np.mean([row['refused_share'] for row in own]):.0f} %")
        cells += [f"{np.mean([row[name] for row in with_design]):,.0f}" if with_design else "" for name in LIMITED]
        printed.add_row(method, *cells)
    Console(width=120).print(printed)


def _mean(values: Sequence[float]) -> str:
    """Return a mean with Student's 95 % interval."""
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else ""
    return f"{np.mean(values):.2f} ± {float(student_half(np.array(values))):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="csv of NAS-Bench-Macro")
    parser.add_argument("--images", type=Path, help="npz of CIFAR-10's training images, those for test beside it")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--evaluations", type=int, default=300, help="pairs of networks that a search judges")
    parser.add_argument("--population", type=int, default=20)
    parser.add_argument("--quantile", type=float, default=0.3, help="share of random designs that keep each limit")
    parser.add_argument("--hardware", type=int, default=50, help="sets of sub-accelerators that hardware_first tries")
    parser.add_argument("--train-images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=8, help="of the supernet")
    parser.add_argument("--output", type=Path, default=Path("runs/codesign"))
    given = parser.parse_args()
    true = published(given.table)
    comparison = Comparison(given, inherited(given) if given.images else true, true)
    show([comparison.row(method, seed) for seed in given.seeds for method in given.methods], comparison)


if __name__ == "__main__":
    main()
