"""What zero-cost proxies cost, and whether scores agree with published ones.

    python -m benchmarks.proxies speed [--batch 64] [--device cpu]
    python -m benchmarks.proxies published SCORES.csv

`speed` prints ratios to one plain forward and backward pass of the same batch, all measured in one run; the plain
pass is that of the faster memory format. `published` takes the output of `nas score --archs` on a table that has
published scores in columns named like proxies, and prints the rank correlation of both.
"""

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from nas.rank_agreement import kendall, spearman
from nas.scoring import scored_batch
from proxies import score, weight_layers
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import parse_cell
from service import catalogue
from service.job import proxies as job_proxies
from supernets.tasks import Classification

CELLS = {"all conv3x3": "x333333", "mixed": "x321304"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    timed = commands.add_parser("speed")
    timed.add_argument("--batch", type=int, default=64)
    timed.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    timed.add_argument("--repeats", type=int, default=5)
    compared = commands.add_parser("published")
    compared.add_argument("scores", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "speed":
        speed(arguments.batch, torch.device(arguments.device), arguments.repeats)
    else:
        published(arguments.scores)


# ---- speed --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ratios:
    """Seconds of a plain forward and backward pass, and other times beside it.

    Args:
        plain_s: The pass, in the faster memory format.
        gradsign: GradSign, in plain passes.
        loop: The loop that defines GradSign, in times of GradSign.
        all: All proxies together, in plain passes.
    """

    plain_s: float
    gradsign: float
    loop: float
    all: float


def speed(batch: int, device: torch.device, repeats: int) -> None:
    """Print ratios of GradSign, the loop that defines it, and all proxies together, to one plain pass."""
    count = len(catalogue.PROXIES)
    table = Table(title=f"batch {batch}, {device}, {torch.get_num_threads()} threads; medians of {repeats} rounds")
    for column in ("network", "plain pass ms", "gradsign / plain", "loop / gradsign", f"all {count} / plain"):
        table.add_column(column, justify="right")
    for name, cell in CELLS.items():
        found = ratios(cell, batch, device, repeats)
        figures = (f"{ratio:.2f}" for ratio in (found.gradsign, found.loop, found.all))
        table.add_row(name, f"{found.plain_s * 1e3:.0f}", *figures)
    Console().print(table)


def ratios(cell: str, batch: int, device: torch.device, repeats: int) -> Ratios:
    """Return what proxies of a network of NAS-Bench-201 take."""
    space = nasbench201()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, 32, 32, generator=generator).to(device)
    labels = torch.randint(0, 10, (batch,), generator=generator).to(device)
    proxies = {name: job_proxies.make(name, {}) for name in catalogue.PROXIES}
    model = space.subnet(space.architecture(parse_cell(cell))).to(device)
    last = space.subnet(space.architecture(parse_cell(cell))).to(device, memory_format=torch.channels_last)
    shown = images.contiguous(memory_format=torch.channels_last)
    seconds = _interleaved(
        {
            "contiguous": lambda: _plain(model, images, labels),
            "channels last": lambda: _plain(last, shown, labels),
            "gradsign": lambda: _scored(model, images, labels, ["gradsign"], proxies),
            "loop": lambda: loop(model, images, labels),
            "all": lambda: _scored(model, images, labels, list(proxies), proxies),
        },
        repeats,
        device,
    )
    plain = min(seconds["contiguous"], seconds["channels last"])
    return Ratios(
        plain_s=plain,
        gradsign=seconds["gradsign"] / plain,
        loop=seconds["loop"] / seconds["gradsign"],
        all=seconds["all"] / plain,
    )


def loop(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return GradSign as it is defined and was released: one forward and backward pass for each sample."""
    model.train()
    weights = list(weight_layers(model).values())
    total = torch.zeros(sum(w.numel() for w in weights), dtype=torch.int16, device=images.device)
    for i in range(len(images)):
        loss = F.cross_entropy(model(images[i : i + 1]), labels[i : i + 1])
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        flat = torch.cat([(torch.zeros_like(w) if g is None else g).flatten() for g, w in zip(gradients, weights)])
        total += flat.sign().to(torch.int16)
    return total.abs().sum()


def _plain(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    model.train().zero_grad(set_to_none=True)
    F.cross_entropy(model(images), labels).backward()


def _scored(model: nn.Module, images: Tensor, labels: Tensor, names: list[str], proxies: dict) -> None:
    score(model, scored_batch(Classification(), (images, labels)), {name: proxies[name] for name in names})


def _interleaved(runs: dict[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, float]:
    """Return the median seconds of each, measured in turns so that drift of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


# ---- published scores ---------------------------------------------------------------------------------------------


def published(path: Path) -> None:
    """Print the rank correlation of each published score with ours, and of both with the accuracy in the table."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = Table(title=f"{path.name}: {len(rows)} architectures")
    for column in ("proxy", "Spearman, ours with theirs", "Kendall", "ours with accuracy", "theirs with accuracy"):
        table.add_column(column, justify="right")
    accuracy = _numbers(rows, "val_accuracy")
    for name in [name for name in rows[0] if f"{name}_score" in rows[0]]:
        theirs, ours = _numbers(rows, name), _numbers(rows, f"{name}_score")
        kept = np.isfinite(theirs)
        figures = [spearman(ours[kept], theirs[kept]), kendall(ours[kept], theirs[kept])]
        figures += [spearman(scores, accuracy) for scores in (ours, theirs)]
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
    Console().print(table)


def _numbers(rows: list[dict[str, str]], column: str) -> np.ndarray:
    return np.array([float(row[column]) if row[column] else np.nan for row in rows])


if __name__ == "__main__":
    main()
