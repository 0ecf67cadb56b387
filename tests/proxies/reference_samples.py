"""Per-sample proxies as their definitions say: one forward and one backward pass for each sample."""

from collections.abc import Iterator
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from proxies import weight_layers


def alone(model: nn.Module) -> nn.Module:
    """A copy with batch norm in training mode and nothing else random."""
    model = deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return model.requires_grad_(True)


def gradients_of_samples(model: nn.Module, images: Tensor, labels: Tensor | None) -> Iterator[list[Tensor]]:
    """Weight gradients of one sample at a time: of cross-entropy, or of the sum of logits without labels."""
    model = alone(model)
    weights = list(weight_layers(model).values())
    for i in range(len(images)):
        logits = model(images[i : i + 1])
        target = logits.sum() if labels is None else F.cross_entropy(logits, labels[i : i + 1])
        gradients = torch.autograd.grad(target, weights, allow_unused=True)
        yield [torch.zeros_like(w) if g is None else g for g, w in zip(gradients, weights)]


def gradsign(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    """|Sum of signs| of each layer, summed over its weights."""
    total: list[Tensor] | None = None
    for gradients in gradients_of_samples(model, images, labels):
        signs = [g.sign() for g in gradients]
        total = signs if total is None else [t + s for t, s in zip(total, signs)]
    assert total is not None
    return [float(t.abs().sum()) for t in total]


def undecided(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Gradients of samples that are zero but for rounding, such as those behind a batch norm whose output gradient is
    the same everywhere: their signs say nothing."""
    count = 0
    for gradients in gradients_of_samples(model, images, labels):
        scale = max(float(g.abs().max()) for g in gradients) * 1e3 * torch.finfo(gradients[0].dtype).eps
        count += sum(int(((g != 0) & (g.abs() < scale)).sum()) for g in gradients)
    return count


def gram_matrix(model: nn.Module, images: Tensor) -> Tensor:
    """Inner products of the gradients of samples [n, n], of the sum of logits."""
    rows = [torch.cat([g.flatten() for g in gradients]) for gradients in gradients_of_samples(model, images, None)]
    stacked = torch.stack(rows).double()
    return stacked @ stacked.T
