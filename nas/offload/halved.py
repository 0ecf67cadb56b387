"""Networks that have two halves, and how long each of them takes where it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import torch

from nas.hardware.latency import Meter
from nas.hardware.measurement import MeasurementFailed
from supernets.estimate import Estimate

if TYPE_CHECKING:
    from torch import nn

    from nas.hardware.examples import Example

_NO_TIME = Estimate(0.0, 0.0, 0.0)


@runtime_checkable
class Halved(Protocol):
    """A plain network that can run in two places."""

    def halves(self) -> tuple[nn.Module, nn.Module]:
        """Return what runs on the device, and what runs on the server on its output."""
        ...


class HalfTimes(NamedTuple):
    """Measured times of the two halves of a network, in ms of one forward pass.

    Attributes:
        device: Time on the device; 0 where nothing runs there.
        server: Time on the server; 0 where nothing runs there.
    """

    device: Estimate
    server: Estimate


def measured_halves(network: nn.Module, example: Example, device: Meter, server: Meter, rounds: int = 1) -> HalfTimes:
    """Measure the halves of a network where they run, each as any network is.

    Args:
        network: A plain network in evaluation mode.
        example: What it is called with, at least one input of a batch.
        device: Meter of the device.
        server: Meter of the server.
        rounds: Multiplies the repeats.

    Raises:
        MeasurementFailed: One of the halves has no latency, or the network has no halves.
    """
    if not isinstance(network, Halved):
        raise MeasurementFailed(f"{type(network).__name__} has no halves, a network of the space split has")
    first, second = network.halves()
    with torch.inference_mode():
        sent = first(*(one.to(_device(network)) for one in example))
    return HalfTimes(_time(first, example, device, rounds), _time(second, (sent.clone(),), server, rounds))


def _time(half: nn.Module, example: Example, meter: Meter, rounds: int) -> Estimate:
    """Return the latency of a half; none where it computes nothing."""
    if next(half.parameters(), None) is None:
        return _NO_TIME
    (measured,) = meter.measure([half.eval()], [example], rounds=rounds)
    if isinstance(measured, MeasurementFailed):
        raise measured
    return measured.latency


def _device(network: nn.Module) -> torch.device:
    return next((one.device for one in network.parameters()), torch.device("cpu"))
