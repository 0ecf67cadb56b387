"""Batch norms that follow the examples of a user, in a network that computes what it did before.

The statistics of trained batch norms are those of the examples that they were trained on. A training step and the
calibration of a subnet use the statistics of the user's examples instead. That alone changes what a network computes,
and where examples are of another kind, such as small images that were enlarged, it may forget nearly all that it knew.

Here each norm takes the mean m and the variance v that its inputs have on the examples, and its scale and shift absorb
the difference to the mean M and the variance V that it had:

    scale' = scale * sqrt((v + eps) / (V + eps))        shift' = shift + scale * (m - M) / sqrt(V + eps)

In evaluation mode the network computes the same as before. In training mode it now starts from that function, and the
channels of a calibrated subnet have the mean and the variance that they have in the whole network.

Paper: REPAIR, arXiv 2211.08403, gives the units of a merged network the moments of a network that is known to work.
Differs: it does so for the units of subnets, and stores the moments in scale and shift once for all of them.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from supernets.calibration import NormStatistics, write_statistics
from supernets.device import judging
from supernets.supernet import Supernet


@torch.no_grad()
def following_examples(supernet: Supernet, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, Tensor]:
    """Return the tensors of batch norms that change when norms follow examples, by name in the network.

    Norms that were never trained, or that have no scale and shift, stay as they are.

    Args:
        supernet: Supernet whose largest network computes the same before and after; it becomes the active one.
        batches: Inputs of the network [B, ...], changed as in training.
    """
    plain = supernet.extract(supernet.space.largest()).eval()
    own = supernet.network.state_dict()
    norms = {name: norm for name, norm in plain.named_modules() if _can_follow(name, norm, own)}
    before = {name: _moments(norm) for name, norm in norms.items()}
    statistics = [NormStatistics() for _ in norms]
    with judging(plain), ExitStack() as stack:
        for norm, measured in zip(norms.values(), statistics):
            stack.callback(norm.register_forward_pre_hook(measured.observe).remove)
        for inputs in batches:
            plain(*inputs)
    write_statistics(list(norms.values()), statistics)
    changed: dict[str, Tensor] = {}
    for name, norm in norms.items():
        (mean, deviation), (new_mean, new_deviation) = before[name], _moments(norm)
        weight = norm.weight.double()
        changed[f"{name}.weight"] = weight * new_deviation / deviation
        changed[f"{name}.bias"] = norm.bias.double() + weight * (new_mean - mean) / deviation
        changed[f"{name}.running_mean"], changed[f"{name}.running_var"] = norm.running_mean, norm.running_var
    return changed


@torch.no_grad()
def write(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set tensors of a network by name."""
    own = network.state_dict()
    for name, tensor in tensors.items():
        own[name].copy_(tensor)


def _moments(norm: Any) -> tuple[Tensor, Tensor]:
    """Return the running mean and the deviation that a norm divides by, float64 [C]."""
    return norm.running_mean.double().clone(), torch.sqrt(norm.running_var.double() + norm.eps)


def _can_follow(name: str, module: Any, own: Mapping[str, Tensor]) -> bool:
    """Return whether a module is a trained batch norm with scale and shift, and stands in the network as well."""
    shared = own.get(f"{name}.running_mean")
    if not isinstance(module, _BatchNorm) or module.weight is None or module.bias is None or shared is None:
        return False
    mean, var = module.running_mean, module.running_var
    if mean is None or var is None or mean.shape != shared.shape:
        return False
    return not torch.equal(mean, torch.zeros_like(mean)) or not torch.equal(var, torch.ones_like(var))
