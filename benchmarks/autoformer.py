"""Zero-cost proxies on AutoFormer's vision transformers, and predictors that read the shares of layers.

    python -m benchmarks.autoformer autoprox_autoformer_200.csv cifar10_train_jpeg.npz

The table has 200 architectures of the space `autoformer` (tiny) with accuracies, such as `c100_kd_acc`; half of them
lack some. Every proxy of the catalogue scores them, on 16 images of 64 pixels: 4 x 4 patches where 14 x 14 are
published, in networks of the same weights. The first table has their Spearman correlation with each accuracy; behind it
stands which proxies do not apply, and why. For the accuracy of `--accuracy` there is a 95 % interval, by bootstrap over
architectures.

Then `--train` of the architectures are shown to predictors, which rank the others. Ridge and ParZC read the shares of
layers of grad_norm, snip and synflow. `parzc small` is the published network and training at an eighth of the width,
`parzc variant` ours, both with the settings of `benchmarks.predictors`, chosen on NAS-Bench-201; `--published` adds the
published width, which takes minutes a split. The best single proxy is the one with the highest Kendall's tau on the
architectures that are shown; that of the others in hindsight is printed as well. Splits overlap, so intervals of means
and of differences are those of Nadeau and Bengio (Machine Learning 52, 2003): wider than Student's by the share that
is judged.

The first command takes about 18 minutes of one core, 8 with `--only shares`, which computes the three proxies that
predictors read and skips the others. Scores are kept in `--output`; the same command goes on where an earlier one
stopped.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from scipy.special import stdtrit

from benchmarks.predictors import Make, methods, ranked
from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, table
from nas.predictors import LayerLayout
from nas.rank_agreement import kendall, rank_agreement, spearman
from service import catalogue
from service.job.building import build_space
from service.job.job import Job
from service.job.loading import job_of
from service.run.progress import ProgressDisplay
from service.run.scoring import Rows, layer_file, rows_of_table, score_rows

SHARES = ("grad_norm", "snip", "synflow")
"""Proxies whose shares of layers predictors read."""
PREDICTORS = ("ridge", "parzc small", "parzc variant", "parzc published")
BEST = "best proxy by those shown"
COLUMNS = ("c100_kd_acc", "flower_kd_acc", "chaoyang_kd_acc", "imagenet_super_acc")
COLUMNS += ("c100_base_acc", "flower_base_acc", "chaoyang_base_acc")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of all architectures of the table by some proxies.

    Args:
        values: Proxy -> scores [N], higher better; NaN where there is none.
        reasons: Proxy -> why it has no score, of those without any.
        layers: For each architecture the shares of layers of each proxy.
    """

    values: Mapping[str, np.ndarray]
    reasons: Mapping[str, str]
    layers: Sequence[Mapping[str, Mapping[str, float]]]

    def of(self, chosen: np.ndarray) -> "Scores":
        """Return the scores of some architectures, by their numbers."""
        values = {name: column[chosen] for name, column in self.values.items()}
        return replace(self, values=values, layers=[self.layers[i] for i in chosen])


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The table and the images.

    Args:
        arguments: Of the command line.
        console: Console that progress is written to.
    """

    arguments: argparse.Namespace
    console: Console

    @cached_property
    def rows(self) -> Rows:
        """The architectures with their accuracies."""
        return rows_of_table(self.arguments.table, build_space(self._job(SHARES)))

    def known(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the architectures that have an accuracy, and these accuracies."""
        column = np.array([float(value or "nan") for value in self.rows.carried[name]])
        chosen = np.flatnonzero(np.isfinite(column))
        return chosen, column[chosen]

    def _job(self, names: Sequence[str]) -> Job:
        given = self.arguments
        data = {"source": "npz", "path": str(given.images.resolve()), "image_size": given.image_size}
        proxies = {"names": list(names), "batch": given.batch}
        return job_of({"name": "autoformer", "data": data, "space": {"name": "autoformer"}, "proxies": proxies})

    def scores(self, part: str, names: Sequence[str]) -> Scores:
        """Return the scores by some proxies, computed or read."""
        given = self.arguments
        given.output.mkdir(parents=True, exist_ok=True)
        journal = given.output / f"{part}-{given.image_size}px-{given.batch}.jsonl"
        with ProgressDisplay(self.console, every_s=60) as display:
            known = score_rows(self._job(names), self.rows, journal, display, workers=1, layers=True)
        lines = map(json.loads, layer_file(journal).read_text().splitlines())
        shares = {self.rows.architectures[line["index"]]: line["layers"] for line in lines}
        found = [known[architecture] for architecture in self.rows.architectures]
        columns = {name: np.array([one.values.get(name, np.nan) for one in found]) for name in names}
        values = {name: column for name, column in columns.items() if np.isfinite(column).any()}
        return Scores(
            values={name: column if _higher_is_better(name) else -column for name, column in values.items()},
            reasons={name: _reason(name, found[0].reasons) for name in names if name not in values},
            layers=[shares[architecture] for architecture in self.rows.architectures],
        )


def _higher_is_better(name: str) -> bool:
    return bool(catalogue.resolve("proxy", name)().maximise)


def _reason(name: str, reasons: Mapping[str, str]) -> str:
    """Return why a proxy has no score; those that were read stand together."""
    together = dict(part.partition(": ")[::2] for part in reasons.get("", "").split("; "))
    return reasons.get(name) or together.get(name, "no score")


# ---- proxies --------------------------------------------------------------------------------------------------------


