"""What the elastic network of a trace costs beside the network itself, each as a ratio measured in one run.

    python -m benchmarks.traced_overhead [--model resnet50] [--image-size 160] [--batch-size 8] [--rounds 15]

* forward: the largest elastic network in evaluation mode, against the network's own forward.
* step: a training step of the largest, against one of the network.
* small step: a training step of the smallest, against one of its extracted plain network.
* memory: the peak of a training step above what was there before it, against that of the network. On CUDA it is the
  peak of the allocator, else that of a process of its own for each.
* activation: the time to change to a random architecture, and to one that was seen before.
"""

import argparse
import random
import resource
import time
from collections.abc import Callable
from multiprocessing import get_context

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.overhead import paired_seconds, report
from search_spaces.elastic import Size
from search_spaces.elastic.traced import ElasticGraph
from search_spaces.tracing import Traced, trace

PARTS = (1, 2, 3, 4)
ACTIVATIONS = 200


def elastic(traced: Traced) -> ElasticGraph:
    """Return the elastic network of a trace in which every group and every block has a decision of its own."""
    groups = {
        group.name: Size(group.name, {part: max(1, group.size * part // 4) for part in PARTS})
        for group in traced.groups
    }
    blocks = {block.scope: (f"run {block.scope}", frozenset({1})) for block in traced.blocks}
    return ElasticGraph(traced, groups=groups, blocks=blocks)


def setting(traced: Traced, draw: random.Random) -> dict[str, int]:
    """Return a random setting of that network."""
    widths = {group.name: draw.choice(PARTS) for group in traced.groups}
    return widths | {f"run {block.scope}": draw.choice((0, 1)) for block in traced.blocks}


def made(options: argparse.Namespace) -> tuple[nn.Module, Tensor]:
    """Return the network with fresh weights, and a batch for it."""
    torch.manual_seed(0)
    sized = {"img_size": options.image_size} if "vit" in options.model else {}
    network = timm.create_model(options.model, **sized).eval().to(options.device)
    side = options.image_size
    return network, torch.randn(options.batch_size, 3, side, side, device=options.device)


def step_of(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """Return one SGD step on a batch."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, foreach=True)
    labels = torch.arange(len(images), device=images.device)

    def step() -> None:
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if images.is_cuda:
            torch.cuda.synchronize()

    return step


def forward_of(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """Return one forward pass in evaluation mode."""
    network.eval()

    def forward() -> None:
        with torch.inference_mode():
            network(images)
        if images.is_cuda:
            torch.cuda.synchronize()

    return forward


def peak_bytes(options: argparse.Namespace, is_elastic: bool) -> int:
    """Return how much a training step needs at its peak above what was there before the first one."""
    network, images = made(options)
    model = elastic(trace(network, (images[:1],))) if is_elastic else network
    step = step_of(model, images)
    if images.is_cuda:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    step()
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def activation_ms(network: ElasticGraph, traced: Traced) -> tuple[np.ndarray, np.ndarray]:
    """Return the milliseconds of changes to settings not seen before, and of those back to seen ones."""
    draw = random.Random(0)
    settings = [setting(traced, draw) for _ in range(ACTIVATIONS)]
    times = np.zeros((2, ACTIVATIONS))
    for row in times:
        for place, one in enumerate(settings):
            start = time.perf_counter()
            network.activate(one)
            row[place] = 1e3 * (time.perf_counter() - start)
    return times[0], times[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        ours, theirs = (pool.apply(peak_bytes, (options, is_elastic)) for is_elastic in (True, False))
    print(f"{options.model}, {options.batch_size} images of {options.image_size} px on {options.device}")
    sizes = f"{ours / 2**20:8.1f} MiB / {theirs / 2**20:7.1f} MiB"
    print(f"{'memory of a step, largest':42s} {sizes}  ratio {ours / theirs:.3f}")
    original, images = made(options)
    network, _ = made(options)
    traced = trace(network, (images[:1],))
    model = elastic(traced)
    report("forward, largest", paired_seconds(forward_of(model, images), forward_of(original, images), options.rounds))
    report("step, largest", paired_seconds(step_of(model, images), step_of(original, images), options.rounds))
    first, again = activation_ms(model, traced)
    for name, times in (("new", first), ("seen", again)):
        low, middle, high = np.quantile(times, (0.25, 0.5, 0.99))
        print(f"activation, {name:30s} {middle:8.2f} ms  (quartile {low:.2f}, 99 % {high:.2f})")
    model.activate({group.name: 1 for group in traced.groups})
    plain = model.extract()
    report("step, smallest", paired_seconds(step_of(model, images), step_of(plain, images), options.rounds))


if __name__ == "__main__":
    main()
