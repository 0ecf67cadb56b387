"""How well a latency table predicts whole networks on this machine.

    python -m benchmarks.latency_table small_mobilenet_v3
    python -m benchmarks.latency_table small_mobilenet_v3 --backend onnxruntime
    python -m benchmarks.latency_table nasbench201 --option width=8 --option cells=2 --minutes 5

Printed are the time that measuring took; for the plain sum of block latencies and for the corrected one the mean
absolute and the worst relative error, the bias and Spearman's rank correlation on networks that nothing was fitted to,
which reach from the fastest to the slowest of the space; how many of them the 95% intervals hold; the same on networks
drawn uniformly, where `--uniform` asks for some; and architectures predicted in a second.

A table that is there already (`--output`) is read, and a build that was interrupted goes on.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from nas.hardware.latency import measure_latency
from nas.hardware.latency_table import LatencyTable, PredictionErrors, prediction_errors
from nas.hardware.latency_table_building import TableConfig
from service.job.job import Job
from service.report.text import duration
from service.run.latency_tables import TableRequest, build_table
from service.run.progress import ProgressDisplay

PREDICTED = 200_000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", help="name of a space")
    parser.add_argument("--option", action="append", default=[], help="NAME=VALUE of the space")
    parser.add_argument("--backend", help="what runs the networks; the default is torch")
    parser.add_argument("--set", action="append", default=[], dest="sets", help="PATH=VALUE, such as latency.threads=2")
    parser.add_argument("--networks", type=int, default=40, help="whole networks that the correction learns from")
    parser.add_argument("--held-out", type=int, default=60, help="whole networks that it is judged by")
    parser.add_argument("--uniform", type=int, default=0, help="further networks, drawn uniformly")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--output", type=Path, help="file of the table")
    return parser.parse_args()


def line(name: str, error: PredictionErrors) -> str:
    covered = "" if error.covered_percent is None else f", {error.covered_percent:.0f} % in their interval"
    return (
        f"{name}: MAPE {error.mape_percent:.2f} %, worst {error.worst_percent:.2f} %, bias "
        f"{error.bias_percent:+.2f} %, Spearman {error.spearman:.4f}{covered}"
    )


def uniform_lines(table: LatencyTable, job: Job, n: int) -> list[str]:
    """Return the accuracy on networks drawn uniformly, measured now."""
    encodings = table.space.sample_encodings(n, np.random.default_rng(job.seed + 1))
    networks = [table.space.decode(encoding) for encoding in encodings]
    modules = [table.space.subnet(network).to(memory_format=torch.channels_last) for network in networks]
    examples = [table.space.example(network) for network in networks]
    measured = np.array([estimate.value for estimate in measure_latency(modules, examples, job.latency)])
    predicted, low, high = table.predict(encodings)
    covered = 100 * float(np.mean((low <= measured) & (measured <= high)))
    return [
        line(f"plain sum, {n} drawn uniformly", prediction_errors(table.sums(encodings), measured)),
        line(f"corrected, {n} drawn uniformly", prediction_errors(predicted, measured, covered_percent=covered)),
    ]


def predictions_per_second(table: LatencyTable) -> float:
    generator = np.random.default_rng(0)
    encodings = generator.integers(0, table.space.choice_counts, size=(PREDICTED, len(table.space.decisions)))
    predict = partial(table.predict, encodings)
    predict()
    start = time.perf_counter()
    predict()
    return PREDICTED / (time.perf_counter() - start)


def main() -> None:
    asked = arguments()
    backend = [f"latency.backend={asked.backend}"] if asked.backend else []
    job, space, options = TableRequest(
        space=asked.space, options=asked.option, sets=[*backend, *asked.sets]
    ).job_and_space()
    path = asked.output or Path(f"{asked.space}-{asked.backend or 'torch'}.json")
    config = TableConfig(networks=asked.networks, held_out=asked.held_out, minutes=asked.minutes)
    with ProgressDisplay(Console()) as observer:
        table = build_table(job, space, path, config, observer, options=options)
    fitted = sum(network.part == "fit" for network in table.networks)
    print(f"{', '.join(f'{name} {value}' for name, value in table.conditions.items())}")
    print(f"{len(table.blocks_ms)} blocks and {fitted} networks for the fit, measured in {duration(table.seconds)}")
    for name, accuracy in table.held_out().items():
        print(line(f"{'plain sum' if name == 'sum' else name}, {accuracy.networks} held out", accuracy))
    if asked.uniform:
        print("\n".join(uniform_lines(table, job, asked.uniform)))
    print(f"{predictions_per_second(table):,.0f} architectures predicted a second")


if __name__ == "__main__":
    main()
