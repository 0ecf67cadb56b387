"""Claims about predictors: a few accuracies rank architectures better than any single proxy does.

    python -m benchmarks.predictor_claims nb201_naslib_zerocost_725.csv.gz [--train 78]

The table has a column for each proxy and `val_accuracy`. Each line compares Kendall's tau of a predictor on the
architectures that it was not fitted to with that of the best proxy there; the command fails where a claim does not
hold. `benchmarks.predictors` compares predictors on scores that `nas score --layers` writes.
"""

import argparse
import csv
import gzip
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from nas import MLP, GaussianProcess, ParZC, Predictor, Ridge
from nas.rank_agreement import kendall

LEAD = 0.03
PREDICTORS: tuple[Predictor, ...] = (
    Ridge(),
    GaussianProcess(),
    MLP(),
    ParZC(width=32, depth=1, epochs=60, lr=1e-3, scaling="column"),
)


def published(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores [N, P] of proxies, compressed, and the accuracies [N] of a table."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("idx", "cell", "val_accuracy")]
    scores = np.array([[float(row[name] or "nan") for name in names] for row in rows])
    scores = np.sign(scores) * np.log1p(np.abs(scores))
    accuracies = np.array([float(row["val_accuracy"]) for row in rows])
    finite = np.isfinite(scores).all(1)
    return scores[finite], accuracies[finite]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--train", type=int, default=78, help="architectures whose accuracy is known")
    arguments = parser.parse_args()
    scores, accuracies = published(arguments.scores)
    order = np.random.default_rng(0).permutation(len(accuracies))
    train, rest = order[: arguments.train], order[arguments.train :]
    best = max(abs(kendall(column, accuracies[rest])) for column in scores[rest].T)
    table, holds = Table("predictor", "Kendall's tau", f"best proxy + {LEAD}", "holds"), []
    for predictor in PREDICTORS:
        tau = kendall(predictor.fit(scores[train], accuracies[train]).predict(scores[rest]).mean, accuracies[rest])
        holds.append(tau > best + LEAD)
        table.add_row(type(predictor).__name__, f"{tau:.3f}", f"{best + LEAD:.3f}", "yes" if holds[-1] else "NO")
    Console().print(table)
    sys.exit(not all(holds))


if __name__ == "__main__":
    main()
