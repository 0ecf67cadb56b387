"""How well latency repeats: the same networks measured in two processes, some seconds apart.

    python -m benchmarks.repeatability --backend torch
    python -m benchmarks.repeatability --backend onnxruntime --networks 30 --pause 20 --rounds 4

Prints the rank correlation of the two runs (Spearman), the median difference, and how often the interval of the first
holds the value of the second.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import torch
from scipy.stats import spearmanr

from nas.hardware import LatencyConfig, MeasurementFailed, conditions, measure
from service import catalogue


def main() -> None:
    """Run twice and compare; with --once run once and print JSON."""
    arguments = _arguments()
    if arguments.once:
        print(json.dumps(run(arguments)))
        return
    runs = []
    for index in range(2):
        if index:
            time.sleep(arguments.pause)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.repeatability", *sys.argv[1:], "--once"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"run {index + 1}: {runs[-1]['seconds']:.0f} s", flush=True)
    for name, value in runs[0]["conditions"].items():
        print(f"{name}: {value}")
    for line in compare(*(np.array(run["latencies"]) for run in runs)):
        print(line)


def compare(first: np.ndarray, second: np.ndarray) -> list[str]:
    """Return the figures of two runs [N, 3] of value, low and high in milliseconds."""
    there = np.isfinite(first[:, 0]) & np.isfinite(second[:, 0])
    first, second = first[there], second[there]
    change = second[:, 0] / first[:, 0] - 1
    held = (first[:, 1] <= second[:, 0]) & (second[:, 0] <= first[:, 2])
    width = (first[:, 2] - first[:, 1]) / first[:, 0]
    return [
        f"networks: {len(first)} of {len(there)}, {first[:, 0].min():.3f} to {first[:, 0].max():.3f} ms",
        f"Spearman: {spearmanr(first[:, 0], second[:, 0]).statistic:.4f}",
        f"median difference: {100 * np.median(np.abs(change)):.2f} %  (median change {100 * np.median(change):+.2f} %)",
        f"intervals that hold the other run: {100 * held.mean():.1f} %  (median width {100 * np.median(width):.1f} %)",
    ]


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Run once: the same random architectures of a space each time."""
    space = catalogue.resolve("space", arguments.space)()
    generator = np.random.default_rng(arguments.seed)
    torch.manual_seed(arguments.seed)
    architectures = [space.sample(generator) for _ in range(arguments.networks)]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    models = [space.subnet(a).to(device).to(memory_format=torch.channels_last) for a in architectures]
    examples = [space.example(architecture) for architecture in architectures]
    config = LatencyConfig(
        backend=arguments.backend,
        precision=arguments.precision,
        threads=arguments.threads,
        batch_size=arguments.batch,
        device=arguments.device,
    )
    start = time.monotonic()
    measured = measure(models, examples, config, rounds=arguments.rounds)
    nothing = (float("nan"),) * 3
    latencies = [
        nothing if isinstance(m, MeasurementFailed) else (m.latency.value, m.latency.low, m.latency.high)
        for m in measured
    ]
    seconds = time.monotonic() - start
    return {"latencies": latencies, "seconds": seconds, "conditions": conditions(device, space.example(), config)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="small_mobilenet_v3")
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="here")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pause", type=float, default=20.0, help="seconds between the runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--once", action="store_true", help="one run, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
