"""Overheads, each as a ratio measured in one run.

    python -m benchmarks.overhead [supernet | search | data | costs]

* supernet: a training step at a fixed architecture, against the same step of the extracted plain network.
* search: 10,000 NSGA-II evaluations of a free objective, journal included.
* data: one augmented CIFAR-10 batch, against a training step on it.
* costs: exact costs of 100,000 random Once-for-All architectures.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nas.data import DeviceImages
from nas.data.images.augment import Augmentation, Normalisation
from nas.objectives import Objective, Role, costs_of
from nas.search.journal import Journal
from nas.search.loop import search
from nas.search.pareto import pareto_front
from nas.search.problem import Problem
from nas.searchers import NSGA2
from search_spaces import Architecture
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3, small_mobilenet_v3
from supernets import Supernet
from supernets.estimate import Estimate

BATCH = 128
ROUNDS = 15
CIFAR10_RECIPE = small_mobilenet_v3(
    stem_stride=2,
    stem_width=24,
    first_width=24,
    stage_widths=(32, 64, 128),
    strides=(1, 2, 2),
    depths=(1, 2),
    kernels=(3, 5),
    last_width=192,
)


def step_of(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """Run one SGD step on a batch."""
    network.to(memory_format=torch.channels_last).train()
    parameters = list(network.parameters())
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=3e-5, foreach=True)

    def step() -> None:
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def paired_seconds(first: Callable[[], None], second: Callable[[], None], rounds: int = ROUNDS) -> np.ndarray:
    """Return the seconds [rounds, 2] of two functions run in turn, after two warm-up rounds."""
    times = np.zeros((rounds + 2, 2))
    for row in times:
        for column, function in enumerate((first, second)):
            start = time.perf_counter()
            function()
            row[column] = time.perf_counter() - start
    return times[2:]


def report(name: str, times: np.ndarray) -> None:
    """Print the medians and the ratio with its quartiles."""
    ratios = times[:, 0] / times[:, 1]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    a, b = 1e3 * np.median(times, axis=0)
    print(f"{name:42s} {a:8.1f} ms / {b:8.1f} ms   ratio {middle:.3f}  (quartiles {low:.3f} to {high:.3f})")


def supernet() -> None:
    """Compare a supernet step with a plain step, on the CIFAR-10 recipe's space and on the default small one."""
    spaces = {"default space": small_mobilenet_v3(), "cifar10 recipe": CIFAR10_RECIPE}
    images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,))
    for space_name, space in spaces.items():
        middle = space.sample(np.random.default_rng(3))
        named = {"largest": space.largest(), "random": middle, "smallest": space.smallest()}
        for name, architecture in named.items():
            whole = Supernet(space)
            plain = whole.extract(architecture)
            report(
                f"{space_name}, {name}", paired_seconds(step_of(whole, images, labels), step_of(plain, images, labels))
            )


class Free(Objective):
    """An accuracy that costs nothing to compute."""

    name, unit, maximise = "accuracy", "%", True
    role: Role = "quality"

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return Estimate(sum(hash((name, value)) % 100 for name, value in architecture.items()) / 100)


def search_overhead(evaluations: int = 10_000) -> None:
    """Time of a search whose objective is free."""
    space = ofa_mobilenet_v3()
    problem = Problem([*costs_of(space), Free()], ["accuracy", "macs"], {})
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.jsonl", {"space": space.name})
        start = time.perf_counter()
        searcher = NSGA2(space, objectives=2, population=100, seed=0, violation=problem.exact_violation)
        done = search(searcher, problem, journal, space=space, evaluations=evaluations)
        seconds = time.perf_counter() - start
        journal.close()
    front = pareto_front(done, problem.directions)
    print(
        f"{len(done):,} evaluations in {seconds:.2f} s, {1e3 * seconds / len(done):.3f} ms each; front of {len(front)}"
    )


def data() -> None:
    """Compare an augmented CIFAR-10 batch with the training step of the largest and a random subnet of the recipe."""
    cpu = torch.device("cpu")
    pixels = torch.randint(0, 256, (10_000, 32, 32, 3), dtype=torch.uint8)
    normalisation = Normalisation((0.49, 0.48, 0.45), (0.25, 0.24, 0.26), 32, cpu)
    split = DeviceImages(
        pixels, torch.randint(0, 10, (10_000,)), normalisation, Augmentation(flip=True, crop_padding=4)
    )
    images, labels = next(split.batches(BATCH, epoch=0, seed=0))
    loader = split.batches(BATCH, epoch=9, seed=0)
    space = small_mobilenet_v3(
        stem_stride=2, stage_widths=(32, 64, 128), strides=(1, 2, 2), depths=(1, 2), kernels=(3, 5)
    )
    for name, architecture in {"largest": space.largest(), "smallest": space.smallest()}.items():
        network = Supernet(space)
        network.activate(architecture)
        report(f"data / step of the {name}", paired_seconds(lambda: next(loader), step_of(network, images, labels)))


def costs(n: int = 100_000) -> None:
    """Time the exact costs of random architectures."""
    space = ofa_mobilenet_v3()
    encodings = space.sample_encodings(n, np.random.default_rng(0))
    start = time.perf_counter()
    space.costs(encodings)
    print(f"{n:,} architectures costed in {time.perf_counter() - start:.3f} s")


BENCHMARKS = {"supernet": supernet, "search": search_overhead, "data": data, "costs": costs}


def main() -> None:
    chosen = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    for name in chosen:
        print(f"-- {name}")
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
