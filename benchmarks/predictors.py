"""How well predictors rank architectures after a few measured ones, beside single proxies.

    python -m benchmarks.predictors SCORES.csv --accuracy c10_test_200 --train 78 --seeds 3

SCORES.csv is what `nas score --layers` writes for the rows of a table with accuracies; the shares of layers lie beside
it. For each seed, other rows are drawn for training; Kendall's tau is that of all rows that are left. ParZC is run as
published, with the published settings at an eighth of the width, and as a variant of ours: columns that are always the
same place of the network, each standardised, segments that mix, two blocks, batches of 32, a higher learning rate, no
dropout and no weight decay. These were chosen on the rows of seed 0; `--first-seed` reports others.
"""

import argparse
import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from nas.predictors import MLP, GaussianProcess, LayerLayout, ParZC, Predictor, Ridge
from nas.rank_agreement import kendall

Make = Callable[[int], Predictor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--accuracy", required=True, help="column of the accuracies")
    parser.add_argument("--train", type=int, default=78, help="architectures whose accuracy is known")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", help="predictors to run, joined by commas")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    rows, shares = read(arguments.scores)
    accuracies = np.array([float(row[arguments.accuracy]) for row in rows])
    proxies = list(shares[0])
    single = {name: kendall(column(rows, name), accuracies) for name in proxies}
    features = {align: LayerLayout.of(shares, align=align).features(shares) for align in ("order", "name")}
    features |= {f"{align}, log": np.sign(x) * np.log1p(np.abs(x)) for align, x in list(features.items())}
    table = Table(title=f"{arguments.train} of {len(rows)} architectures known, Kendall's tau of the others")
    for heading in ("predictor", "features", "mean", "of each seed", "seconds"):
        table.add_column(heading)
    for name, tau in single.items():
        table.add_row(name, "-", f"{tau:.3f}", "all rows", "-")
    for name, (kind, make) in methods(len(proxies)).items():
        if arguments.only and name not in arguments.only.split(","):
            continue
        taus, seconds = ranked(make, features[kind], accuracies, arguments.train, seeds)
        table.add_row(name, kind, f"{np.mean(taus):.3f}", " ".join(f"{t:.3f}" for t in taus), f"{seconds:.0f}")
        print(f"{name}: {np.mean(taus):.3f}", flush=True)
    Console(width=110).print(table)


def methods(proxies: int) -> dict[str, tuple[str, Make]]:
    """Name -> the features it gets, and what makes it for a seed."""
    variant: dict[str, Any] = {
        "proxies": proxies,
        "scaling": "column",
        "log": True,
        "mix_segments": True,
        "width": 64,
        "depth": 2,
        "dropout": 0.0,
        "batch_size": 32,
        "lr": 1e-3,
        "weight_decay": 0.0,
    }
    return {
        "ridge": ("name, log", lambda seed: Ridge(seed=seed)),
        "gp": ("name, log", lambda seed: GaussianProcess(seed=seed)),
        "mlp": ("name, log", lambda seed: MLP(seed=seed)),
        "parzc published": ("order", lambda seed: ParZC(proxies=proxies, seed=seed)),
        "parzc small": ("order", lambda seed: ParZC(proxies=proxies, width=64, seed=seed)),
        "parzc variant": ("name", lambda seed: ParZC(seed=seed, **variant)),
    }


def ranked(make: Make, x: np.ndarray, y: np.ndarray, train: int, seeds: range) -> tuple[list[float], float]:
    """Return tau of each seed, and the seconds of one."""
    taus, start = [], time.perf_counter()
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(y))
        known, others = order[:train], order[train:]
        taus.append(kendall(make(seed).fit(x[known], y[known]).predict(x[others]).mean, y[others]))
    return taus, (time.perf_counter() - start) / len(seeds)


def read(path: Path) -> tuple[list[dict[str, str]], list[dict[str, dict[str, float]]]]:
    """Return the rows that have every score, and the shares of layers of each."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = path.with_name(f"{path.name}.journal.layers.jsonl").read_text(encoding="utf-8").splitlines()
    shares = {record["index"]: record["layers"] for record in map(json.loads, lines)}
    most = max(len(found) for found in shares.values())
    kept = [i for i in sorted(shares) if len(shares[i]) == most and not rows[i]["score_reason"]]
    return [rows[i] for i in kept], [shares[i] for i in kept]


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


if __name__ == "__main__":
    main()
