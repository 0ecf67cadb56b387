"""Batch-norm statistics of one subnet, measured on training data.

Paper: Once-for-All, arXiv 1908.09791; the rule is that of the released code: per batch the mean and the biased
variance, averaged with the batch sizes as weights.
Differs: nothing known.
"""

from collections.abc import Callable, Iterable, Sequence
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
    """The batch means and variances of one norm layer; `observe` is a hook before its forward."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, tuple[Tensor, Tensor]]] = []

    @property
    def examples(self) -> int:
        """Examples that the norm saw."""
        return sum(examples for examples, _ in self.batches)

    def observe(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        dims = [d for d in range(x.dim()) if d != 1]
        var, mean = torch.var_mean(x, dim=dims, correction=0)
        self.batches.append((len(x), (mean, var)))


@torch.no_grad()
def write_statistics(norms: Sequence[Any], statistics: Sequence[NormStatistics]) -> None:
    """Set the running statistics of norms that saw examples to the averages, weighted by examples.

    The norms are computed together: one by one, CUDA would wait for the launches of many small kernels. A norm of a
    supernet may have more channels than ran.
    """
    seen = [(norm, measured) for norm, measured in zip(norms, statistics, strict=True) if measured.batches]
    if not seen:
        return
    for place, name in enumerate(("running_mean", "running_var")):
        sums: list[Tensor] = []
        for turn in range(max(len(measured.batches) for _, measured in seen)):
            who = [number for number, (_, measured) in enumerate(seen) if turn < len(measured.batches)]
            batches = [seen[number][1].batches[turn] for number in who]
            terms = torch._foreach_mul(
                [found[place] for _, found in batches], [float(examples) for examples, _ in batches]
            )
            if turn == 0:
                sums = list(terms)
            else:
                torch._foreach_add_([sums[number] for number in who], terms)
        means = torch._foreach_div(sums, [float(measured.examples) for _, measured in seen])
        torch._foreach_copy_([getattr(norm, name)[: len(mean)] for (norm, _), mean in zip(seen, means)], means)


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Tensor | tuple[Tensor, ...]], *, bf16: bool = False) -> nn.Module:
    """Set the running statistics of every batch norm of an extracted subnet; returns it in evaluation mode.

    Args:
        model: A plain network.
        batches: Inputs of the model [B, ...], changed as in training; a model with several inputs gets tuples.
        bf16: Whether CUDA computes in bfloat16 autocast; statistics are float32.

    Raises:
        ValueError: No batch was given, and there are batch norms.
    """
    norms: list[Any] = list(_with_statistics(model).values())
    if not norms:
        return model.eval()
    statistics = [NormStatistics() for _ in norms]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    with judging(model, bf16=bf16), ExitStack() as stack:
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
    write_statistics(norms, statistics)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        norm.num_batches_tracked.fill_(1)
    return model.eval()


def calibrated_subnet(
    supernet: "Supernet",
    architecture: "Architecture",
    batches: Callable[[], Iterable[Tensor | tuple[Tensor, ...]]],
    *,
    memory_format: torch.memory_format | None = None,
    bf16: bool = False,
) -> nn.Module:
    """Return the plain network of an architecture, ready to be judged, in evaluation mode.

    An architecture that has the running statistics of the supernet to itself keeps them, see `Supernet.own_statistics`;
    every other one is calibrated.

    Args:
        supernet: Supernet that the weights come from; its active architecture changes.
        architecture: Architecture of its space.
        batches: Makes the training inputs for batch norm, see `calibrate`.
        memory_format: Layout that the network is brought to before; None for the one that it has.
        bf16: Whether CUDA computes in bfloat16 autocast.
    """
    subnet = supernet.extract(architecture)
    if memory_format is not None:
        subnet = subnet.to(memory_format=memory_format)
    return subnet.eval() if supernet.active == supernet.own_statistics else calibrate(subnet, batches(), bf16=bf16)


def require_calibrated(model: nn.Module) -> None:
    """Refuse a subnet whose batch norms still carry the statistics shared by all subnets.

    The host waits for the device once.

    Raises:
        ValueError: A batch norm was neither calibrated nor trained since the subnet was extracted.
    """
    norms = _with_statistics(model)
    if not norms:
        return
    seen = torch.stack([norm.get_buffer("num_batches_tracked") for norm in norms.values()]).tolist()
    for name, batches in zip(norms, seen, strict=True):
        if not batches:
            raise ValueError(f"batch norm {name!r} is not calibrated: call `calibrate` before judging the network")


def _with_statistics(model: nn.Module) -> dict[str, _BatchNorm]:
    """Return the batch norms that keep running statistics, by name; others always use those of the batch."""
    norms = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    return {name: norm for name, norm in norms.items() if norm.running_mean is not None}
