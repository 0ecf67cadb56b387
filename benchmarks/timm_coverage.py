"""Which models of timm become elastic networks: one line of JSON for each, and a summary.

    python -m benchmarks.timm_coverage [first | second | random] [--names NAME ...] [--limit 200] [--result FILE]

`benchmarks.timm_names` says how the models are chosen. Each gets a process of its own, with 3 GB of memory (reserved) and 180 s
of processor time; models whose line is in the result already are left out. Weights are fresh, with noise on those that
start as constants, which would hide faults. A line says of a model:

* trace: groups by kind, blocks that can be skipped, depthwise kernels, sides of images that run, processor time.
* proof: error of the permutation test.
* subnets: whether the largest elastic network equals the model bit for bit; the largest difference of active and
  extracted networks over random subnets with widths, blocks, kernels and sides of their own; how much the outputs
  differ between two images, and between two subnets: nothing is compared where that is too small.
* space: the decisions of the space `timm:MODEL`, and costs that differ from those of `torch.utils.flop_counter`.
* onnx: how far the last of these subnets is from its ONNX file in ONNX Runtime, for other images and batches.
"""

import argparse
import json
import os
import random
import resource
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn

from benchmarks.timm_names import PARTS, names
from benchmarks.traced_costs import wrong
from benchmarks.traced_overhead import PARTS as WIDTHS
from nas.export.onnx import runtime
from nas.hardware.onnx_model import onnx_bytes
from search_spaces import Architecture, Space
from search_spaces.elastic import Size
from search_spaces.elastic.traced import ElasticGraph
from search_spaces.traced_spaces.choices import Choices
from search_spaces.traced_spaces.reading import Reading
from search_spaces.traced_spaces.sources import TimmModel, usual_side
from search_spaces.tracing import TOLERANCE, Traced, check_permutation, first_disagreement, trace

SUBNETS, COSTS = 5, 3
AGREE, AGREE_ONNX = 1e-5, 1e-3
CLASSES = 10
MEMORY = 3_000_000_000  # reserved, of which at most 2.5 GB are used
SECONDS = 180
Line = dict[str, Any]


@dataclass(frozen=True)
class ReadOnce(Reading):
    """The space of a model whose trace is there already."""

    known: Traced

    @property
    def traced(self) -> Traced:
        return self.known


@torch.no_grad()
def moved(network: nn.Module) -> nn.Module:
    """Return the network with noise on all scales, shifts and statistics, and on weights that start as constants."""
    for parameter in network.parameters():
        if parameter.dim() < 2 or float(parameter.std()) < 1e-3:
            parameter.add_(0.1 * torch.randn_like(parameter))
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(0.1 * torch.randn_like(buffer))
        if name.endswith("running_var"):
            buffer.mul_(0.5 + torch.rand_like(buffer))
    return network


