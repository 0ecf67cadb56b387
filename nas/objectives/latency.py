"""Latency of the extracted subnet, on this machine or on another one."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from torch import nn

from nas.hardware.latency import LatencyConfig, Meter
from nas.hardware.measurement import Measurement, MeasurementFailed
from nas.objectives.objective import LEAST_MS, Objective, Role
from search_spaces import Architecture
from supernets.estimate import Estimate


class Latency(Objective):
    """Milliseconds of one forward pass, measured.

    Args:
        subnet: Gives the subnet of an architecture, see `nas.subnets.Subnets`.
        input_shape: Of one input at the resolution the subnets are used at, [C, H, W]; a `resolution` decision
            overrides H and W.
        config: How to measure.
        alone: Held while something is measured, so that nothing disturbs it.
    """

    name, unit, maximise = "latency_ms", "ms", False
    role: Role = "cost"
    serial, low = True, LEAST_MS

    def __init__(
        self,
        subnet: Callable[[Architecture], nn.Module],
        input_shape: tuple[int, ...],
        config: LatencyConfig,
        *,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.subnet, self.input_shape, self.config, self.alone = subnet, input_shape, config, alone
        self.meter = Meter(config)

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return self.evaluate_together([architecture])[0]

    def evaluate_together(self, architectures: list[Architecture], *, rounds: int = 1) -> list[Estimate]:
        """Several architectures that take turns, `rounds` times as long as for one: differences between them are then
        free of the machine's drift.

        Raises:
            MeasurementFailed: One of them has no latency.
        """
        measured = self.measure_together(architectures, rounds=rounds)
        failed = [one for one in measured if isinstance(one, MeasurementFailed)]
        if failed:
            raise failed[0]
        return [one.latency for one in measured if isinstance(one, Measurement)]

    def measure_together(
        self, architectures: list[Architecture], *, rounds: int = 1
    ) -> list[Measurement | MeasurementFailed]:
        """The same in full, where those that fail do not spoil the others."""
        models = [self.subnet(architecture) for architecture in architectures]
        shapes = [self._shape(architecture) for architecture in architectures]
        with self.alone():
            return self.meter.measure(models, shapes, rounds=rounds)

    def _shape(self, architecture: Architecture) -> tuple[int, ...]:
        size = architecture.get("resolution")
        return self.input_shape if size is None else (self.input_shape[0], int(size), int(size))
