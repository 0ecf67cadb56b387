"""The stages of a job: train, search, measure, test.

Each stage leaves its output in the job folder and is skipped where that output is there already, so a job that was
interrupted goes on where it stopped. Everything that reaches a person or MLflow on the way is an event: a dictionary
that is appended to ``progress.jsonl`` and handed to the observer.
"""

import json
import os
import resource
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nas.archive import hypervolume, pareto_front
from nas.data import Data, load_data
from nas.estimate import Estimate
from nas.hardware import DeviceUnreachable, Measurement, MeasurementFailed, Meter
from nas.hardware.latency_table import LatencyTable
from nas.hardware.quiet import Quiet
from nas.journal import Evaluation, read_evaluations
from nas.objectives import (
    Accuracy,
    Computed,
    Cost,
    Latency,
    Objective,
    PredictedLatency,
    Roofline,
    parse_bound,
    top1_percent,
)
from nas.reachable import nearest_found
from nas.search import Problem
from nas.subnets import Subnets
from search_spaces import Architecture, Space
from service import catalogue, latency_tables, report, samplers, splits, system_metrics, tracking
from service.environment import environment
from service.final_front import FinalFront
from service.folder import read_json, write_json
from service.jobs import InvalidJob, Job, build_space
from service.mlflow_format import created_ms
from service.profiling import measure_architectures, torch_device
from service.proxies_in_search import SearchProxies
from service.recorder import Mirror, Observer, Recorder, stage_seconds
from service.search_stage import SearchStage
from supernets import (
    Processes,
    SplitConfig,
    Supernet,
    calibrate,
    load_supernet,
    phases,
    processes,
    train,
    train_few_shot,
)

STAGES = ("train", "search", "measure", "test")
EVALUATION_BATCH = 200
_ROUNDS_TO_REFUSE = 4  # a limit is not called impossible for a disturbed moment
_CALIBRATION_SEED = 20_000  # of its own, so that calibration never sees the order in which training saw the images


def run(
    folder: Path,
    job: Job,
    observer: Observer,
    *,
    stages: Sequence[str] = STAGES,
    supernet_from: Path | None = None,
    mirror: Mirror | None = tracking.sync,
    workers: int = 1,
) -> dict[str, Any]:
    """Run the stages of a job that are not done yet; returns what ``result.json`` says.

    Args:
        folder: The job folder, prepared by `service.prepare.prepare_folder`.
        job: What to do.
        observer: Receives every event.
        stages: Which stages, in the order of `STAGES`.
        supernet_from: Job folder whose trained supernet is searched instead of training one.
        mirror: Logs the folder in MLflow from time to time; None where another process does that.
        workers: Candidates that the search evaluates at the same time, each in a process of its own.
    """
    result_path = folder / "result.json"
    if result_path.exists():
        return json.loads(result_path.read_text())
    device = torch_device(job.device)
    with processes(device) as siblings:
        recorder = Recorder(folder, job, observer, siblings, mirror)
        work = Work(folder, job, device, recorder, siblings, supernet_from, workers=workers)
        work.check_latency_bound()
        with recorder.closing(), _watched(folder, recorder):
            for stage in stages:
                if siblings.is_first or stage == "train":
                    with recorder.stage(stage):
                        getattr(work, stage)()
            result = work.result() if siblings.is_first else {}
        if siblings.is_first and "test" in stages:
            write_json(result_path, result)
            recorder.sync(final=True)
    return result


def _watched(folder: Path, recorder: Recorder) -> AbstractContextManager[None]:
    """How busy the machine is, kept by the first of several processes."""
    described = read_json(folder / "job.json")
    if described is None or not recorder.siblings.is_first:
        return nullcontext()
    return system_metrics.sampled(recorder.keep, created_s=created_ms(described) / 1000)


