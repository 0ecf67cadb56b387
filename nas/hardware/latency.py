"""Latency of plain networks, here or on another machine.

All networks take turns, so that a machine that slows down for a while slows all of them alike. Each turn is a visit,
see `nas.hardware.timing`; `nas.hardware.measurement` joins the visits into numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.hardware.backends import Backend
from nas.hardware.checks import mistakes
from nas.hardware.config import Conditions, LatencyConfig, ssh_address
from nas.hardware.examples import Example, batch_of, shape_of
from nas.hardware.local import ThisMachine, device_name
from nas.hardware.measurement import Measurement, MeasurementFailed, latency_of, relative_width
from nas.hardware.remote import OtherMachine, Visit
from supernets.estimate import Estimate

__all__ = ["LatencyConfig", "Meter", "conditions", "measure", "measure_latency"]

VISITS = 10
"""Turns of each network; the repeats are shared among them."""

EXTRA_ROUNDS = 3
"""Times that a measurement with too wide an interval is extended by its own length."""


def measure_latency(
    models: Sequence[nn.Module], examples: Sequence[Example], config: LatencyConfig, *, rounds: int = 1
) -> list[Estimate]:
    """Measure the latency of each network in milliseconds per forward pass, with a 95% interval.

    Args:
        models: Networks on one device; they are put in evaluation mode.
        examples: What each network is called with, at least one input of a batch; see `Space.example`.
        config: How to measure.
        rounds: Multiplies the repeats.

    Raises:
        MeasurementFailed: A network has no latency; `measure` goes on with the others.
    """
    estimates = []
    for measured in measure(models, examples, config, rounds=rounds):
        if isinstance(measured, MeasurementFailed):
            raise measured
        estimates.append(measured.latency)
    return estimates


def measure(
    models: Sequence[nn.Module], examples: Sequence[Example], config: LatencyConfig, *, rounds: int = 1
) -> list[Measurement | MeasurementFailed]:
    """Measure latency, throughput, memory and energy of each network; a network without numbers has the reason.

    Args:
        models: Networks on one device; they are put in evaluation mode.
        examples: What each network is called with, at least one input of a batch; see `Space.example`.
        config: How to measure.
        rounds: Multiplies the repeats.

    Raises:
        ValueError: This machine does not support the configuration.
        DeviceUnreachable: The other machine does not answer.
    """
    with Meter(config) as meter:
        return meter.measure(models, examples, rounds=rounds)


class Meter:
    """A meter for one configuration, which keeps the connection to another machine between measurements.

    Args:
        config: How to measure.
        journal: File that keeps what another machine has measured; with the same networks in the same order, a
            measurement that was killed continues where it stopped.
    """

    def __init__(self, config: LatencyConfig, *, journal: Path | None = None) -> None:
        self.config = config
        self._backend: Backend = config.make_backend()
        self._journal = journal
        self._other: OtherMachine | None = None

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection to another machine, if there is one."""
        if self._other is not None:
            self._other.close()

    def conditions(self, device: torch.device, example: Example) -> Conditions:
        """Return the conditions of a latency measured now; this asks the other machine what it is.

        Args:
            device: Device where the networks are, if this machine measures.
            example: What a network is called with.
        """
        if self.config.is_remote:
            other = self._machine()
            other.connect()
            host = ssh_address(self.config.device).host
            name, version = f"{other.facts['device']} ({host})", str(other.facts["backend"])
        else:
            name, version = device_name(device), self._backend.version()
        return Conditions(
            device=name,
            backend=version,
            batch_size=self.config.batch_size,
            precision=self.config.precision,
            threads=self.config.threads,
            input_shape=shape_of(example),
            decode=self.config.decode,
        )

    def measure(
        self, models: Sequence[nn.Module], examples: Sequence[Example], *, rounds: int = 1
    ) -> list[Measurement | MeasurementFailed]:
        """Measure as the function `measure` does."""
        device = next((p.device for model in models for p in model.parameters()), torch.device("cpu"))
        if wrong := mistakes(self.config, device.type):
            raise ValueError("; ".join(wrong))
        batches = [batch_of(example, self.config.batch_size) for example in examples]
        records = [_Record() for _ in models]
        place: ThisMachine | OtherMachine
        if self.config.is_remote:
            place = self._machine()
            place.connect()
            place.load(self._exported(models, batches, records))
        else:
            place = ThisMachine(self.config, self._backend, device)
            place.load(models, batches)
        _take_turns(place, records, self.config, rounds)
        place.unload()
        return [self._result(record, device, batch) for record, batch in zip(records, batches)]

    def _machine(self) -> OtherMachine:
        if self._other is None:
            assert self._backend.runtime is not None
            self._other = OtherMachine(self.config, self._backend.runtime, self._journal)
        return self._other

    def _exported(
        self, models: Sequence[nn.Module], batches: Sequence[Example], records: Sequence["_Record"]
    ) -> list[bytes]:
        """Return the networks as files; one that cannot be exported has failed."""
        files = []
        for model, batch, record in zip(models, batches, records):
            try:
                files.append(self._backend.export(model.eval(), batch, self.config))
            except Exception as error:  # any complaint of the exporter
                files.append(b"")
                record.error = f"cannot be exported: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        return files

    def _result(self, record: "_Record", device: torch.device, batch: Example) -> Measurement | MeasurementFailed:
        if record.error is not None:
            return MeasurementFailed(record.error)
        latency, limit = latency_of(record.visits), self.config.max_interval
        if limit is not None and relative_width(latency) > limit:
            width = 100 * relative_width(latency)
            return MeasurementFailed(
                f"its interval stays {width:.0f} % wide, more than {100 * limit:.0f} % (max_interval)"
            )
        return Measurement(
            latency=latency,
            throughput_per_s=1e3 * self.config.batch_size / latency.value,
            memory_mb=record.memory_mb,
            energy_mj=sum(record.energy_mj) / len(record.energy_mj) if record.energy_mj else None,
            conditions=self.conditions(device, batch),
        )


