"""One training of `nas benchmark ranking`: its supernet, then the accuracies of its subnets, each step resumable."""

import csv
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from nas.data import Data
from nas.ranking import BatchNorm, RankingImages, rank
from nas.search.journal import Evaluation, Journal, read_evaluations
from search_spaces import Architecture
from service.benchmarks.proxy_benchmark import Truth
from service.benchmarks.ranking_methods import Stages
from service.job.building import data_source
from service.job.device import torch_device
from service.job.folder import write_whole
from service.job.job import Job
from service.job.observer import Observer
from service.job.preparation import locked
from service.run.context import JobContext
from service.run.events import Events
from service.run.stages.train import Train
from service.tracking import sync
from supernets import processes


@dataclass(frozen=True, kw_only=True)
class Judging:
    """The way in which the accuracies of subnets are measured.

    Attributes:
        batch_norm: Statistics of batch norms: those of each batch, or calibrated on training images.
        images: Random validation images; None for all.
        batch_size: Most images of one batch.
    """

    batch_norm: BatchNorm = "batch"
    images: int | None = None
    batch_size: int = 500

    def describe(self) -> dict[str, Any]:
        return {"batch_norm": self.batch_norm, "images": self.images or "all", "batch_size": self.batch_size}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One method with one seed.

    Attributes:
        method: Its name.
        job: Job that is trained; its seed is that of this run.
        folder: Folder of the job.
        passes: Forward and backward passes of the training.
        stages: How long it trains what.
    """

    method: str
    job: Job
    folder: Path
    passes: int
    stages: Stages

    @property
    def label(self) -> str:
        """The run in a line for people."""
        return f"{self.method}, seed {self.job.seed}"


def data_of(job: Job) -> Data:
    """Return the images of a job on its device; all runs have the same."""
    return data_source(job.data).load(torch_device(job.device))


def train_and_rank(
    run: Run, architectures: Sequence[Architecture], judging: Judging, data: Data, observer: Observer
) -> None:
    """Train the supernet of a run unless it exists, and measure the accuracies that are not known yet.

    Raises:
        InvalidJob: Another process works in the folder.
    """
    device, train = torch_device(run.job.device), Train()
    with locked(run.folder), processes(device) as together:
        events = Events(run.folder, run.job, observer, together, sync.sync)

        def begun() -> JobContext:
            context = JobContext(run.folder, run.job, device, events, together)
            context.data = data
            return context

        with events.closing():
            if not train.is_done(run.folder):
                with events.stage("train", train.title):
                    train.run(begun())
            _evaluate(run, begun(), architectures, judging, observer)  # weights as saved, like in a resumed run


def _evaluate(
    run: Run, context: JobContext, architectures: Sequence[Architecture], judging: Judging, observer: Observer
) -> None:
    """Append the accuracies that the journal does not have."""
    journal = Journal(_journal(run.folder, judging), {"space": context.space.name, "judging": judging.describe()})
    known = {evaluation.architecture for evaluation in journal.evaluations}
    missing = [architecture for architecture in dict.fromkeys(architectures) if architecture not in known]
    places, last = count(len(journal.evaluations)), time.perf_counter()

    def keep(done: int, percent: np.ndarray) -> None:
        nonlocal last
        seconds, last = (time.perf_counter() - last) / len(percent), time.perf_counter()
        for architecture, value in zip(missing[done:], percent.tolist()):
            values = {"accuracy": value}
            journal.append(
                Evaluation(index=next(places), architecture=architecture, status="ok", values=values, seconds=seconds)
            )
        observer({"event": "score", "done": len(journal.evaluations), "total": len(known) + len(missing)})

    try:
        images = _images(context, judging)
        chunk = 200 if context.device.type == "cuda" else 10
        bf16 = context.job.train.bf16
        rank(context.supernet, missing, images, batch_norm=judging.batch_norm, chunk=chunk, on_chunk=keep, bf16=bf16)
    finally:
        journal.close()


def _images(context: JobContext, judging: Judging) -> RankingImages:
    """Return validation images, never those of the test split, and training images for batch norm."""
    validation = context.data.validation
    if judging.images is not None:
        validation = validation.subset(judging.images, seed=0)
    calibrated, examples = judging.batch_norm == "calibrated", context.job.search.calibration_examples
    size = judging.batch_size
    if calibrated:  # nothing depends on how many images are judged at once
        size = max(size, context.batches.judged_at_once("validation"))
    return RankingImages.of(
        ((images, labels) for images, labels in validation.sequential(size)),
        device=context.device,
        calibration=[images for (images,) in context.batches.calibration(examples)] if calibrated else (),
        batch_size=size,
    )


# ---- what is there ------------------------------------------------------------------------------------------------


def _journal(folder: Path, judging: Judging) -> Path:
    """Return the file of accuracies; those read in different ways lie in different files."""
    images = judging.images or "all"
    return folder / "ranking" / f"{judging.batch_norm}-{images}-{judging.batch_size}.jsonl"


def accuracies(run: Run, judging: Judging) -> dict[Architecture, Evaluation]:
    """Return the known accuracies of the subnets of a run."""
    path = _journal(run.folder, judging)
    if not path.exists() or not path.stat().st_size:
        return {}
    return {evaluation.architecture: evaluation for evaluation in read_evaluations(path)[1]}


def is_done(run: Run, architectures: Sequence[Architecture], judging: Judging) -> bool:
    """Return whether the supernet is trained and every accuracy known."""
    known = accuracies(run, judging)
    trained = (run.folder / "supernet.safetensors").exists()
    return trained and all(architecture in known for architecture in architectures)


def write_accuracies(path: Path, truth: Truth, columns: Mapping[str, np.ndarray]) -> None:
    """Write the ranked rows of the table with the results of each as csv, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*truth.rows.carried, "key", "true_percent", *columns])
    keys = [architecture.key for architecture in truth.rows.architectures]
    numbers = [truth.percent.tolist(), *(column.tolist() for column in columns.values())]
    writer.writerows(zip(*truth.rows.carried.values(), keys, *numbers, strict=True))
    write_whole(path, text.getvalue())
