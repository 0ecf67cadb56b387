"""Time from an input on a device to its answer from a server: both halves measured, the link by its model."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from torch import nn

from nas.hardware.config import LatencyConfig
from nas.hardware.latency import Meter
from nas.objectives.objective import LEAST_MS, Objective, Role
from nas.offload.halved import measured_halves
from nas.offload.link import SENT, Link
from search_spaces import Architecture, Space
from supernets.estimate import Estimate


class EndToEnd(Objective):
    """Milliseconds of one batch: device, link and server, one after the other.

    Args:
        subnet: Gives the subnet of an architecture, which has halves.
        space: Space that counts the bytes, and gives example inputs.
        link: The link between them.
        device: How the half on the device is measured, and where.
        server: How the half on the server is measured, and where, with the batch of the device; as the device where it
            is None.
        alone: Lock that is held while something is measured, so that nothing disturbs it.
    """

    name, unit, maximise = "end_to_end_ms", "ms", False
    role: Role = "cost"
    serial, low = True, LEAST_MS

    def __init__(
        self,
        subnet: Callable[[Architecture], nn.Module],
        space: Space,
        link: Link,
        device: LatencyConfig,
        *,
        server: LatencyConfig | None = None,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.subnet, self.space, self.link, self.alone = subnet, space, link, alone
        self.batch_size = device.batch_size
        other = device if server is None else replace(server, batch_size=self.batch_size)
        self.meters = (Meter(device), Meter(other))

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        """Return the time; its interval is as wide as those of both halves together.

        Raises:
            MeasurementFailed: One of the halves has no latency.
        """
        network, example = self.subnet(architecture), self.space.example(architecture)
        with self.alone():
            device, server = measured_halves(network, example, *self.meters)
        link_ms = self.link.ms(self.batch_size * int(self.space.costs([architecture])[SENT][0]))
        low = sum(one.value if one.low is None else one.low for one in (device, server))
        high = sum(one.value if one.high is None else one.high for one in (device, server))
        return Estimate(device.value + link_ms + server.value, low + link_ms, high + link_ms)