@dataclass
class Work:
    """Data, space and supernet of one job, loaded when a stage needs them."""

    folder: Path
    job: Job
    device: torch.device
    recorder: Recorder
    siblings: Processes
    supernet_from: Path | None = None
    workers: int = 1
    quiet: Quiet | None = None

    @cached_property
    def data(self) -> Data:
        return load_data(self.job.data, device=self.device)

    @cached_property
    def space(self) -> Space:
        return build_space(self.job)

    @cached_property
    def supernet(self) -> Supernet:
        """The supernet with fresh weights, or the trained one where there is one."""
        trained = (self.supernet_from or self.folder) / "supernet.safetensors"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.job.seed)
            supernet = load_supernet(self.space, trained) if trained.exists() else Supernet(self.space)
        return supernet.to(device=self.device).to(memory_format=torch.channels_last)

    @cached_property
    def subnets(self) -> Subnets:
        images = self.job.search.calibration_images
        return Subnets(self.supernet, lambda: self.calibration_batches(images))

    def calibration_batches(self, images: int) -> Iterable[Tensor]:
        """Training images for batch norm, augmented as in training, the same at every call."""
        batch = min(EVALUATION_BATCH, images, len(self.data.train))
        batches = islice(self.data.train.batches(batch, epoch=0, seed=_CALIBRATION_SEED), max(1, images // batch))
        return (images for images, _ in self._in_pieces(batches))

    def _in_pieces(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterable[tuple[Tensor, Tensor]]:
        """Batches between which a measurement elsewhere may have the machine for itself."""
        return batches if self.quiet is None else self.quiet.pieces(batches)

    def _validation_batches(self, fidelity: float = 1.0) -> Iterable[tuple[Tensor, Tensor]]:
        """All images of the validation split, or a part of them, the same at every call."""
        validation = self.data.validation
        if fidelity < 1:
            validation = validation.subset(max(1, round(fidelity * len(validation))), seed=0)
        return self._in_pieces(validation.sequential(EVALUATION_BATCH))

    @cached_property
    def problem(self) -> Problem:
        search_config = self.job.search
        names = [
            *search_config.objectives,
            *(n for n in search_config.constraints if n not in search_config.objectives),
        ]
        predicted = [PredictedLatency(self.table)] if self.table and "latency_ms" in names else []
        exact = self._exact(names)
        computed = {objective.name for objective in (*exact, *predicted)}
        measured = {name: self._objective(name) for name in names if name not in computed}
        called = {name: measured[name].name if name in measured else name for name in names}
        return Problem(
            exact=exact,
            predicted=predicted,
            measured=list(measured.values()),
            optimised=[called[name] for name in search_config.objectives],
            bounds={called[name]: parse_bound(text) for name, text in search_config.constraints.items()},
            noted=self.proxies.noted() if self.job.proxies.names else [],
        )

    def _exact(self, names: Sequence[str]) -> list[Computed]:
        """What is computed of every candidate: its costs and, where asked for, its time on a device on paper."""
        exact: list[Computed] = [Cost(self.space, "macs"), Cost(self.space, "params")]
        analytic = self.job.latency.analytic
        if "roofline_ms" in names and analytic is not None:
            exact.append(Roofline(self.space, analytic.resolve(), self.job.latency.batch_size))
        return exact

    @cached_property
    def table(self) -> LatencyTable | None:
        """What predicts latencies in the search, if anything."""
        return latency_tables.read_table(self.job, self.space) if self.job.latency.table else None

    @cached_property
    def proxies(self) -> SearchProxies:
        return SearchProxies(self.job, self.space, lambda: self.data, self.folder)

    def _objective(self, name: str) -> Objective:
        if name == "accuracy":
            return Accuracy(self.subnets, self._validation_batches)
        if name == "latency_ms":
            return self.latency
        if name in catalogue.PROXIES:
            return self.proxies.objective(name)
        return catalogue.resolve("objective", name)(self.subnets)

    @cached_property
    def latency(self) -> Latency:
        quiet = Quiet(self.folder / "search")
        alone = nullcontext if self.job.latency.is_remote else quiet.measuring
        return Latency(self._timed_subnet, self.space.input_shape, self.job.latency, alone=alone)

    def _timed_subnet(self, architecture: Architecture) -> nn.Module:
        """The subnet that accuracy is read of; one without calibration where that happens elsewhere, which takes as
        long."""
        if self.workers == 1:
            return self.subnets(architecture)
        return self.supernet.extract(architecture).to(memory_format=torch.channels_last).eval()

    def check_latency_bound(self) -> None:
        """Refuse a latency limit that even the smallest architecture breaks, before anything is trained."""
        text = self.job.search.constraints.get("latency_ms")
        high = parse_bound(text).high if text else None
        self._check_other_machine()
        if high is None or (self.folder / "search" / "journal.jsonl").exists():
            return
        if self.table:
            if (least := latency_tables.least_limit(self.table)) > high:
                why = f"by latency.table no network is sure to take less than {least:.3g} ms"
                raise InvalidJob([f"search.constraints.latency_ms: {text} can't be met: {why}"])
            return
        for rounds in (1, _ROUNDS_TO_REFUSE):
            smallest = measure_architectures(self.space, [self.space.smallest()], self.job, self.device, rounds=rounds)
            if not (why := _too_slow(smallest[0], high)):
                return
        place = "there" if self.job.latency.is_remote else "on this machine"
        smallest_is = f"the smallest architecture of {self.space.name}"
        raise InvalidJob([f"search.constraints.latency_ms: {text} can't be met: {smallest_is} {why} {place}"])

    def _check_other_machine(self) -> None:
        """Refuse a machine that cannot measure, before anything is trained."""
        if not self.job.latency.is_remote or (self.folder / "front.json").exists():
            return
        try:
            with Meter(self.job.latency) as meter:
                meter.conditions(self.device, self.space.input_shape)
        except DeviceUnreachable as error:
            raise InvalidJob([f"latency.device: {error}"]) from error

    # ---- stages ---------------------------------------------------------------------------------------------------

    def train(self) -> None:
        done = self.folder / "supernet.safetensors"
        if done.exists() or self.supernet_from is not None:
            return
        if self.job.train.split is not None:
            self.supernet = self._train_parts(self.job.train.split)
        else:
            train(
                self.supernet,
                phases(self.space, self.job.train, samplers.maker(self.job.train)),
                self.data.train,
                self.job.train,
                seed=self.job.seed,
                folder=self.folder / "train",
                observer=self.recorder,
                validate=self._validate,
                processes=self.siblings,
            )
        if self.siblings.is_first:
            temporary = done.with_suffix(".tmp")
            self.supernet.save(temporary)
            os.replace(temporary, done)

    def _train_parts(self, split: SplitConfig) -> Supernet:
        """Train with splits between stages."""
        try:
            splits.budget(self.job.train, self.space, self.data.train.steps(self.job.train.batch_size))
        except ValueError as error:
            raise InvalidJob([str(error)]) from error
        return train_few_shot(
            self.supernet,
            splits.part_phases(self.job.train),
            self.data.train,
            self.job.train,
            split,
            seed=self.job.seed,
            folder=self.folder / "train",
            observer=self.recorder,
            validate=self._validate,
            processes=self.siblings,
        )

    def _validate(self, supernet: Supernet) -> dict[str, float]:
        """Validation accuracy of the largest, the smallest and one random architecture, on up to 1,000 images."""
        sample = self.data.validation.subset(min(1000, len(self.data.validation)), seed=0)
        named = {
            "largest": supernet.space.largest(),
            "smallest": supernet.space.smallest(),
            "random": supernet.space.sample(np.random.default_rng(0)),
        }
        accuracies = {}
        for name, architecture in named.items():
            subnet = calibrate(supernet.extract(architecture), self.calibration_batches(1000))
            accuracies[name] = top1_percent(subnet, sample.sequential(EVALUATION_BATCH))
        return accuracies

    def search(self) -> None:
        self.require_supernet()
        evaluations = SearchStage(self).evaluations()
        write_json(
            self.folder / "search" / "hypervolume.json", hypervolume(evaluations, self.problem.directions).to_json()
        )
        for warning in self.proxies.report(evaluations):
            self.recorder({"event": "warning", "time": time.time(), "message": warning})
        if not pareto_front(evaluations, self.problem.directions):
            reasons = sorted({e.reason or "" for e in evaluations}) or ["the searcher found none within them"]
            reason = nearest_found(evaluations, self.problem.bounds) or reasons[0]
            raise InvalidJob([f"no candidate of {len(evaluations)} kept every limit and could be evaluated: {reason}"])

    def measure(self) -> None:
        """Measure the latency of the best again, and keep who is non-dominated and within the limits then."""
        if (self.folder / "front.json").exists():
            return
        _, evaluations = read_evaluations(self.folder / "search" / "journal.jsonl")
        most = round(self.job.search.remeasured_share * self.job.search.evaluations)
        final = FinalFront(
            problem=self.problem,
            measure=self._measured_again,
            table=self.table,
            observer=self.recorder,
            most=most,
        )
        kept, dropped = final.settle(evaluations)
        write_json(
            self.folder / "front.json",
            {
                "objectives": self.problem.describe(),
                "space": self.space.describe(),
                "decisions": [decision.name for decision in self.space.decisions],
                "latency": self.latency.meter.conditions(self.device, self.space.input_shape).to_dict(),
                "members": [_member(evaluation) for evaluation in kept],
                "dropped": [{**_member(evaluation), "reason": evaluation.reason} for evaluation in dropped],
            },
        )

    def _measured_again(self, architectures: list[Architecture], rounds: int) -> list[Estimate | MeasurementFailed]:
        measured = self.latency.measure_together(architectures, rounds=rounds)
        return [one.latency if isinstance(one, Measurement) else one for one in measured]

    def test(self) -> None:
        """Evaluate every member of the front once on the test split, and keep its weights."""
        front = json.loads((self.folder / "front.json").read_text())
        (self.folder / "front").mkdir(exist_ok=True)
        for i, member in enumerate(front["members"]):
            self.recorder({"event": "test", "done": i, "total": len(front["members"])})
            if "test_accuracy" in member:
                continue
            subnet = self.subnets(self.space.architecture(member["architecture"]))
            member["weights"] = f"front/{member['key']}.safetensors"
            save_weights(subnet, self.folder / member["weights"])
            member["test_accuracy"] = top1_percent(subnet, self.data.test.sequential(EVALUATION_BATCH))
        splits_read = {"validation": self.data.validation, "test": self.data.test}
        front["images"] = {name: len(split) for name, split in splits_read.items()}
        write_json(self.folder / "front.json", front)
        self.recorder({"event": "test", "done": len(front["members"]), "total": len(front["members"])})
        report.write_report(self.folder)

    def result(self) -> dict[str, Any]:
        """The job in numbers."""
        stages = stage_seconds(self.folder)
        summary: dict[str, Any] = {
            "status": "finished",
            "stages": stages,
            "seconds": round(sum(stages.values()), 1),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "environment": environment(),
        }
        front_path, volume_path = self.folder / "front.json", self.folder / "search" / "hypervolume.json"
        if front_path.exists():
            members = json.loads(front_path.read_text())["members"]
            summary["front_size"] = len(members)
            summary["test_accuracy"] = report.most_accurate(members).get("test_accuracy") if members else None
        if volume_path.exists():
            summary["hypervolume"] = json.loads(volume_path.read_text())["curve"][-1][1]
        return summary

    def require_supernet(self) -> None:
        """Raises InvalidJob where there is no trained supernet."""
        place = self.supernet_from or self.folder
        if not (place / "supernet.safetensors").exists():
            raise InvalidJob([f"{place} holds no trained supernet (supernet.safetensors): run `nas train` first"])


def _too_slow(measured: Measurement | MeasurementFailed, limit_ms: float) -> str:
    """How an architecture surely breaks a limit; empty where it may keep it."""
    if isinstance(measured, MeasurementFailed):
        return f"has no latency ({measured})"
    latency = measured.latency
    return f"takes {latency.value:.3g} ms" if latency.low is not None and latency.low > limit_ms else ""


def save_weights(subnet: nn.Module, path: Path) -> None:
    """Write the weights of a plain subnet as safetensors, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    save_file({name: tensor.contiguous() for name, tensor in subnet.state_dict().items()}, temporary)
    os.replace(temporary, path)


def _member(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "key": evaluation.architecture.key,
        "architecture": evaluation.architecture.to_json(),
        "values": evaluation.values,
        "intervals": evaluation.intervals,
    }
