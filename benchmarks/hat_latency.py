"""How well the latency of transformers is predicted from ten features, beside the published predictor.

    python -m benchmarks.hat_latency hat_transformer_latency.csv.gz [--part decoder] [--device cpu_xeon] [--published]

Rows of each task and device are split at random into 80 % for training, 10 % that nothing uses, as published, and 10 %
that are judged. The published predictor is a perceptron of four hidden layers of 400 units on features that are divided
by fixed numbers; 5,000 steps of Adam at a rate of 1e-5 on 128 rows each, targets divided by the largest one. Ours are
boosted trees on logarithms, with an interval from rows of the training part that the trees did not see.
"""

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from nas.benchmarks.hat_latencies import HatLatencies, read_hat_latencies
from nas.objectives.hat_latency import HatLatency
from nas.predictors import Ridge
from search_spaces.families.hat import hat

PUBLISHED_SCALES = (640, 6, 2048, 6, 640, 6, 2048, 6, 6, 2)
STEPS, BATCH, RATE, HIDDEN = 5000, 128, 1e-5, 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--part", choices=("encoder", "decoder", "both"), default="decoder")
    parser.add_argument("--device", help="only this device")
    parser.add_argument("--task", help="only this task")
    parser.add_argument("--published", action="store_true", help="train the published predictor too, about a minute")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    shown = Table(title=f"held-out errors, {asked.part}")
    for heading in ("task", "device", "predictor", "error %", "RMSE ms", "covered %", "seconds"):
        shown.add_column(heading)
    for measured in read_hat_latencies(asked.table):
        if asked.device not in (None, measured.device) or asked.task not in (None, measured.task):
            continue
        order = np.random.default_rng(asked.seed).permutation(len(measured.features))
        train, _, held_out = np.split(order, [int(0.8 * len(order)), int(0.9 * len(order))])
        truth = measured.milliseconds(asked.part)
        for name, predict in methods(asked.published).items():
            start = time.perf_counter()
            predicted, covered = predict(measured, asked.part, train, held_out)
            seconds = time.perf_counter() - start
            error, rmse = errors(predicted, truth[held_out])
            inside = "-" if covered is None else f"{covered:.0f}"
            cells = (f"{error:.2f}", f"{rmse:.2f}", inside, f"{seconds:.0f}")
            print(measured.task, measured.device, name, *cells, flush=True)
            shown.add_row(measured.task, measured.device, name, *cells)
    Console(width=110).print(shown)


def errors(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the mean absolute error in percent, and the root of the mean squared error in ms."""
    return 100 * float(np.abs(predicted / truth - 1).mean()), float(np.sqrt(np.square(predicted - truth).mean()))


Method = Callable[[HatLatencies, str, np.ndarray, np.ndarray], tuple[np.ndarray, float | None]]


def methods(published: bool) -> dict[str, Method]:
    """Return the predictors by name."""
    return {"boosted trees": trees, "ridge": ridge, **({"published": perceptron} if published else {})}


def trees(measured: HatLatencies, part: str, train: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, float]:
    """Return predictions of the rows that are held out, and how many of them lie within their intervals, in percent."""
    rows = HatLatencies(
        task=measured.task,
        device=measured.device,
        features=measured.features[train],
        encoder_ms=measured.encoder_ms[train],
        decoder_ms=measured.decoder_ms[train],
    )
    objective = HatLatency(hat(), rows, part=part)  # type: ignore[arg-type]
    logarithms = objective.predictor.predict(measured.features[held_out]).mean
    away = np.abs(logarithms - np.log(measured.milliseconds(part)[held_out]))  # type: ignore[arg-type]
    return np.exp(logarithms), 100 * float((away <= objective.margin).mean())


def ridge(measured: HatLatencies, part: str, train: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, None]:
    """Return predictions of the rows that are held out, linear in the features."""
    targets = np.log(measured.milliseconds(part)[train])  # type: ignore[arg-type]
    fitted = Ridge().fit(measured.features[train], targets)
    return np.exp(fitted.predict(measured.features[held_out]).mean), None


def perceptron(measured: HatLatencies, part: str, train: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, None]:
    """Return predictions of the rows that are held out, by the published predictor."""
    torch.manual_seed(0)
    truth = measured.milliseconds(part)  # type: ignore[arg-type]
    scale = float(truth[train].max())
    x = torch.from_numpy(measured.features / np.array(PUBLISHED_SCALES)).float()
    y = torch.from_numpy(truth / scale).float()
    sizes = [x.shape[1], *[HIDDEN] * 4]
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(HIDDEN, 1))
    optimizer, rows = torch.optim.Adam(model.parameters(), lr=RATE), torch.from_numpy(train)
    for _ in range(STEPS):
        chosen = rows[torch.randint(len(rows), (BATCH,))]
        loss = nn.functional.mse_loss(model(x[chosen])[:, 0], y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return model(x[torch.from_numpy(held_out)])[:, 0].double().numpy() * scale, None


if __name__ == "__main__":
    main()