def conditions(device: torch.device, example: Example, config: LatencyConfig) -> dict[str, Any]:
    """Return what a latency depends on; it is written beside every number."""
    with Meter(config) as meter:
        return meter.conditions(device, example).to_dict()


@dataclass
class _Record:
    """The measurements of one network so far."""

    visits: list[list[float]] = field(default_factory=list)
    energy_mj: list[float] = field(default_factory=list)
    memory_mb: float | None = None
    seconds: float = 0.0
    error: str | None = None
    over: bool = False

    def add(self, result: dict[str, Any], limit_s: float) -> None:
        """Add a visit; it is the last one where the time is over."""
        self.seconds += result["seconds"]
        if "error" in result:
            enough = len(self.visits) >= 2 and self.seconds >= limit_s
            self.error, self.over = (None if enough else result["error"]), True
            return
        self.visits.append(result["times_ms"])
        self.memory_mb = result["memory_mb"]
        if result["energy_mj"] is not None:
            self.energy_mj.append(result["energy_mj"])
        self.over = self.seconds >= limit_s

    @property
    def is_open(self) -> bool:
        return self.error is None and not self.over


def _take_turns(
    place: ThisMachine | OtherMachine, records: Sequence[_Record], config: LatencyConfig, rounds: int
) -> None:
    """Visit all networks in turn, then visit those again whose interval is too wide."""
    turn = 0
    for more in range(1 + (EXTRA_ROUNDS if config.max_interval is not None else 0)):
        chosen = [i for i, record in enumerate(records) if record.is_open and (not more or _is_wide(record, config))]
        for _ in range(VISITS * rounds):
            asked = [Visit(i, turn, _plan(records[i], config)) for i in chosen if records[i].is_open]
            for visit, result in place.visits(asked):
                records[visit.network].add(result, config.timeout_s)
            turn += 1


def _is_wide(record: _Record, config: LatencyConfig) -> bool:
    return config.max_interval is not None and relative_width(latency_of(record.visits)) > config.max_interval


def _plan(record: _Record, config: LatencyConfig) -> dict[str, Any]:
    return {
        "warmup_s": config.warmup_s,
        "groups": math.ceil(config.repeats / VISITS),
        "min_time_ms": config.min_time_ms,
        "timeout_s": max(1e-3, config.timeout_s - record.seconds),
    }
