"""Which models of timm become elastic networks: one line for each, and a summary.

    python -m benchmarks.timm_coverage [--families first|second] [--names FILE] [--limit 200] [--result coverage.jsonl]

Each model gets a process of its own, with fresh weights. A line says: traced or the reason, groups by kind, blocks that
can be skipped, depthwise kernels, sides of images, error of the permutation proof, whether the largest elastic network
equals the model bit for bit, the largest difference of active and extracted networks over random subnets, and the
processor time of the trace. Models whose line is in the result already are left out. Without `--names`, the smallest
model of each family is taken, or the second smallest; models of more than `--largest` parameters only where a family
has no other. With `--names FILE`, the first names of a file.
"""

import argparse
import json
import os
import random
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from benchmarks.traced_overhead import elastic, setting
from search_spaces.tracing import TOLERANCE, Traced, check_permutation, first_disagreement, trace

SUBNETS = 5
AGREE = 1e-5


def smallest(rank: int, largest: int) -> list[str]:
    """Return the name of the model of that rank by parameters in each family, or of its last one."""
    chosen = []
    for family in timm.list_modules():
        sizes = []
        for name in timm.list_models(module=family):
            with torch.device("meta"):
                network = timm.create_model(name, pretrained=False)
            sizes.append((sum(tensor.numel() for tensor in network.parameters()), name))
        ranked = sorted(size for size in sizes if not size[1].startswith("test_"))
        fitting = [size for size in ranked if size[0] <= largest] or ranked[:1]
        chosen.append(fitting[min(rank, len(fitting) - 1)][1])
    return chosen


def differences(network: nn.Module, traced: Traced, images: Tensor) -> dict[str, Any]:
    """Return whether the largest equals the model, and how far extracted subnets are from active ones."""
    with torch.no_grad():
        wanted = network(images)
        graph = elastic(traced).eval()
        largest = bool(torch.equal(graph(images), wanted))
        draw, worst = random.Random(0), 0.0
        for _ in range(SUBNETS):
            drawn = setting(traced, draw)
            graph.activate(drawn)
            active, plain = graph(images), graph.extract().eval()(images)
            worst = max(worst, float((active - plain).abs().max() / active.abs().max().clamp(min=1.0)))
    return {"largest_equal": largest, "subnets_differ": worst}


def examined(name: str) -> dict[str, Any]:
    """Return what is said of one model."""
    network = timm.create_model(name, pretrained=False).eval()
    side = int(network.pretrained_cfg["input_size"][-1])
    sides = tuple(int(side * part) // 32 * 32 for part in (0.5, 0.75))
    began = time.process_time()
    traced = trace(network, (torch.zeros(1, 3, side, side),), sides=sides)
    line: dict[str, Any] = {
        "trace_s": round(time.process_time() - began, 1),
        "groups": dict(Counter(group.kind for group in traced.groups)),
        "blocks": len(traced.blocks),
        "kernels": len(traced.kernels),
        "sides": list(traced.literals),
        "permutation_error": check_permutation(traced, torch.Generator().manual_seed(0)),
        "pins": dict(Counter(pin.reason for pin in traced.pins)),
    }
    if line["permutation_error"] > TOLERANCE:
        return line | {"reason": f"not proven: {first_disagreement(traced, torch.Generator().manual_seed(0))}"}
    return line | differences(network, traced, torch.randn(2, 3, side, side))


def in_a_process(name: str, result: Path) -> None:
    """Examine one model in a process of its own, and add its line to the result."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        line = examined(name)
    except Exception as error:  # A line for every model is what this is for.
        line = {"reason": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    line["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    with result.open("a") as file:
        file.write(json.dumps({"name": name, **line}) + "\n")
    os._exit(0)


def dimensions(line: dict[str, Any]) -> list[str]:
    """Return which kinds of elastic dimension a model has."""
    groups = line.get("groups", {})
    found = {
        "width": any(kind != "heads" for kind in groups),
        "heads": "heads" in groups,
        "depth": line.get("blocks", 0) > 0,
        "kernels": line.get("kernels", 0) > 0,
        "resolution": len(line.get("sides", ())) > 1,
    }
    return [name for name, there in found.items() if there]


def summary(lines: list[dict[str, Any]]) -> str:
    """Return counts over all lines, and the models that fall short."""
    proven = [line for line in lines if line.get("permutation_error", 1.0) <= TOLERANCE]
    two = [line for line in proven if len(dimensions(line)) >= 2]
    equal = sum(line.get("largest_equal", False) for line in lines)
    agree = sum(line.get("subnets_differ", 1.0) <= AGREE for line in lines)
    kinds = Counter(kind for line in proven for kind in dimensions(line))
    said = [f"{len(lines)} models: {len(proven)} traced and proven, {len(two)} with two elastic dimensions or more"]
    said += [f"largest equal {equal}, subnets agree {agree}; {dict(kinds)}"]
    said += [f"  {line['name']}: {line['reason']}" for line in lines if "reason" in line]
    said += [f"  {line['name']}: only {dimensions(line)}" for line in proven if line not in two]
    return "\n".join(said)


def main() -> None:
    """Examine models and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", choices=("first", "second"), default="first")
    parser.add_argument("--names", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--largest", type=int, default=60_000_000)
    parser.add_argument("--result", type=Path, default=Path("coverage.jsonl"))
    options = parser.parse_args()
    if options.names:
        names = options.names.read_text().split()
    else:
        names = smallest(("first", "second").index(options.families), options.largest)
    names = names[: options.limit]
    torch.set_num_threads(1)
    lines = [json.loads(text) for text in options.result.read_text().splitlines()] if options.result.exists() else []
    done = {line["name"] for line in lines}
    for name in names:
        if name not in done:
            in_a_process(name, options.result)
    lines = [json.loads(text) for text in options.result.read_text().splitlines()]
    print(summary([line for line in lines if line["name"] in names]))


if __name__ == "__main__":
    main()
