"""Weights whose distribution is flat and even, so that they lose less where they are rounded to a few levels.

Paper: EQ-Net, arXiv 2308.07650, section 3.2 (weight distribution regularisation): the square of the skewness, and of
the distance of the kurtosis from 1.8, which is that of a uniform distribution, averaged over layers; the first layer
is left out.
Differs: moments are those of all weights of a layer; the released code divides by the standard deviation of a sample,
and so misses 1.8 for a uniform distribution. Layers are convolutions and linear layers, whether they are quantised or
not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_spaces.errors import FieldError
from search_spaces.limits import check_fields, check_most

if TYPE_CHECKING:
    from torch import Tensor, nn

UNIFORM_KURTOSIS = 1.8


@dataclass(frozen=True, kw_only=True)
class WeightShapeConfig:
    """How much the loss of a training prefers weights with a flat and even distribution.

    Args:
        skewness: Weight of the squared skewness.
        kurtosis: Weight of the squared distance of the kurtosis from 1.8.
    """

    skewness: float = 1.0
    kurtosis: float = 0.015

    def __post_init__(self) -> None:
        check_most(self, {"skewness": 1e6, "kurtosis": 1e6})
        allowed = "0 or more"
        check_fields(self, [("skewness", self.skewness >= 0, allowed), ("kurtosis", self.kurtosis >= 0, allowed)])


def shape_loss(weights: Sequence[Tensor], config: WeightShapeConfig) -> Tensor:
    """Return what the distributions of weights add to a loss.

    Args:
        weights: The weight of each layer.
        config: How much skewness and kurtosis count.
    """
    losses = []
    for weight in weights:
        away = weight.flatten() - weight.mean()
        scaled = away / away.square().mean().sqrt().clamp_min(1e-12)
        squares = scaled.square()
        skewness, kurtosis = (squares * scaled).mean(), squares.square().mean()
        losses.append(config.skewness * skewness.square() + config.kurtosis * (kurtosis - UNIFORM_KURTOSIS).square())
    return sum(losses[1:], losses[0]) / len(losses)


def shaped_weights(network: nn.Module) -> list[Tensor]:
    """Return the weights of the convolutions and linear layers of an elastic network but the first.

    Raises:
        FieldError: There are none.
    """
    from search_spaces.elastic.quantized import products

    weights: dict[int, Tensor] = {}
    for one in products(network):
        weight: Any = one.module.weight
        weights.setdefault(id(weight), weight)
    if len(weights) < 2:
        raise FieldError(
            "weight_shape", "must be null: the networks have no convolutions or linear layers but the first"
        )
    return list(weights.values())[1:]
