"""Batch-norm statistics of one subnet, measured on training data.

Paper: Once-for-All, arXiv 1908.09791; the rule is that of the released code: per batch the mean and the biased
variance, averaged with the batch sizes as weights.
Differs: nothing known.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from supernets.device import judging

if TYPE_CHECKING:
    from search_spaces import Architecture
    from supernets.supernet import Supernet


class NormStatistics:
    """Weighted averages of the batch means and variances of one norm layer; `observe` is a hook before its forward."""

    def __init__(self) -> None:
        self.examples = 0
        self.mean: Tensor | float = 0.0
        self.var: Tensor | float = 0.0

    def observe(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        dims = [d for d in range(x.dim()) if d != 1]
        var, mean = torch.var_mean(x, dim=dims, correction=0)
        self.examples += len(x)
        self.mean = self.mean + mean * len(x)
        self.var = self.var + var * len(x)

    @torch.no_grad()
    def write(self, norm: Any) -> None:
        """Set the running statistics of a norm that saw examples; one of a supernet may have more channels than ran."""
        if isinstance(self.mean, Tensor) and isinstance(self.var, Tensor):
            norm.running_mean[: len(self.mean)] = self.mean / self.examples
            norm.running_var[: len(self.var)] = self.var / self.examples


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Tensor | tuple[Tensor, ...]]) -> nn.Module:
    """Set the running statistics of every batch norm of an extracted subnet; returns it in evaluation mode.

    Args:
        model: A plain network.
        batches: Inputs of the model [B, ...], changed as in training; a model with several inputs gets tuples.

    Raises:
        ValueError: No batch was given.
    """
    norms: list[Any] = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    statistics = [NormStatistics() for _ in norms]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    with judging(model), ExitStack() as stack:
        for norm, measured in zip(norms, statistics):
            stack.callback(norm.register_forward_pre_hook(measured.observe).remove)
            norm.train()
            norm.momentum = 0.0
        seen = 0
        for batch in batches:
            inputs = (batch,) if isinstance(batch, Tensor) else batch
            model(*inputs)
            seen += len(inputs[0])
    if not seen:
        raise ValueError("calibrate needs at least one batch, got none")
    for norm, measured, momentum in zip(norms, statistics, momenta):
        measured.write(norm)
        norm.momentum = momentum
        norm.num_batches_tracked.fill_(1)
    return model.eval()


def calibrated_subnet(
    supernet: "Supernet",
    architecture: "Architecture",
    batches: Callable[[], Iterable[Tensor | tuple[Tensor, ...]]],
    *,
    memory_format: torch.memory_format | None = None,
) -> nn.Module:
    """Return the plain network of an architecture, ready to be judged, in evaluation mode.

    An architecture that has the running statistics of the supernet to itself keeps them, see `Supernet.own_statistics`;
    every other one is calibrated.

    Args:
        supernet: Supernet that the weights come from; its active architecture changes.
        architecture: Architecture of its space.
        batches: Makes the training inputs for batch norm, see `calibrate`.
        memory_format: Layout that the network is brought to before; None for the one that it has.
    """
    subnet = supernet.extract(architecture)
    if memory_format is not None:
        subnet = subnet.to(memory_format=memory_format)
    return subnet.eval() if supernet.active == supernet.own_statistics else calibrate(subnet, batches())


def require_calibrated(model: nn.Module) -> None:
    """Refuse a subnet whose batch norms still carry the statistics shared by all subnets.

    The host waits for the device once.

    Raises:
        ValueError: A batch norm was neither calibrated nor trained since the subnet was extracted.
    """
    norms = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    if not norms:
        return
    seen = torch.stack([norm.get_buffer("num_batches_tracked") for norm in norms.values()]).tolist()
    for name, batches in zip(norms, seen, strict=True):
        if not batches:
            raise ValueError(f"batch norm {name!r} is not calibrated: call `calibrate` before judging the network")
