"""The gradient of the logits through the weights of a network that learns: four ways to estimate it.

Paper: DARTS, arXiv 1806.09055, equations 6 to 8 (`unrolled`); Amended-DARTS, arXiv 1910.11831 (`amended`: the inverse
of the Hessian becomes a multiple of the Hessian, so that the second part is -eta D H v); iDARTS, arXiv 2106.10784
(`neumann`: the inverse is the sum of a truncated series). v is the gradient of the validation loss by the weights, H
the Hessian of the training loss by them, and D its mixed derivative.
Differs: momentum and weight decay take no part in the step that `unrolled` looks ahead. The second part may be clipped
to a multiple of the first. The paper says that the amended part is never more than 90 degrees away from the true one;
that does not hold for every problem. The cosine between both parts is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.errors import FieldError
from supernets.training.relaxation_config import RelaxationConfig

Loss = Callable[[], Tensor]
_RADIUS = 0.01
_SMALLEST_NORM = 1e-12


@dataclass(frozen=True)
class Hypergradient:
    """Gradients of the logits.

    Attributes:
        total: What the logits follow.
        cosine: Cosine of the angle between the direct part and the one through the weights; None without a second part.
    """

    total: list[Tensor]
    cosine: Tensor | None = None


@dataclass(frozen=True)
class Bilevel:
    """Two losses of the same weights and logits; the weights follow the first, the logits the second.

    Args:
        train, validation: Losses as functions of nothing; asked twice with the same weights and logits, they give the
            same: dropout, draws and statistics of batches are not new.
        weights: Weights of the network.
        logits: Logits.
    """

    train: Loss
    validation: Loss
    weights: Sequence[Tensor]
    logits: Sequence[Tensor]

    def hypergradient(self, config: RelaxationConfig, eta: float) -> Hypergradient:
        """Return the gradient of the logits; weights are as they were afterwards, to the last bit.

        Args:
            config: Mode, and how products with second derivatives are taken.
            eta: Factor of the second part.
        """
        if config.hypergradient == "first":
            return Hypergradient(_gradient(self.validation(), self.logits))
        if config.hypergradient == "unrolled":
            with _moved(self.weights, _gradient(self.train(), self.weights), -eta):
                direct, v = self._parts()
        else:
            direct, v = self._parts()
        through = self._mixed(self._solved(v, config, eta), exact=config.exact)
        second = [-eta * part for part in through]
        if config.largest_correction is not None:
            most = config.largest_correction * _norm(direct)
            factor = (most / _norm(second).clamp_min(_SMALLEST_NORM)).clamp_max(1.0)
            second = [part * factor for part in second]
        cosine = -_dot(direct, through) / (_norm(direct) * _norm(through)).clamp_min(_SMALLEST_NORM)
        return Hypergradient([one + other for one, other in zip(direct, second)], cosine)

    def _parts(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the gradients of the validation loss by the logits and by the weights."""
        found = _gradient(self.validation(), [*self.logits, *self.weights])
        return found[: len(self.logits)], found[len(self.logits) :]

    def _solved(self, v: list[Tensor], config: RelaxationConfig, eta: float) -> list[Tensor]:
        """Return what stands for the inverse of the Hessian times v, up to the factor `eta`."""
        if config.hypergradient == "amended":
            return self._curved(v, exact=config.exact)
        total, power = v, v
        for _ in range(config.terms if config.hypergradient == "neumann" else 0):
            power = [p - eta * h for p, h in zip(power, self._curved(power, exact=config.exact))]
            total = [t + p for t, p in zip(total, power)]
        return total

    def _curved(self, direction: list[Tensor], *, exact: bool) -> list[Tensor]:
        """Return the Hessian of the training loss by the weights, times a direction."""
        return self._second(direction, self.weights, exact=exact)

    def _mixed(self, direction: list[Tensor], *, exact: bool) -> list[Tensor]:
        """Return the mixed derivative of the training loss by logits and weights, times a direction of the weights."""
        return self._second(direction, self.logits, exact=exact)

    def _second(self, direction: list[Tensor], by: Sequence[Tensor], *, exact: bool) -> list[Tensor]:
        """Return the derivative along a direction of the weights of the gradient by something."""
        if exact:
            return self._second_exact(direction, by)
        radius = _RADIUS / _norm(direction).clamp_min(_SMALLEST_NORM)
        with _moved(self.weights, direction, radius):
            ahead = _gradient(self.train(), by)
        with _moved(self.weights, direction, -radius):
            behind = _gradient(self.train(), by)
        return [(a - b) / (2 * radius).to(a.device) for a, b in zip(ahead, behind)]

    def _second_exact(self, direction: list[Tensor], by: Sequence[Tensor]) -> list[Tensor]:
        found = _gradient(self.train(), self.weights, create_graph=True)
        try:
            return _gradient(_dot(found, direction), by)
        except RuntimeError as error:
            if "is not implemented" not in str(error):
                raise
            why = f"PyTorch has no second derivative of one of its layers ({error})"
            raise FieldError("relaxation.exact", f"must be false for this network: {why}") from error


@contextmanager
def _moved(weights: Sequence[Tensor], direction: Sequence[Tensor], length: Tensor | float) -> Iterator[None]:
    """Move weights along a direction for a while; they are copied back, since adding and taking away is not exact."""
    before = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight, kept, way in zip(weights, before, direction):
                weight.copy_(kept + length * way)
        yield
    finally:
        with torch.no_grad():
            for weight, kept in zip(weights, before):
                weight.copy_(kept)


def _gradient(loss: Tensor, by: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    if not loss.requires_grad:
        return [torch.zeros_like(one) for one in by]
    return list(
        torch.autograd.grad(loss, list(by), create_graph=create_graph, allow_unused=True, materialize_grads=True)
    )


def _dot(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(one, other)]).sum()


def _norm(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([part.norm() for part in parts]).norm()
