"""Calibrated subnets of a supernet, the only form in which subnets are judged."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from search_spaces import Architecture
from supernets import Supernet
from supernets.calibration import calibrated_subnet


class Subnets:
    """A function from an architecture to its extracted and calibrated network in evaluation mode. The last one is
    remembered, so that several objectives share it. See `supernets.calibration.calibrated_subnet`.

    Args:
        supernet: Supernet that the weights come from; its active architecture changes.
        calibration_batches: Makes the training inputs for batch norm, the same at every call; see `calibrate`.
        bf16: Whether CUDA calibrates in bfloat16 autocast.
    """

    def __init__(
        self,
        supernet: Supernet,
        calibration_batches: Callable[[], Iterable[Tensor | tuple[Tensor, ...]]],
        *,
        bf16: bool = False,
    ) -> None:
        self.supernet = supernet
        self.calibration_batches = calibration_batches
        self.bf16 = bf16
        self._last: tuple[Architecture, nn.Module] | None = None

    def __call__(self, architecture: Architecture) -> nn.Module:
        if self._last is None or self._last[0] != architecture:
            subnet = calibrated_subnet(
                self.supernet,
                architecture,
                self.calibration_batches,
                memory_format=torch.channels_last,
                bf16=self.bf16,
            )
            self._last = (architecture, subnet)
        return self._last[1]
