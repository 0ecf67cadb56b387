"""What the stages of a job work with: its data, space, supernet, objectives and latencies, loaded when needed."""

import os
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nas.data import Data
from nas.hardware import DeviceUnreachable, Measurement, MeasurementFailed, Meter
from nas.hardware.latency_table import LatencyTable
from nas.hardware.quiet_moments import Quiet
from nas.objectives import Accuracy, Computed, Latency, Objective, PredictedLatency, Roofline, costs_of, parse_bound
from nas.search.problem import Problem
from nas.subnets import Subnets
from search_spaces import Architecture, Space
from service import catalogue
from service.errors import InvalidJob
from service.job import latency_table
from service.job.building import build_space, data_source
from service.job.job import Job
from service.job.objectives import QUALITY
from service.run.events import Recorder
from service.run.profiling import measure_architectures
from service.run.proxies import SearchProxies
from supernets import Processes, Supernet, load_supernet

EVALUATION_BATCH = 200
_ROUNDS_TO_REFUSE = 4  # a limit is not called impossible for a disturbed moment
_CALIBRATION_SEED = 20_000  # of its own, so that calibration never sees the order in which training saw the images


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
        return data_source(self.job.data).load(self.device)

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
            objectives=[*measured.values(), *predicted, *exact],
            optimised=[called[name] for name in search_config.objectives],
            bounds={called[name]: parse_bound(text) for name, text in search_config.constraints.items()},
            noted=self.proxies.noted() if self.job.proxies.names else [],
        )

    def _exact(self, names: Sequence[str]) -> list[Computed]:
        """What is computed of every candidate: its costs and, where asked for, its time on a device on paper."""
        exact: list[Computed] = [*costs_of(self.space)]
        analytic = self.job.latency.analytic
        if "roofline_ms" in names and analytic is not None:
            exact.append(Roofline(self.space, analytic.resolve(), self.job.latency.batch_size))
        return exact

    @cached_property
    def table(self) -> LatencyTable | None:
        """What predicts latencies in the search, if anything."""
        return latency_table.read_table(self.job, self.space) if self.job.latency.table else None

    @cached_property
    def proxies(self) -> SearchProxies:
        return SearchProxies(self.job, self.space, lambda: self.data, self.folder)

    def _objective(self, name: str) -> Objective:
        if name in ("accuracy", QUALITY):
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
        return Latency(self._timed_subnet, self.space.example, self.job.latency, alone=alone)

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
            if (least := latency_table.least_limit(self.table)) > high:
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
                meter.conditions(self.device, self.space.example())
        except DeviceUnreachable as error:
            raise InvalidJob([f"latency.device: {error}"]) from error

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
