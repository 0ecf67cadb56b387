"""Accuracy of many subnets with inherited weights, on the supernet itself: nothing is extracted.

Batch norm uses the statistics of each validation batch, as published one-shot rankings on NAS-Bench-201 do, or it is
calibrated on training images first. The calibrated accuracies equal those of extracting, calibrating and testing each
subnet. Running statistics of the supernet, its modes and its active architecture do not change.

Paper: PA&DA, arXiv 2302.14772 (batch statistics, as in the released code); Once-for-All, arXiv 1908.09791
(calibration).
Differs: images are shared out equally among the batches, so that no subnet is judged by the statistics of a small rest.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from search_spaces import Architecture
from search_spaces.elastic import ElasticBatchNorm2d
from supernets import Supernet, left_as_it_was
from supernets.calibration import NormStatistics, write_statistics
from supernets.device import computing, in_bf16, send
from supernets.fitting import divided_where_needed

BatchNorm = Literal["batch", "calibrated"]
OnChunk = Callable[[int, np.ndarray], None]
Norm = ElasticBatchNorm2d | _BatchNorm


@dataclass(frozen=True, kw_only=True)
class RankingImages:
    """Images that all architectures are judged on, kept on the device of the supernet.

    Attributes:
        batches: Validation images [B, C, H, W] and labels [B].
        calibration: Training images [B, C, H, W] for calibrated batch norm.
    """

    batches: Sequence[tuple[Tensor, Tensor]]
    calibration: Sequence[Tensor] = ()

    @classmethod
    def of(
        cls,
        batches: Iterable[tuple[Tensor, Tensor]],
        *,
        device: torch.device,
        calibration: Iterable[Tensor] = (),
        batch_size: int | None = None,
    ) -> "RankingImages":
        """Return images on the device, channels last.

        Args:
            batches: Validation images and labels.
            device: Device of the supernet.
            calibration: Batches for batch norm; they stay as they are.
            batch_size: Most images of a batch, which then all have the same size within one; None for the batches as
                they come.

        Raises:
            ValueError: There are no images.
        """
        given = list(batches)
        if not sum(len(labels) for _, labels in given):
            raise ValueError("ranking needs at least one image, got none")
        if batch_size is not None:
            given = _equal(given, batch_size)
        return cls(
            batches=[(_on(images, device), send(labels, device)) for images, labels in given],
            calibration=[_on(images, device) for images in calibration],
        )

    @property
    def count(self) -> int:
        """Validation images."""
        return sum(len(labels) for _, labels in self.batches)


@torch.inference_mode()
def rank(
    supernet: Supernet,
    architectures: Sequence[Architecture],
    images: RankingImages,
    *,
    batch_norm: BatchNorm = "batch",
    chunk: int = 200,
    on_chunk: OnChunk = lambda done, percent: None,
    bf16: bool = True,
) -> np.ndarray:
    """Return the top-1 accuracy of each architecture, in percent [N].

    Args:
        supernet: Supernet, on its device.
        architectures: Architectures of its space.
        images: Images that they are judged on.
        batch_norm: `batch` for the statistics of each batch; `calibrated` for those of the calibration images.
        chunk: Architectures between two moments at which the host waits for the device.
        on_chunk: Called then with the number done before and the accuracies of the chunk.
        bf16: Whether CUDA computes in bfloat16 autocast.

    Raises:
        ValueError: Calibration is asked for without images, or `chunk` is not positive.
        InvalidArchitecture: One is not of the space of the supernet.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if batch_norm == "calibrated" and not images.calibration:
        raise ValueError("batch_norm 'calibrated' needs calibration images, got none")
    device = images.batches[0][0].device
    calibration = images.calibration if batch_norm == "calibrated" else ()
    percents = [np.zeros(0)]
    fitted = divided_where_needed(supernet) if device.type == "cuda" else nullcontext()
    with computing(device), left_as_it_was(supernet), in_bf16(device, bf16), fitted:
        supernet.eval()
        for start in range(0, len(architectures), chunk):
            part = architectures[start : start + chunk]
            percents.append(_percents(supernet, part, images, calibration))
            on_chunk(start, percents[-1])
    return np.concatenate(percents)


def _percents(
    supernet: Supernet, architectures: Sequence[Architecture], images: RankingImages, calibration: Sequence[Tensor]
) -> np.ndarray:
    """Return the top-1 accuracies [N] of architectures; the host waits for the device once."""
    norms = [module for module in supernet.modules() if isinstance(module, Norm)]
    right = torch.zeros(len(architectures), dtype=torch.int64, device=images.batches[0][0].device)
    for place, architecture in enumerate(architectures):
        supernet.activate(architecture)
        _set_norms(supernet, norms, calibration)
        for batch, labels in images.batches:
            right[place] += (supernet(batch).argmax(dim=1) == labels).sum()
    return 100.0 * right.cpu().numpy() / images.count


def _set_norms(supernet: Supernet, norms: Sequence[Norm], calibration: Sequence[Tensor]) -> None:
    """Let the norms follow the statistics of each batch or, with calibration images, have those of the active subnet.

    Statistics are averaged over batches by their sizes, as `supernets.calibration` does it.
    """
    for norm in norms:
        norm.training = True
    if not calibration:
        return
    statistics = [NormStatistics() for _ in norms]
    hooks = [norm.register_forward_pre_hook(measured.observe) for norm, measured in zip(norms, statistics)]
    for batch in calibration:
        supernet(batch)
    if norms and not any(measured.examples for measured in statistics):
        raise ValueError(
            "batch_norm 'calibrated': no batch norm of this supernet is called as a layer; use 'batch', or extract and "
            "calibrate every architecture"
        )
    for hook, norm in zip(hooks, norms):
        hook.remove()
        norm.training = False
    write_statistics(norms, statistics)


def _on(images: Tensor, device: torch.device) -> Tensor:
    return send(images, device).contiguous(memory_format=torch.channels_last)


def _equal(batches: Sequence[tuple[Tensor, Tensor]], batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """Return the same images in as few batches of at most `batch_size` as can be, of sizes equal within one."""
    images, labels = (torch.cat(parts) for parts in zip(*batches))
    count = -(-len(labels) // batch_size)
    return list(zip(images.tensor_split(count), labels.tensor_split(count)))
