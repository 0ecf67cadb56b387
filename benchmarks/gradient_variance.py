"""Variance of the gradient of one training step, under uniform sampling and under PA&DA's.

    python -m benchmarks.gradient_variance CIFAR10_TRAIN.npz [--epochs 20] [--at 2,5,10,15,19] [--draws 200]

A small NAS-Bench-201 supernet is trained with PA&DA on some CIFAR-10 images. At the end of chosen epochs its weights
are held still, and gradients of single steps are drawn: path and batch by the distributions for the next epoch, by one
of the two, or uniformly. The variance is the total one, E|g|^2 - |E g|^2 over all shared weights, before clipping;
weights that a path does not use have gradient zero. Printed are ratios to uniform with bootstrap 95 % intervals.
`weighted` multiplies losses by (uniform probability / probability), which makes the mean gradient that of uniform
sampling; as published there are no such weights, and means differ. So a second table has the ratios of the variance to
the squared norm of the mean gradient of the same kind: noise to signal.

With `--trainings N` every kind trains supernets of its own, with N seeds, and the variance of the steps that each takes
then is compared at the same epochs: means of the ratios, with Student's 95 % intervals over seeds.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nas.data import DataConfig, load_data
from nas.student_interval import student_half
from search_spaces import Architecture
from search_spaces.families.nasbench201 import nasbench201
from supernets import Classification, Processes, Supernet
from supernets.samplers import PathAdaptive, Uniform
from supernets.training.example_importance import ExampleImportance

KINDS = ("uniform", "path", "data", "path and data")
CLIP_NORM = 5.0
TASK = Classification()
RESAMPLES = 1000
Measure = Callable[[np.ndarray, np.ndarray], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of JPEG bytes, or its folder")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--at", default="2,5,10,15,19", help="epochs at whose end the variance is measured")
    parser.add_argument("--draws", type=int, default=200, help="gradients of each kind")
    parser.add_argument("--images", type=int, default=5000, help="training images")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trainings", type=int, help="seeds, of which every kind trains a supernet of its own")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    chosen = {int(epoch) for epoch in arguments.at.split(",")}
    if arguments.trainings:
        Console(width=120).print(*compare_trainings(arguments, chosen), sep="\n")
        return
    training = make_training(arguments, "path and data", arguments.seed)
    console, tables = Console(width=180), {name: _table(f"{name}, divided by that of uniform") for name in MEASURES}
    for epoch, tau in training.epochs(arguments.epochs):
        if epoch in chosen:
            drawn = measured(training, arguments.draws, (arguments.seed, epoch))
            console.print(f"epoch {epoch}: {', '.join(f'{name} {row[0]}' for name, row in drawn.items())}")
            for name, row in drawn.items():
                tables[name].add_row(str(epoch), f"{tau:.2f}", *row)
    for table in tables.values():
        console.print(table)


def _table(title: str) -> Table:
    table = Table(title=f"{title}, 95 % intervals")
    for heading in ("epoch", "tau", "uniform", *KINDS[1:], *(f"{kind}, weighted" for kind in KINDS[1:])):
        table.add_column(heading, justify="right")
    return table


# ---- the training -------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Training:
    """A training of a supernet on images that lie on its device, with PA&DA or a part of it.

    Attributes:
        kind: Which distributions leave the uniform one, of `KINDS`.
        supernet: Trained in place.
        images: [N, C, H, W].
        labels: [N].
        batch: Images of one step.
        path: Draws architectures.
        examples: Draws images.
        lr: Peak of the cosine.
        seed: Seed of paths.
    """

    kind: str
    supernet: Supernet
    images: Tensor
    labels: Tensor
    batch: int
    path: PathAdaptive
    examples: ExampleImportance
    lr: float
    seed: int

    def epochs(self, epochs: int) -> Iterator[tuple[int, float]]:
        """Train; yield (epoch, tau) when an epoch is over and the distributions for the next one are there."""
        steps = len(self.labels) // self.batch
        weights = list(self.supernet.parameters())
        optimizer = torch.optim.SGD(weights, lr=self.lr, momentum=0.9, weight_decay=2.5e-4, foreach=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
        self.supernet.train()
        for epoch in range(epochs):
            generator, order = np.random.default_rng((self.seed, epoch)), self.examples.order(epoch)
            for step in range(steps):
                chosen = order[step * self.batch : (step + 1) * self.batch].to(self.labels.device)
                architectures = self.path.draw(generator)
                self.supernet.activate(architectures[0])
                logits = self.supernet(self.images[chosen])
                F.cross_entropy(logits, self.labels[chosen]).backward()
                torch.nn.utils.clip_grad_norm_(weights, CLIP_NORM)
                self.path.observe(architectures, self.supernet.network)
                self.examples.record(TASK.output_errors(logits, (logits, self.labels[chosen])))
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                schedule.step()
            tau = epoch / epochs
            if "path" in self.kind:
                self.path.end_epoch(tau)
            if "data" in self.kind:
                self.examples.end_epoch(epoch, tau)
            yield epoch, tau


def make_training(arguments: argparse.Namespace, kind: str, seed: int) -> Training:
    """Return the training of a kind that a command line asks for."""
    device = torch.device(arguments.device)
    config = DataConfig(source="npz", path=str(arguments.data), image_size=arguments.image_size)
    split = load_data(config, device=device).train.subset(arguments.images, seed=seed)
    batches = list(split.sequential(500))
    images, labels = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    space = nasbench201(
        width=arguments.width, cells=arguments.cells, image_size=arguments.image_size, shared_affine=False
    )
    torch.manual_seed(seed)
    supernet = Supernet(space).to(device).to(memory_format=torch.channels_last)
    examples = ExampleImportance(
        count=len(labels),
        batch_size=arguments.batch,
        seed=seed,
        weighted=False,
        processes=Processes(),
        device=device,
    )
    return Training(
        kind=kind,
        supernet=supernet,
        images=images.contiguous(memory_format=torch.channels_last),
        labels=labels,
        batch=arguments.batch,
        path=PathAdaptive(space=space),
        examples=examples,
        lr=arguments.lr,
        seed=seed,
    )


# ---- the variance -------------------------------------------------------------------------------------------------


def measured(training: Training, draws: int, entropy: tuple[int, int]) -> dict[str, list[str]]:
    """Return each measure under uniform sampling, then its ratio for each other kind, without and with weights."""
    uniform = products(training, "uniform", draws, weighted=False, entropy=entropy)
    ones = np.ones(draws)
    rows = {name: [f"{measure(uniform, ones):.4g}"] for name, measure in MEASURES.items()}
    for weighted in (False, True):
        for kind in KINDS[1:]:
            other = products(training, kind, draws, weighted=weighted, entropy=entropy)
            for name, measure in MEASURES.items():
                value, low, high = ratio(measure, other, uniform, np.random.default_rng(entropy))
                rows[name].append(f"{value:.2f} [{low:.2f}, {high:.2f}]")
    return rows


def compare_trainings(arguments: argparse.Namespace, chosen: set[int]) -> list[Table]:
    """Return each measure in the own training of each kind, as a ratio to uniform sampling with the same seed."""
    found: dict[tuple[str, str, int], list[float]] = {}
    for seed, kind in product(range(arguments.trainings), KINDS):
        training = make_training(arguments, kind, seed)
        for epoch, _ in training.epochs(arguments.epochs):
            if epoch in chosen:
                inner = products(training, "path and data", arguments.draws, weighted=False, entropy=(seed, epoch))
                for name, measure in MEASURES.items():
                    found.setdefault((name, kind, epoch), []).append(measure(inner, np.ones(len(inner))))
    tables = []
    for name in MEASURES:
        table = Table(title=f"{name} in its own training, divided by that of uniform")
        for heading in ("epoch", *KINDS):
            table.add_column(heading, justify="right")
        for epoch in sorted(chosen):
            uniform = np.array(found[name, "uniform", epoch])
            ratios = [np.array(found[name, kind, epoch]) / uniform for kind in KINDS[1:]]
            table.add_row(str(epoch), f"{uniform.mean():.4g}", *(over_seeds(r) for r in ratios))
        tables.append(table)
    return tables


def over_seeds(ratios: np.ndarray) -> str:
    """Return the geometric mean of positive ratios [K] with its 95 % interval."""
    logs = np.log(ratios)
    reach = student_half(logs) if len(logs) > 1 else np.nan
    low, high = np.exp(logs.mean() - reach), np.exp(logs.mean() + reach)
    return f"{np.exp(logs.mean()):.2f} [{low:.2f}, {high:.2f}]"


def products(training: Training, kind: str, draws: int, *, weighted: bool, entropy: tuple[int, int]) -> np.ndarray:
    """Return the inner products [K, K] of K gradients of single steps."""
    generator = np.random.default_rng((*entropy, KINDS.index(kind), int(weighted)))
    gradients = torch.stack([gradient(training, kind, weighted, generator) for _ in range(draws)])
    return (gradients @ gradients.T).double().cpu().numpy()


def gradient(training: Training, kind: str, weighted: bool, generator: np.random.Generator) -> Tensor:
    """Return the gradient of one step by all weights of the supernet, joined into one vector."""
    supernet, device = training.supernet, training.labels.device
    paths = training.path if "path" in kind else Uniform(space=supernet.space, subnets=1)
    architecture = paths.draw(generator)[0]
    p = training.examples.probabilities if "data" in kind else None
    chosen = generator.choice(len(training.labels), training.batch, p=p)
    supernet.activate(architecture)
    index = torch.from_numpy(chosen).to(device)
    losses = F.cross_entropy(supernet(training.images[index]), training.labels[index], reduction="none")
    if weighted and p is not None:
        losses = losses * torch.from_numpy(1 / (len(p) * p[chosen])).float().to(device)
    loss = losses.mean() * (path_weight(training.path, architecture) if weighted and "path" in kind else 1.0)
    weights = list(supernet.parameters())
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return torch.cat([(torch.zeros_like(w) if g is None else g).flatten() for w, g in zip(weights, found)])


def path_weight(path: PathAdaptive, architecture: Architecture) -> float:
    """Return the uniform probability of an architecture over its own; all edges of this space share one."""
    (probabilities,) = path.probabilities.values()
    choices = path.space.decisions[0].choices
    return float(np.prod([1 / (len(choices) * probabilities[choices.index(c)]) for c in architecture.values()]))


def variance(inner: np.ndarray, counts: np.ndarray) -> float:
    """Return the total variance of gradients that count so often [K], from their inner products [K, K]."""
    total = counts.sum()
    mean_square = (counts * np.diag(inner)).sum() / total
    return float((mean_square - counts @ inner @ counts / total**2) * total / (total - 1))


def noise_to_signal(inner: np.ndarray, counts: np.ndarray) -> float:
    """Return the variance in parts of the squared norm of the mean."""
    return variance(inner, counts) / float(counts @ inner @ counts / counts.sum() ** 2)


MEASURES = {"variance": variance, "noise to signal": noise_to_signal}


def ratio(
    measure: Measure, other: np.ndarray, uniform: np.ndarray, generator: np.random.Generator
) -> tuple[float, float, float]:
    """Return the ratio of a measure of two sets of gradients with the ends of its bootstrap interval."""
    drawn = []
    for _ in range(RESAMPLES):
        counts = [np.bincount(generator.integers(len(g), size=len(g)), minlength=len(g)) for g in (other, uniform)]
        drawn.append(measure(other, counts[0]) / measure(uniform, counts[1]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return measure(other, np.ones(len(other))) / measure(uniform, np.ones(len(uniform))), float(low), float(high)


if __name__ == "__main__":
    main()