def free(traced: Traced) -> tuple[ElasticGraph, dict[str, Size]]:
    """Return the elastic network in which every group, block and kernel has a decision of its own, and these."""
    groups = {
        group.name: Size(group.name, {part: max(1, group.size * part // len(WIDTHS)) for part in WIDTHS})
        for group in traced.groups
    }
    kernels = {
        kernel.node: Size(f"crop {kernel.node}", {size: size for size in range(3, kernel.size + 1, 2)})
        for kernel in traced.kernels
        if kernel.size % 2
    }
    blocks = {block.scope: (f"run {block.scope}", frozenset({1})) for block in traced.blocks}
    side = Size("resolution", {side: side for side in sorted(traced.literals)}) if len(traced.literals) > 1 else None
    graph = ElasticGraph(traced, groups=groups, blocks=blocks, kernels=kernels, resolution=side)
    with torch.no_grad():
        for name, parameter in graph.named_parameters():
            if name.startswith("kernel_transforms"):
                parameter.add_(0.05 * torch.randn_like(parameter))
    follow = [*groups.values(), *kernels.values(), *([side] if side else [])]
    runs = [Size(decision, {0: 0, 1: 1}) for decision, _ in blocks.values()]
    return graph.eval(), {size.decision: size for size in (*follow, *runs)}


def apart(one: Tensor, other: Tensor) -> float:
    """Return the largest difference, relative to the largest number; infinite where one is not finite."""
    scale = float(one.abs().max().clamp(min=torch.finfo(torch.float32).tiny))
    return float(((one - other).abs() / scale).nan_to_num(nan=torch.inf).max())


class Examination:
    """One model, step by step; each step returns its part of the line.

    Args:
        name: The model.
    """

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self.source = TimmModel(model=name, classes=CLASSES, channels=3, image_size=usual_side(name))
        self.traced: Traced
        self.plain: nn.Module
        self.side = self.source.image_size

    def trace(self) -> Line:
        """Trace the model at its own size of images, half of it and three quarters, in multiples of 32 pixels."""
        self.source.check()
        network = moved(self.source.module().eval())
        sides = tuple(max(32, int(self.side * part) // 32 * 32) for part in (0.5, 0.75))
        traced = self.traced = trace(network, self.source.example(), sides=sides)
        return {
            "groups": dict(Counter(group.kind for group in traced.groups)),
            "blocks": len(traced.blocks),
            "kernels": len(traced.kernels),
            "sides": list(traced.literals),
            "pins": dict(Counter(pin.reason for pin in traced.pins)),
        }

    def proof(self) -> Line:
        """Permute the units of all groups."""
        error = check_permutation(self.traced, torch.Generator().manual_seed(0))
        if error <= TOLERANCE:
            return {"permutation_error": error}
        return {"permutation_error": error, "at": first_disagreement(self.traced, torch.Generator().manual_seed(0))}

    @torch.no_grad()
    def subnets(self) -> Line:
        """Compare the largest with the model, and random active networks with extracted ones."""
        images = torch.randn(2, 3, self.side, self.side)
        wanted = self.traced.module(images)
        graph, decisions = free(self.traced)
        line: Line = {"largest_equal": torch.equal(graph(images), wanted), "subnets_differ": 0.0}
        draw, outputs, depends = random.Random(0), [wanted], apart(wanted[0], wanted[1])
        for _ in range(SUBNETS):
            setting = {name: draw.choice(list(size.values)) for name, size in decisions.items()}
            graph.activate(Architecture(setting))
            self.plain, self.side = graph.extract().eval(), int(setting.get("resolution", self.side))
            active = graph(images)
            line["subnets_differ"] = max(line["subnets_differ"], apart(active, self.plain(images)))
            depends = min(depends, apart(active[0], active[1]))
            outputs.append(active)
        between = [apart(one, other) for place, one in enumerate(outputs) for other in outputs[:place]]
        return line | {"images_differ": depends, "settings_differ": min(between)}

    def space(self) -> Line:
        """Make the space of the model, and compare its costs with counted ones."""
        reading = ReadOnce(self.source, Choices(resolutions=tuple(sorted(self.traced.literals))), self.traced)
        space = Space(name="timm", **reading.fields())
        decisions = Counter(decision.name.rpartition(".")[2] for decision in space.decisions)
        line: Line = {"decisions": dict(decisions), "costs_wrong": 0}
        differs = wrong(space, COSTS)
        if differs:
            first = differs[0]._replace(architecture=None)  # type: ignore[arg-type]
            line |= {"costs_wrong": len(differs), "first_wrong": first[:3]}
        return line

    @torch.no_grad()
    def onnx(self) -> Line:
        """Run the ONNX file of the last extracted network."""
        images = torch.randn(3, 3, self.side, self.side)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            path.write_bytes(onnx_bytes(self.plain, (images[:2],), dynamic_batch=True))
            run = runtime(path)
            return {"onnx_differs": max(apart(self.plain(part), run(part)) for part in (images, images[:1]))}


def examined(name: str) -> Iterator[Line]:
    """Yield what is said of one model, step by step; a step that fails is a part of it."""
    began = time.process_time()
    model = Examination(name)
    steps: tuple[Callable[[], Line], ...] = (model.trace, model.proof, model.subnets, model.space, model.onnx)
    for step in steps:
        part = step.__name__
        try:
            yield {**step(), f"{part}_s": round(time.process_time() - began, 1)}
        except Exception as error:  # A line for every model is what this is for.
            first = str(error).strip().partition("\n")[0]
            yield {f"{part}_failed": f"{type(error).__name__}: {first[:300]}"}
            if part in ("trace", "proof"):
                return
        began = time.process_time()


def in_a_process(name: str) -> Line:
    """Examine one model in a process of its own, and return its line."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        with os.fdopen(writer, "w") as pipe:
            limited(name, pipe)
        os._exit(0)
    os.close(writer)
    line: Line = {"name": name}
    with os.fdopen(reader) as pipe:
        for text in pipe:
            line |= json.loads(text)
    _, status, usage = os.wait4(child, 0)
    if os.WIFSIGNALED(status):
        line["stopped"] = signal.Signals(os.WTERMSIG(status)).name
    return line | {"memory_mb": usage.ru_maxrss // 1024, "cpu_s": round(usage.ru_utime + usage.ru_stime, 1)}


def limited(name: str, pipe: TextIO) -> None:
    """Write what is said of a model, within the limits."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 10))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(10 * SECONDS)
    for part in examined(name):
        pipe.write(json.dumps(part) + "\n")
        pipe.flush()


# ---- what it adds up to -------------------------------------------------------------------------------------------

DIMENSIONS = {
    "width": ("width", "ratio"),
    "heads": ("heads",),
    "depth": ("depth",),
    "kernels": ("kernel",),
    "resolution": ("resolution",),
}
"""Kind of elastic dimension -> last parts of the names of its decisions."""


def dimensions(line: Line) -> list[str]:
    """Return which kinds of elastic dimension the space of a model has."""
    return [kind for kind, parts in DIMENSIONS.items() if any(part in line.get("decisions", ()) for part in parts)]


def faults(line: Line) -> list[str]:
    """Return what a line lacks, for people."""
    found = [f"{key}: {line[key]}" for key in line if key.endswith("_failed") or key == "stopped"]
    if line.get("permutation_error", 0.0) > TOLERANCE:
        found.append(f"permutation error {line['permutation_error']:.2g} at {line.get('at')}")
    if not line.get("largest_equal", True):
        found.append("the largest is not equal to the model")
    differs = {"subnets_differ": AGREE, "onnx_differs": AGREE_ONNX}
    found += [f"{key} by {line[key]:.2g}" for key, most in differs.items() if line.get(key, 0.0) > most]
    found += [
        f"{key[:-7]}: outputs are the same" for key in ("images_differ", "settings_differ") if not line.get(key, 1)
    ]
    if line.get("costs_wrong"):
        found.append(f"{line['costs_wrong']} costs differ, such as {line['first_wrong']}")
    if "decisions" in line and len(dimensions(line)) < 2:
        found.append(f"only {dimensions(line)}")
    return found


def summary(lines: list[Line]) -> str:
    """Return counts over all lines, and the models that fall short."""
    proven = [line for line in lines if line.get("permutation_error", 1.0) <= TOLERANCE]
    two = sum(len(dimensions(line)) >= 2 for line in proven)
    said = [f"{len(lines)} models: {len(proven)} traced and proven, {two} with two elastic dimensions or more"]
    kinds = Counter(kind for line in proven for kind in dimensions(line))
    said.append("with " + ", ".join(f"{kind} {kinds[kind]}" for kind in DIMENSIONS))
    counts = {
        "largest equal": sum(line.get("largest_equal", False) for line in lines),
        f"{SUBNETS} subnets agree": sum(line.get("subnets_differ", 1.0) <= AGREE for line in lines),
        "costs equal": sum(line.get("costs_wrong", 1) == 0 for line in lines),
        "ONNX agrees": sum(line.get("onnx_differs", 1.0) <= AGREE_ONNX for line in lines),
    }
    said.append(", ".join(f"{name} {number}" for name, number in counts.items()))
    for key in ("permutation_error", "subnets_differ", "onnx_differs"):
        largest = max((line.get(key, 0.0) for line in lines), default=0.0)
        said.append(f"largest {key.replace('_', ' ')}: {largest:.1e}")
    seconds = [line["trace_s"] for line in lines if "trace_s" in line] or [0.0]
    said.append(f"trace: median {statistics.median(seconds)} s of processor time, longest {max(seconds)} s")
    return "\n".join([*said, *(f"  {line['name']}: {'; '.join(found)}" for line in lines if (found := faults(line)))])


def main() -> None:
    """Examine models and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=PARTS, default=PARTS[0])
    parser.add_argument("--names", nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--result", type=Path, default=Path("coverage.jsonl"))
    options = parser.parse_args()
    wanted = (options.names or names(options.part))[: options.limit]
    torch.set_num_threads(1)
    lines = [json.loads(text) for text in options.result.read_text().splitlines()] if options.result.exists() else []
    for name in wanted:
        if name not in {line["name"] for line in lines}:
            lines.append(in_a_process(name))
            with options.result.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    print(summary([line for line in lines if line["name"] in wanted]))


if __name__ == "__main__":
    main()
