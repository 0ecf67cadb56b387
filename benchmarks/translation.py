"""Multi30k, English to German, on one CPU: translators of many sizes from one training, beside one trained alone.

    python -m benchmarks.translation multi30k --only supernet
    python -m benchmarks.translation multi30k --only largest
    python -m benchmarks.translation multi30k

The supernet is the job of the recipe `translate_multi30k`: `small_hat`, one random network a step, then a search by
perplexity on the validation split and by multiply-accumulates. Its front is judged with inherited weights. Beside it
stand networks that are trained alone from fresh weights, with the same settings and as many passes: the largest of the
space, and the one of the front with the lowest perplexity on the validation split. BLEU is that of `sacrebleu` on
plain text, test split, beam of four; no choice has seen that split. Intervals are 95 %.

The supernet and its search take about 80 minutes of one core; so does a network alone, or up to 110. The first two
commands may run at the same time. Without `--only`, what is missing is made, and the table is printed. The same command
goes on where an earlier one stopped. `--epochs` and `--evaluations` make it shorter.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, table
from nas.data import Data, load_data
from nas.intervals import interval_of_mean
from nas.retraining import train_from_scratch
from search_spaces import Architecture, Space
from service.job.building import build_space, build_task
from service.job.front_file import read_front_file
from service.job.job import Job
from service.job.loading import load_job
from service.job.outcomes_file import read_outcomes
from service.job.preparation import prepare_folder
from service.run.progress import ProgressDisplay
from service.run.run import run
from supernets import Task, load_supernet
from supernets.calibration import calibrated_subnet
from supernets.tasks.bleu import bleu_of, bleu_scores

RECIPE = "translate_multi30k"
PARTS = ("supernet", "largest", "best")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The job, and networks beside it.

    Args:
        output: Folder of all that is made.
        job: Job of the supernet.
        console: Console that progress is written to.
    """

    output: Path
    job: Job
    console: Console

    @cached_property
    def space(self) -> Space:
        """The space of the job."""
        return build_space(self.job)

    @cached_property
    def task(self) -> Task:
        """What networks learn and are judged by."""
        return build_task(self.job)

    @cached_property
    def data(self) -> Data:
        """The three splits."""
        return load_data(self.job.data, device=torch.device("cpu"))

    @property
    def folder(self) -> Path:
        """The folder of the job."""
        return self.output / "supernet"

    # ---- the supernet ---------------------------------------------------------------------------------------------

    def searched(self) -> Mapping[str, Any]:
        """Train and search; return the front, and the largest network with inherited weights."""
        spent = Processor(self.folder.with_name("supernet_processor_s.json"))
        with ProgressDisplay(self.console, every_s=60) as display:

            def observe(event: Mapping[str, Any]) -> None:
                spent(event)
                display(event)

            run(prepare_folder(self.job, self.folder), self.job, observe)
        front = read_front_file(self.folder)
        assert front is not None
        return {**front, "processor_s": spent()}

    def inherited(self, member: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row of a member of the front."""
        outcomes = read_outcomes(self.folder, member["key"], "test")
        assert outcomes is not None
        architecture = self.space.architecture(member["architecture"])
        return self._row(architecture, member["values"]["perplexity"], outcomes.columns["counts"])

    def inherited_largest(self) -> dict[str, Any]:
        """Return the row of the largest network with inherited weights, which need not be in the front."""

        def judge(row: Row, spent: Processor) -> dict[str, Any]:
            supernet, largest = load_supernet(self.space, self.folder / "supernet.safetensors"), self.space.largest()
            return self._judged(calibrated_subnet(supernet, largest, lambda: ()), largest)

        return self._made("inherited-largest", self.space.largest(), judge)

    # ---- networks alone -------------------------------------------------------------------------------------------

    def alone(self, name: str, architecture: Architecture) -> dict[str, Any]:
        """Return the row of an architecture that is trained from fresh weights."""

        def learn(row: Row, spent: Processor) -> dict[str, Any]:
            with ProgressDisplay(self.console, every_s=60) as display:

                def observe(event: dict[str, Any]) -> None:
                    spent(event)
                    display(event)

                network = train_from_scratch(
                    self.space,
                    architecture,
                    self.data.train,
                    self.job.train,
                    task=self.task,
                    seed=self.job.seed,
                    folder=row.folder / "train",
                    observer=observe,
                )
            return self._judged(network, architecture)

        return self._made(f"alone-{name}", architecture, learn)

    def _made(
        self, name: str, architecture: Architecture, make: Callable[[Row, Processor], dict[str, Any]]
    ) -> dict[str, Any]:
        settings = {"architecture": architecture.key, "train": repr(self.job.train), "data": self.data.fingerprint}
        return Row(output=self.output, name=name, seed=self.job.seed, settings=settings).made(make)

    def _judged(self, network: nn.Module, architecture: Architecture) -> dict[str, Any]:
        perplexity = self.task.evaluate(network, self.data.validation.sequential(200)).value
        outcomes = self.task.outcomes(network, self.data.test.sequential(200))
        assert outcomes is not None
        return self._row(architecture, perplexity, outcomes.columns["counts"])

    def _row(self, architecture: Architecture, perplexity: float, counts: np.ndarray) -> dict[str, Any]:
        costs = self.space.costs([architecture])
        ends = interval_of_mean(bleu_scores(counts))
        return {
            **{name: int(costs[name][0]) for name in ("params", "macs")},
            "perplexity": round(perplexity, 3),
            "bleu": round(bleu_of(counts), 2),
            "interval": None if ends is None else [round(end, 2) for end in ends],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of Multi30k: train.en.gz, train.de.gz, val.*, test*.*")
    parser.add_argument("--only", choices=PARTS, help="part that is made; without it all, and the table")
    parser.add_argument("--epochs", type=float, help="passes of the supernet, and of a network alone")
    parser.add_argument("--evaluations", type=int, help="of the search")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/translation"))
    given = parser.parse_args()
    changed = {"train.epochs": given.epochs, "search.evaluations": given.evaluations, "seed": given.seed}
    sets = [f"{name}={value}" for name, value in changed.items() if value is not None]
    sets += [f"data.path={given.data.resolve()}", "tracking.enabled=false"]
    given.output.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(output=given.output, job=load_job(RECIPE, sets), console=Console(width=140))
    if given.only == "largest":
        print(comparison.alone("largest", comparison.space.largest()))
        return
    front = comparison.searched()
    best = min(front["members"], key=lambda member: member["values"]["perplexity"])
    if given.only != "supernet":
        best_alone = comparison.alone("best", comparison.space.architecture(best["architecture"]))
    if given.only is None:
        alone = {"largest": comparison.alone("largest", comparison.space.largest()), "best of the front": best_alone}
        show(comparison, front, alone)


def show(comparison: Comparison, front: Mapping[str, Any], alone: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the front, the largest network, and those that were trained alone."""
    job = comparison.job
    title = f"Multi30k en-de, test split, {job.train.epochs:g} passes; a front of {len(front['members'])}"
    shown = table(title, "network", "M weights", "M MACs", "perplexity, validation", "BLEU", "95 %", "core minutes")

    def add(name: str, row: Mapping[str, Any], seconds: float | None = None) -> None:
        numbers = [f"{row[cost] / 1e6:.2f}" for cost in ("params", "macs")]
        ends = "" if row["interval"] is None else "{:.1f} to {:.1f}".format(*row["interval"])
        minutes = "" if seconds is None else f"{seconds / 60:.1f}"
        shown.add_row(name, *numbers, f"{row['perplexity']:.2f}", f"{row['bleu']:.1f}", ends, minutes)

    members: Sequence[Mapping[str, Any]] = sorted(front["members"], key=lambda member: member["values"]["macs"])
    rows = [comparison.inherited(member) for member in members]
    for number, row in enumerate(rows):
        add(f"front {number + 1}, inherited", row, front["processor_s"] if number == len(rows) - 1 else None)
    add("largest, inherited", comparison.inherited_largest())
    for name, row in alone.items():
        add(f"{name}, alone", row, row["processor_s"])
    comparison.console.print(shown)
    macs = [row["macs"] for row in rows]
    best = max(rows, key=lambda row: row["bleu"])
    span = f"{len(rows)} translators span {max(macs) / min(macs):.1f} times in multiply-accumulates"
    print(f"{span}; the highest BLEU among them on the test split is {best['bleu']:.1f}")


if __name__ == "__main__":
    main()