def show_proxies(trial: Trial, scores: Scores) -> None:
    """Print which proxies apply, and how they rank."""
    columns = [trial.arguments.accuracy, *(name for name in COLUMNS if name != trial.arguments.accuracy)]
    known = {name: trial.known(name) for name in columns if name in trial.rows.carried}
    title = "Spearman correlation of proxies with accuracies, and the number of architectures that have these"
    headings = [
        f"{name.removesuffix('_acc').removesuffix('_super')} ({len(chosen)})" for name, (chosen, _) in known.items()
    ]
    shown = table(title, "proxy", headings[0], "95 %", *headings[1:])
    (chosen, accuracies), *others = known.values()
    agreements = rank_agreement(scores.of(chosen).values, accuracies, baselines=())
    for name, found in sorted(agreements.items(), key=lambda item: -item[1].spearman.value):
        rho, column = found.spearman, scores.values[name]
        rest = (f"{spearman(column[rows], other):.3f}" for rows, other in others)
        shown.add_row(name, f"{rho.value:.3f}", f"{rho.low:.2f} to {rho.high:.2f}", *rest)
    trial.console.print(shown)
    for name, why in scores.reasons.items():
        print(f"{name} does not apply: {why}")


# ---- predictors -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Predictors on repeated splits of the architectures.

    Args:
        arguments: Of the command line.
        scores: Of single proxies, and shares of layers.
        accuracies: What is predicted [N].
    """

    arguments: argparse.Namespace
    scores: Scores
    accuracies: np.ndarray

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """Kind -> features [N, P]."""
        layers = self.scores.layers
        found = {align: LayerLayout.of(layers, align=align).features(layers) for align in ("order", "name")}
        return found | {f"{align}, log": np.sign(x) * np.log1p(np.abs(x)) for align, x in found.items()}

    def split(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the architectures that are shown, and the others, as `benchmarks.predictors` splits them."""
        order = np.random.default_rng(number).permutation(len(self.accuracies))
        return order[: self.arguments.train], order[self.arguments.train :]

    def taus(self, title: str, kind: str, make: Make) -> np.ndarray:
        """Return Kendall's tau of a predictor for every split; it is kept."""

        def fit(row: Row, spent: Processor) -> dict[str, Any]:
            given, seed = self.arguments, row.seed
            (tau,), _ = ranked(make, self.features[kind], self.accuracies, given.train, range(seed, seed + 1))
            return {"tau": tau}

        names = ("train", "accuracy", "image_size", "batch")
        settings = {name: getattr(self.arguments, name) for name in names}
        rows = [
            Row(output=self.arguments.output, name=title, seed=number, settings=settings)
            for number in range(self.arguments.splits)
        ]
        return np.array([row.made(fit)["tau"] for row in rows])

    def single(self) -> dict[str, np.ndarray]:
        """Return tau of the proxy that is best on those shown, and of the best one in hindsight, for every split."""
        by_shown, hindsight = [], []
        for number in range(self.arguments.splits):
            parts = [(column[rows], self.accuracies[rows]) for rows in self.split(number) for column in self._columns]
            taus = np.array([kendall(*part) for part in parts]).reshape(2, -1)
            by_shown.append(taus[1, taus[0].argmax()])
            hindsight.append(taus[1].max())
        return {BEST: np.array(by_shown), "best proxy in hindsight": np.array(hindsight)}

    @cached_property
    def _columns(self) -> list[np.ndarray]:
        return list(self.scores.values.values())

    def interval(self, values: np.ndarray) -> str:
        """Return the mean and the interval of Nadeau and Bengio of values of all splits."""
        splits, shown = len(values), self.arguments.train
        if splits < 2:
            return f"{values.mean():.3f}"
        variance = values.var(ddof=1) * (1 / splits + (len(self.accuracies) - shown) / shown)
        return f"{values.mean():.3f} ± {stdtrit(splits - 1, 0.975) * np.sqrt(variance):.3f}"


def show_predictors(trial: Trial, scores: Scores) -> None:
    """Print how well predictors rank the architectures that they were not shown."""
    given = trial.arguments
    chosen, accuracies = trial.known(given.accuracy)
    ranking = Ranking(arguments=given, scores=scores.of(chosen), accuracies=accuracies)
    made, taus = methods(len(SHARES)), ranking.single()
    for title in PREDICTORS[: None if given.published else -1]:
        taus[title] = ranking.taus(title.replace(" ", "-"), *made[title])
    title = f"{given.accuracy}: {given.train} of {len(ranking.accuracies)} known, {given.splits} splits, 95 % intervals"
    shown = table(title, "predictor", "Kendall's tau of the others", "minus ridge", f"minus {BEST}")
    for name, found in taus.items():
        gains = ["" if name == other else ranking.interval(found - taus[other]) for other in ("ridge", BEST)]
        shown.add_row(name, ranking.interval(found), *gains)
    trial.console.print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="csv with hidden_dim, depth, mlp_ratio, num_heads and accuracies")
    parser.add_argument("images", type=Path, help="npz of images that proxies are computed on")
    parser.add_argument("--only", choices=("shares",), help="the proxies that predictors read, and no others")
    parser.add_argument("--accuracy", default="c100_kd_acc", help="column that predictors learn")
    parser.add_argument("--train", type=int, default=100, help="architectures whose accuracy is known")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--published", action="store_true", help="also ParZC of the published width")
    parser.add_argument("--image-size", type=int, default=64, help="a multiple of 16; published are 224")
    parser.add_argument("--batch", type=int, default=16, help="images")
    parser.add_argument("--output", type=Path, default=Path("runs/autoformer"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    trial = Trial(arguments=given, console=Console(width=140))
    scores = trial.scores("shares", SHARES)
    if given.only is None:
        others = trial.scores("others", [name for name in catalogue.PROXIES if name not in SHARES])
        scores = replace(scores, values={**others.values, **scores.values}, reasons=others.reasons)
    show_proxies(trial, scores)
    show_predictors(trial, scores)


if __name__ == "__main__":
    main()
