"""Which models of timm become elastic networks: one line of JSON for each, and a summary.

    python -m benchmarks.timm_coverage [first | second | random] [--limit 200] [--steps STEP ...] [--result FILE]

`benchmarks.timm_names` says how the models are chosen; `--names NAME ...` are others. Each gets a process of its own,
with 2.5 GB of memory and 180 s of processor time. Steps that the result has already are left out. Weights are
fresh, with noise on those that start as constants, which would hide faults; batch norms have measured statistics. A few
large models are made with three blocks only. A line says of a model:

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
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TextIO

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

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
VISIBLE = 1e-6  # what differs less, relative to the largest number, is lost in rounding
CLASSES = 10
MEMORY = 2_500_000_000
SECONDS = 180
LARGE = ("beit_base", "deepseek_vit_412m", "gemma4_vit_167m", "qwen3_vit_88m", "samvit_base", "naflexvit_base")
"""Beginnings of names of models that need more memory; they are made with a few blocks."""
BLOCKS = 3
STEPS = ("trace", "proof", "subnets", "space", "onnx")
Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Short(TimmModel):
    """A model of a few blocks only."""

    def _created(self, image_size: int, **given: Any) -> nn.Module:
        return super()._created(image_size, depth=BLOCKS, **given)


@dataclass(frozen=True)
class ReadOnce(Reading):
    """The space of a model whose trace is there already."""

    known: Traced

    @property
    def traced(self) -> Traced:
        return self.known


@torch.no_grad()
def moved(network: nn.Module, side: int) -> nn.Module:
    """Return the network with noise on scales, shifts and other constants, and statistics of what it computes."""
    for parameter in network.parameters():
        if parameter.dim() < 2 or float(parameter.std()) < 1e-3:
            parameter.add_(0.1 * torch.randn_like(parameter))
    if not any(isinstance(layer, _BatchNorm) for layer in network.modules()):
        return network
    measured = deepcopy(network)  # a network that has run once may hold on to what it made for these images
    for norm in measured.modules():
        if isinstance(norm, _BatchNorm):
            norm.momentum = None
            norm.train()
    measured(pictures(4, side))
    network.load_state_dict({n: b for n, b in measured.state_dict().items() if ".running_" in n}, strict=False)
    return network


def pictures(number: int, side: int) -> Tensor:
    """Return coarse patterns with some noise [N, 3, side, side]: images of noise alone all look the same."""
    coarse = F.interpolate(2 * torch.randn(number, 3, 4, 4), size=(side, side), mode="bilinear")
    return coarse + 0.3 * torch.randn(number, 3, side, side)


def free(traced: Traced) -> tuple[ElasticGraph, dict[str, Size]]:
    """Return the elastic network in which every group, block and kernel has a decision of its own, and these."""
    groups = {
        group.name: Size(group.name, {part: max(1, group.size * part // len(WIDTHS)) for part in WIDTHS})
        for group in traced.groups
    }
    kernels = {
        kernel.node: Size(f"crop {kernel.weight}", {size: size for size in range(3, kernel.size + 1, 2)})
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
        smaller: Parts of its own size of images that are tried, in multiples of 32 pixels.
    """

    def __init__(self, name: str, smaller: Sequence[float] = (0.5, 0.75)) -> None:
        self.smaller = smaller
        torch.manual_seed(0)
        kind = Short if name.startswith(LARGE) else TimmModel
        self.source = kind(model=name, classes=CLASSES, channels=3, image_size=usual_side(name))
        self.traced: Traced
        self.plain: nn.Module | None = None
        self.side = self.source.image_size

    def trace(self) -> Line:
        """Trace the model at its own size of images and at smaller ones."""
        self.source.check()
        network = moved(self.source.module().eval(), self.side)
        sides = tuple(max(32, int(self.side * part) // 32 * 32) for part in self.smaller)
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
        images = pictures(2, self.source.image_size)
        wanted = self.traced.module(images)
        graph, decisions = free(self.traced)
        line: Line = {"largest_equal": torch.equal(graph(images), wanted), "subnets_differ": 0.0}
        draw, outputs, depends = random.Random(0), [wanted], 0.0
        for _ in range(SUBNETS):
            self.plain = self._extracted(graph, decisions, draw)
            active = graph(images)
            line["subnets_differ"] = max(line["subnets_differ"], apart(active, self.plain(images)))
            depends = max(depends, apart(active[0], active[1]))
            outputs.append(active)
        between = [apart(one, other) for place, one in enumerate(outputs) for other in outputs[:place]]
        return line | {"images_differ": depends, "settings_differ": min(between)}

    def _extracted(self, graph: ElasticGraph, decisions: dict[str, Size], draw: random.Random) -> nn.Module:
        """Return the network of a random setting, which the graph then has."""
        setting = {name: draw.choice(list(size.values)) for name, size in decisions.items()}
        graph.activate(Architecture(setting))
        self.side = int(setting.get("resolution", self.side))
        return graph.extract().eval()

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
        plain = self.plain or self._extracted(*free(self.traced), random.Random(0))
        images = pictures(3, self.side)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            path.write_bytes(onnx_bytes(plain, (images[:2],), dynamic_batch=True))
            run = runtime(path)
            return {"onnx_differs": max(apart(plain(part), run(part)) for part in (images, images[:1]))}


def examined(name: str, steps: Sequence[str] = STEPS) -> Iterator[Line]:
    """Yield what is said of one model, step by step; a step that fails is a part of it."""
    model = Examination(name, *([()] if steps == ["onnx"] else []))
    for step in ("trace", *(step for step in STEPS if step in steps and step != "trace")):
        began = time.process_time()
        try:
            part: Line = getattr(model, step)()
            yield {**part, f"{step}_s": round(time.process_time() - began, 1)}
        except Exception as error:  # A line for every model is what this is for.
            first = str(error).strip().partition("\n")[0]
            yield {f"{step}_failed": f"{type(error).__name__}: {first[:300]}"}
            if step in ("trace", "proof"):
                return


def missing(line: Line, steps: Sequence[str]) -> list[str]:
    """Return the steps that a line does not have; none where a step before them failed."""
    ended = "stopped" in line or "trace_failed" in line or "proof_failed" in line
    return [step for step in steps if not ended and f"{step}_s" not in line and f"{step}_failed" not in line]


def load_packages() -> None:
    """Trace and export a small network, so that processes that are made of this one need not load so much again."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)).eval()
    images = torch.zeros(2, 3, 8, 8)
    traced = trace(network, (images,))
    onnx_bytes(free(traced)[0].extract(), (images,), dynamic_batch=True)


def in_a_process(name: str, steps: Sequence[str]) -> Line:
    """Examine one model in a process of its own, and return its line."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        with os.fdopen(writer, "w") as pipe:
            limited(name, steps, pipe)
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


def limited(name: str, steps: Sequence[str], pipe: TextIO) -> None:
    """Write what is said of a model, within the limits."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 10))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(10 * SECONDS)
    Thread(target=watch_memory, args=(pipe,), daemon=True).start()
    for part in examined(name, steps):
        pipe.write(json.dumps(part) + "\n")
        pipe.flush()


def watch_memory(pipe: TextIO) -> None:
    """End this process when it has more memory than it may; what is reserved but not written to does not count."""
    while True:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        if pages * resource.getpagesize() > MEMORY:
            pipe.write(json.dumps({"stopped": f"more than {MEMORY / 1e9:.1f} GB of memory"}) + "\n")
            pipe.flush()
            os._exit(1)
        time.sleep(0.1)


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
    seen = max(VISIBLE, 100 * line.get("subnets_differ", 0.0))
    for key in ("images_differ", "settings_differ"):
        if line.get(key, 1.0) <= seen:
            found.append(f"{key} by {line[key]:.2g} only, so that little is compared")
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
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--result", type=Path, default=Path("coverage.jsonl"))
    options = parser.parse_args()
    wanted = (options.names or names(options.part))[: options.limit]
    torch.set_num_threads(1)
    load_packages()
    lines: dict[str, Line] = {}
    for text in options.result.read_text().splitlines() if options.result.exists() else ():
        line = json.loads(text)
        lines[line["name"]] = {**line, **lines.get(line["name"], {})}
    for name in wanted:
        steps = missing(lines.get(name, {}), options.steps)
        if steps:
            line = in_a_process(name, steps)
            lines[name] = {**line, **lines.get(name, {})}
            with options.result.open("a") as file:
                file.write(json.dumps(line) + "\n")
    print(summary([lines[name] for name in wanted]))


if __name__ == "__main__":
    main()
