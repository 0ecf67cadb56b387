"""The parts that the stages of a job share, each made when a stage first asks for it."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import nn

from nas.data import Data
from nas.hardware.latency_table import LatencyTable
from nas.hardware.measurement_lock import MeasurementLock
from nas.objectives import Latency
from nas.search.problem import Problem
from nas.subnets import Subnets
from search_spaces import Architecture, Space
from search_spaces.decoding_space import as_timed
from search_spaces.kernels.conv2d import set_own_kernels
from search_spaces.networks.decoding import Decoding
from search_spaces.simulated import measurable
from service.errors import InvalidJob
from service.job import latency_table
from service.job.building import build_space, build_task
from service.job.folder import write_whole
from service.job.job import Job
from service.job.kept_data import JobData, job_data
from service.run.batches import EvaluationBatches, undisturbed
from service.run.candidates import trained_candidates
from service.run.events import Events
from service.run.offered import Offered
from service.run.problem import build_problem
from service.run.proxies import SearchProxies
from service.run.reading import read_data
from service.run.stages.outputs import SUPERNET
from supernets import Mixture, Processes, Supernet, Task, load_supernet
from supernets.fitting import examples_that_fit


@dataclass
class JobContext:
    """One job and the parts that its stages use; it only puts them together.

    Args:
        folder: Folder of the job.
        job: Job that runs.
        device: Device where networks are trained and judged.
        events: Receives what happens.
        processes: This process among those of the job.
        inputs: File name -> folder of another job that it is taken from.
        workers: Processes that evaluate candidates of the search.
        measurements: Lock that gives the machine to measurements of other processes between two batches; None where
            nothing is measured.
    """

    folder: Path
    job: Job
    device: torch.device
    events: Events
    processes: Processes
    inputs: Mapping[str, Path] = field(default_factory=dict)
    workers: int = 1
    measurements: MeasurementLock | None = None

    def __post_init__(self) -> None:
        set_own_kernels(self.job.train.own_kernels)

    # ---- files ------------------------------------------------------------------------------------------------------

    def place_of(self, name: str) -> Path:
        """Return where a file lies: in the folder of this job or of the one that it is taken from."""
        return self.inputs.get(name, self.folder) / name

    def adopted(self, name: str) -> Path:
        """Return a file of the own folder, copied from the job that it is taken from where it is not there yet."""
        own = self.folder / name
        if not own.exists() and self.place_of(name).exists():
            write_whole(own, self.place_of(name).read_bytes())
        return own

    def require_supernet(self) -> None:
        """Refuse to go on without a trained supernet.

        Raises:
            InvalidJob: There is none.
        """
        path = self.place_of(SUPERNET)
        if not path.exists():
            raise InvalidJob([f"{path.parent} holds no trained supernet ({SUPERNET}): run `nas train` first"])

    # ---- what is searched -------------------------------------------------------------------------------------------

    @cached_property
    def found_data(self) -> JobData:
        """The data, found but not loaded, split as the networks of the job were trained."""
        first = {SUPERNET: self.inputs[SUPERNET]} if SUPERNET in self.inputs else {}
        return job_data(self.job, self.folder, {**first, **self.inputs}.values())

    @cached_property
    def data(self) -> Data:
        data = read_data(self.found_data, self.device, self.events)
        if self.processes.is_first and (told := self.found_data.keep(data)):
            self.events({"event": "warning", "time": time.time(), "message": told})
        return data

    @cached_property
    def space(self) -> Space:
        return build_space(self.job, self.found_data.looked_at.facts)

    @cached_property
    def supernet(self) -> Supernet:
        """The supernet with fresh weights, or the trained one where there is one."""
        trained = self.place_of(SUPERNET)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.job.seed)
            supernet = load_supernet(self.space, trained) if trained.exists() else self._fresh()
        return supernet.to(device=self.device).to(memory_format=torch.channels_last)

    def _fresh(self) -> Supernet:
        """Return the supernet, or those of a mixture, with fresh weights."""
        mixture = self.job.train.mixture
        return Supernet(self.space) if mixture is None else Mixture(self.space, mixture.members)

    # ---- how it is judged -------------------------------------------------------------------------------------------

    @property
    def task_name(self) -> str:
        """What a job calls its task."""
        return self.job.task.name or self.found_data.looked_at.task

    @cached_property
    def task(self) -> Task:
        """What networks are trained for and judged by."""
        return build_task(self.job, self.found_data.looked_at)

    @cached_property
    def batches(self) -> EvaluationBatches:
        between = undisturbed if self.measurements is None else self.measurements.pieces
        fit = partial(examples_that_fit, device=self.device) if self.device.type == "cuda" else None
        return EvaluationBatches(lambda: self.data, self.task.inputs, between, fit)

    @cached_property
    def subnets(self) -> Callable[[Architecture], nn.Module]:
        """Gives the network of an architecture that is judged."""
        alone = self.job.search.alone
        if alone is None:
            return self._calibrated
        return trained_candidates(
            self.job,
            self.space,
            self.task,
            data=lambda: self.data,
            inherited=self._calibrated if alone.needs_supernet else None,
            folder=self.folder,
            device=self.device,
        )

    @cached_property
    def _calibrated(self) -> Subnets:
        examples = self.job.search.calibration_examples
        return Subnets(self.supernet, lambda: self.batches.calibration(examples), bf16=self.job.search.bf16)

    @cached_property
    def problem(self) -> Problem:
        offered = Offered(
            {
                "space": lambda: self.space,
                "task": lambda: self.task,
                "data": lambda: self.data,
                "supernet": lambda: self.supernet,
                "subnet": lambda: self.subnets,
                "subnets": lambda: self.subnets,
                "batches": lambda: self.batches.validation,
                "bf16": lambda: self.job.search.bf16,
                "timed_subnet": lambda: self._timed_subnet,
                "timed_space": lambda: self.timed_space,
                "latency": lambda: self.job.latency,
                "alone": lambda: self._alone,
                "table": lambda: self.table,
            }
        )
        return build_problem(self.job, offered, self.proxies)

    @cached_property
    def proxies(self) -> SearchProxies:
        return SearchProxies(self.job, self.space, lambda: self.data, self.folder)

    @cached_property
    def table(self) -> LatencyTable | None:
        """What predicts latencies in the search, if anything."""
        return latency_table.read_table(self.job, self.space) if self.job.latency.table else None

    @cached_property
    def latency(self) -> Latency:
        """Measures latency, also where the search goes by predictions."""
        return Latency(self._timed_subnet, self.timed_space.example, self.job.latency, alone=self._alone)

    @cached_property
    def timed_space(self) -> Space:
        """The space whose networks do what is timed: one pass, or the writing of a target."""
        return as_timed(self.space, self.job.latency.decode)

    def _alone(self) -> AbstractContextManager[None]:
        """Return the lock that is held while something is measured, so that no evaluation on this machine
        disturbs it.
        """
        return nullcontext() if self.job.latency.is_remote else MeasurementLock(self.folder / "search").measuring()

    def _timed_subnet(self, architecture: Architecture) -> nn.Module:
        """Return the subnet that quality is read of, or, where that happens elsewhere, one without calibration."""
        if self.workers == 1:
            network = self.subnets(architecture)
        else:
            network = self.supernet.extract(architecture).to(memory_format=torch.channels_last).eval()
        network, decode = measurable(self.space.simulated, network), self.job.latency.decode
        return network if decode is None else Decoding(network, decode).eval()
