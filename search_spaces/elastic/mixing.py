"""Mixed sizes: weights of slices of one tensor, as factors of its entries.

Paper: Sukthanker et al., Weight-Entanglement Meets Gradient-Based Neural Architecture Search, AutoML-Conf 2024 (PMLR
v256), section 3.
Differs: the sum over all combinations of choices is computed as one factor a dimension, which is the same sum. Slices
of kernels are centred; a smaller kernel is the one that the layer would run, transformed if it learns that.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.architecture import Weight
from search_spaces.sizes import Mixture


def channel_factors(mixture: Mixture, channels: int, like: Tensor) -> Tensor:
    """Return factors [channels]: the summed weights of the sizes that have the channel.

    Args:
        mixture: Numbers of channels with weights.
        channels: How many channels there are.
        like: Gives device and type.
    """
    place = torch.arange(channels, device=like.device)
    total = torch.zeros(channels, device=like.device, dtype=like.dtype)
    for number, weight in mixture.weights.items():
        total = total + weight * (place < number).to(like.dtype)
    return total


def centre_factors(mixture: Mixture, size: int, like: Tensor) -> Tensor:
    """Return factors [size, size] of a kernel: the summed weights of the kernel sizes whose window has the position.

    Args:
        mixture: Kernel sizes with weights; each is a window around the centre.
        size: Size of the kernel.
        like: Gives device and type.
    """
    away = (torch.arange(size, device=like.device) - size // 2).abs()
    distance = torch.maximum(away[:, None], away[None, :])
    total = torch.zeros(size, size, device=like.device, dtype=like.dtype)
    for number, weight in mixture.weights.items():
        total = total + weight * (distance <= number // 2).to(like.dtype)
    return total


def mixed_kernel(kernels: Mapping[int, Tensor], weights: Mapping[int, Weight]) -> Tensor:
    """Return the weighted sum [O, I, K, K] of kernels [O, I, k, k] around one centre; K is the largest size k."""
    most = max(kernels)
    padded = [F.pad(kernel, [(most - size) // 2] * 4) * weights[size] for size, kernel in kernels.items()]
    return torch.stack(padded).sum(0)


def mixed_weights(mixed: Mapping[str, Mixture], weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Weight [O, I, ...] and bias [O] with the factors of mixed `outputs` and `inputs`."""
    further = (1,) * (weight.dim() - 2)
    if (inputs := mixed.get("inputs")) is not None:
        weight = weight * channel_factors(inputs, weight.shape[1], weight).view(1, -1, *further)
    if (outputs := mixed.get("outputs")) is not None:
        factors = channel_factors(outputs, weight.shape[0], weight)
        weight, bias = weight * factors.view(-1, 1, *further), None if bias is None else bias * factors
    return weight, bias


def refuse_mixtures(mixed: Mapping[str, Mixture]) -> None:
    """Say that a layer which runs a mixture cannot become a plain one.

    Raises:
        ValueError: It runs one.
    """
    for mixture in mixed.values():
        raise ValueError(
            f"{mixture.decision} is a mixture of choices: activate an architecture before extracting the network"
        )
