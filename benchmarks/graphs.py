"""Networks for the nodes of a graph: published baselines, searches with equal evaluations, and ranks of a table.

    python -m benchmarks.graphs cora.npz baselines
    python -m benchmarks.graphs cora.npz search
    python -m benchmarks.graphs cora.npz ranking --table nb_graph_cora_citeseer.csv.gz

`baselines` trains GCN (16 units) and GAT (8 heads of 8) with ten seeds on the split of the file. The test accuracy is
that of the epoch, every twentieth of them, with the lowest loss on the validation nodes, as in the released code of
GraphNAS; nothing else looks at the test nodes. Published are 81.5 and 83.0 % on Cora, 70.9 and 72.5 % on CiteSeer.
About 2 minutes of one core.

`search` lets `conservative`, `nsga2` and `random` evaluate as many architectures of the space `gnn` each, within a
limit on multiply-accumulates; an evaluation trains a candidate from fresh weights, and gives its validation accuracy
at that epoch. The best five are trained again with three seeds, the best of these by validation with ten. `--shared`
also runs `conservative` with constrained weight sharing and a third of the epochs. By default 200 evaluations of 60
epochs and one seed of the search: about 20 minutes of one core for each searcher, and 10 for its answer.

`ranking` trains 100 random rows of NAS-Bench-Graph with the published settings as far as they are known (SGD, rate 0.1,
weight decay 5e-4, dropout 0.7), and prints Spearman's rank correlation of the validation and test accuracies with those
of the table, and of the parameters alone. About an hour of one core.

The same command goes on where an earlier one stopped; rows that exist are not made again.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

from benchmarks.relaxed_rows import Row, table
from nas import Bound, Estimate, Journal, Objective, Problem, Searcher, Table
from nas.alone_subnets import AloneSubnets
from nas.data import Data, DataConfig
from nas.data.graphs.graph_source import GraphSource
from nas.data.sources.planetoid import open_planetoid
from nas.objectives import costs_of
from nas.rank_agreement import spearman
from nas.retraining import train_from_scratch
from nas.search.loop import search
from nas.searchers import NSGA2, Conservative, Random
from nas.student_interval import student_half
from search_spaces import Architecture, Space
from search_spaces.families.gnn import gnn, tokens_of
from search_spaces.families.nasbench_graph import nasbench_graph
from supernets import Task, TrainConfig
from supernets.tasks.nodes import Nodes

BASELINES = {
    "gcn": ("gcn|sum|relu|1|16|gcn|sum|linear|1|0", 0.5, 0.01),
    "gat": ("gat|sum|elu|8|8|gat|sum|linear|1|0", 0.6, 0.005),
}
"""Name -> tokens, dropout and learning rate."""
SEARCHERS: Mapping[str, type[Searcher]] = {"conservative": Conservative, "nsga2": NSGA2, "random": Random}
HEADS, WIDTHS = (1, 2, 4, 6, 8), (4, 8, 16, 32, 64)
_ALL = 1 << 20  # more nodes than any batch has


def training(epochs: float, lr: float, weight_decay: float, optimizer: str = "adam") -> TrainConfig:
    """Return the settings of a training at a constant rate, as graph networks are trained."""
    return TrainConfig(
        epochs=epochs,
        batch_size=1_000_000,
        optimizer=optimizer,  # type: ignore[arg-type]
        lr=lr,
        lr_end=lr,
        momentum=0.9 if optimizer == "adam" else 0.0,
        nesterov=False,
        weight_decay=weight_decay,
        decayed="all",
        warmup_fraction=0.0,
        label_smoothing=0.0,
        clip_norm=None,
    )


@dataclass
class Followed:
    """What a training came to at the epoch that the validation nodes choose.

    Args:
        data: The data.
        task: Its task.
        tests: Whether the test nodes are judged at that epoch.
    """

    data: Data
    task: Task
    tests: bool
    epoch: int = 0
    chosen: int = -1
    validation: float = math.nan
    test: float = math.nan
    lowest: float = math.inf

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> dict[str, float]:
        (batch,) = self.data.validation.sequential(_ALL)
        accuracy = self.task.evaluate(network, [batch]).value
        loss = float(self.task.loss(network(*self.task.inputs(batch)), batch))
        if loss < self.lowest:
            self.lowest, self.validation, self.chosen = loss, accuracy, self.epoch
            if self.tests:
                self.test = self.task.evaluate(network, self.data.test.sequential(_ALL)).value
        self.epoch += 1
        return {"accuracy": accuracy}

    def row(self) -> dict[str, float]:
        """Return what is reported."""
        return {"validation": self.validation, "test": self.test, "look": self.chosen}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The graph, and how networks are trained on it.

    Args:
        arguments: Those of the command line.
        source: The graph.
        data: The graph, split.
    """

    arguments: argparse.Namespace
    source: GraphSource
    data: Data

    @property
    def task(self) -> Task:
        """The task of the data."""
        return Nodes(len(self.source.classes))

    def space(self, dropout: float = 0.6) -> Space:
        """Return the part of the space `gnn` that is searched; 16 heads and 128 features take minutes an epoch."""
        classes = len(self.source.classes)
        return gnn(graph=self.source.graph, classes=classes, dropout=dropout, heads=HEADS, widths=WIDTHS)

    def alone(
        self, space: Space, architecture: Architecture, config: TrainConfig, seed: int, *, tests: bool
    ) -> dict[str, float]:
        """Return what an architecture comes to when it is trained from fresh weights."""
        followed = Followed(self.data, self.task, tests)
        options: dict[str, Any] = {"task": self.task, "seed": seed, "validate": followed}
        train_from_scratch(space, architecture, self.data.train, config, **options)
        return followed.row()

    def row(self, name: str, seed: int, settings: Mapping[str, Any], make: Callable[[Row], dict[str, Any]]) -> dict:
        """Return a row, made once."""
        given = {"data": self.data.fingerprint, **settings}
        row = Row(output=self.arguments.output, name=name, seed=seed, settings=given)
        return row.made(lambda made, spent: make(made))

    # ---- baselines --------------------------------------------------------------------------------------------------

    def baselines(self) -> None:
        """Train GCN and GAT, and print their accuracies."""
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for name, (tokens, dropout, lr) in BASELINES.items():
            space = self.space(dropout)
            architecture = space.read_row({"tokens": tokens})
            rows[name] = self.seeds(name, space, architecture, training(self.arguments.epochs, lr, 5e-4), range(10))
        self.show("baselines", rows)

    def seeds(
        self, name: str, space: Space, architecture: Architecture, config: TrainConfig, seeds: Sequence[int] | range
    ) -> list[Mapping[str, Any]]:
        """Return the rows of an architecture trained with several seeds."""
        settings = {"architecture": architecture.key, "epochs": config.epochs, "lr": config.lr, "space": space.name}

        def make(row: Row) -> dict[str, Any]:
            return self.alone(space, architecture, config, row.seed, tests=True)

        return [self.row(name, seed, settings, make) for seed in seeds]

    def show(self, title: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Print means over seeds with intervals."""
        shown = table(f"{title}, {self.data.name}", "network", "validation [%]", "test [%]", "seeds", "processor [s]")
        for name, found in rows.items():
            columns = {key: np.array([row[key] for row in found]) for key in ("validation", "test", "processor_s")}
            half = float(student_half(columns["test"])) if len(found) > 1 else math.nan
            spread = f"{columns['test'].mean():.2f} ± {half:.2f}"
            numbers = (f"{columns['validation'].mean():.2f}", spread, str(len(found)))
            shown.add_row(name, *numbers, f"{columns['processor_s'].mean():.0f}")
        Console().print(shown)

    # ---- searches ---------------------------------------------------------------------------------------------------

    def searches(self) -> None:
        """Search with each searcher, train what it found, and print it."""
        rows = {}
        names = [*self.arguments.searchers, *(["conservative shared"] if self.arguments.shared else [])]
        for name in names:
            for seed in range(self.arguments.seeds):
                found = self.row(f"search-{name.replace(' ', '-')}", seed, self.settings(), self.searched(name, seed))
                space = self.space()
                best = self.answer(name, seed, [space.read_row({"tokens": one}) for one in found["best"]])
                title = f"{name}, seed {seed}: {tokens_of(best, classes=len(self.source.classes))}"
                rows[title] = self.seeds(f"final-{best.key}", space, best, self.final(), range(10))
        self.show(f"found with {self.arguments.evaluations} evaluations each", rows)

    def settings(self) -> dict[str, Any]:
        """Return what searches depend on."""
        given = self.arguments
        return {"evaluations": given.evaluations, "epochs": given.search_epochs, "macs": given.macs, "heads": HEADS}

    def final(self) -> TrainConfig:
        """Return the settings by which what was found is trained."""
        return training(self.arguments.epochs, 0.005, 5e-4)

    def searched(self, name: str, seed: int) -> Callable[[Row], dict[str, Any]]:
        """Return what makes the row of a search."""
        given, space = self.arguments, self.space()

        def make(row: Row) -> dict[str, Any]:
            shares = name.endswith("shared")
            epochs = given.search_epochs / (3 if shares else 1)
            objective = Trained(self, space, training(epochs, 0.01, 5e-4), row.folder if shares else None)
            costs = costs_of(space)
            problem = Problem([objective, *costs], ["accuracy"], {"macs": Bound(high=given.macs)})
            options = {"population": 20} if name in ("nsga2", "random") else {}
            searcher = SEARCHERS[name.split(maxsplit=1)[0]](  # type: ignore[call-arg]
                space, objectives=1, seed=seed, violation=problem.exact_violation, **options
            )
            journal = Journal(row.folder / "journal.jsonl", {"name": name, "seed": seed})
            done = search(searcher, problem, journal, space=space, evaluations=given.evaluations)
            ranked = sorted((one for one in done if one.status == "ok"), key=lambda one: -one.values["accuracy"])
            tokens = [tokens_of(one.architecture, classes=len(self.source.classes)) for one in ranked[: given.top]]
            return {"best": tokens, "validation": ranked[0].values["accuracy"], "evaluated": len(done)}

        return make

    def answer(self, name: str, seed: int, candidates: Sequence[Architecture]) -> Architecture:
        """Return the candidate with the highest mean validation accuracy over three seeds."""
        space, means = self.space(), []
        for candidate in candidates:
            rows = self.seeds(f"final-{candidate.key}", space, candidate, self.final(), range(3))
            means.append(np.mean([row["validation"] for row in rows]))
        return candidates[int(np.argmax(means))]

    # ---- ranks ------------------------------------------------------------------------------------------------------

    def ranking(self) -> None:
        """Train rows of NAS-Bench-Graph, and print how their accuracies agree with the table."""
        given = self.arguments
        space = nasbench_graph(graph=self.source.graph, classes=len(self.source.classes))
        read, name = Table.read(given.table, space), self.data.name
        chosen = np.random.default_rng(0).permutation(len(read))[: given.architectures]
        config = training(given.epochs, 0.1, 5e-4, optimizer="sgd")
        found: dict[str, list[float]] = {"validation": [], "test": []}
        for place in chosen.tolist():
            architecture = read.architectures[place]
            (row,) = self.seeds(f"table-{architecture.key}", space, architecture, config, [0])
            for split, values in found.items():
                values.append(row[split])
        params = space.costs([read.architectures[place] for place in chosen])["params"]
        shown = table(f"{len(chosen)} rows of the table, {name}", "ours", "validation, table", "test, table")
        published = {split: read.numbers(f"{split}_{name}")[chosen] for split in ("val", "test")}
        for title, ours in (*found.items(), ("parameters alone", params)):
            ranks = (f"{spearman(np.asarray(ours, float), published[split]):.3f}" for split in ("val", "test"))
            shown.add_row(title, *ranks)
        within = spearman(published["val"], published["test"])
        shown.add_row("the table with itself", f"validation with test: {within:.3f}", "")
        Console().print(shown)


class Trained(Objective):
    """The validation accuracy of a candidate that is trained from fresh weights, or from those of its kind.

    Args:
        comparison: Data and task.
        space: Space of the candidates.
        config: Settings of the training.
        folder: Folder of the weights that are shared; None for fresh ones.
    """

    name, unit, maximise, role, low, high = "accuracy", "%", True, "quality", 0.0, 100.0

    def __init__(self, comparison: Comparison, space: Space, config: TrainConfig, folder: Path | None) -> None:
        self.comparison, self.space, self.config = comparison, space, config
        self.shared: AloneSubnets | None = None
        if folder is not None:
            data, task = comparison.data, comparison.task
            self.shared = AloneSubnets(space, lambda: data.train, config, task, folder=folder / "alone", shares=True)

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        if self.shared is None:
            return Estimate(self.comparison.alone(self.space, architecture, self.config, 0, tests=False)["validation"])
        split = self.comparison.data.validation.sequential(_ALL)
        return self.comparison.task.evaluate(self.shared(architecture), split)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of a graph with its split, see docs/graphs.md")
    parser.add_argument("part", choices=("baselines", "search", "ranking"))
    parser.add_argument("--epochs", type=int, default=300, help="of networks that are reported")
    parser.add_argument("--searchers", nargs="+", choices=SEARCHERS, default=list(SEARCHERS))
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--search-epochs", type=int, default=60, help="of each candidate")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of each search")
    parser.add_argument("--top", type=int, default=5, help="candidates of a search that are trained again")
    parser.add_argument("--macs", type=float, default=6e7, help="largest number of multiply-accumulates")
    parser.add_argument("--shared", action="store_true", help="also with constrained weight sharing")
    parser.add_argument("--table", type=Path, help="NAS-Bench-Graph")
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("runs/graphs"))
    given = parser.parse_args()
    if given.part == "ranking" and given.table is None:
        parser.error("ranking needs --table")
    source = open_planetoid(DataConfig(source="planetoid", path=str(given.data)))
    comparison = Comparison(arguments=given, source=source, data=source.load(torch.device("cpu")))
    {"baselines": comparison.baselines, "search": comparison.searches, "ranking": comparison.ranking}[given.part]()


if __name__ == "__main__":
    main()
