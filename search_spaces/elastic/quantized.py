"""Layers that multiply with a weight, and round weight and input first where they have a quantizer.

A quantizer lies inside its layer. So the weights of a network keep their names, and a network that was trained without
quantizers gives its weights to one that has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic.layer import Elastic, followed
from search_spaces.elastic.product import CONVOLUTION, LINEAR, Product
from search_spaces.elastic.quantizer import Quantizer


class _Convolved:
    """What rounded convolutions of any dimensions have in common."""

    quantizer: Quantizer

    def forward(self: Any, input: Tensor) -> Tensor:
        x, weight = self.quantizer(input, self.weight)
        return self._conv_forward(x, weight, self.bias)


class QuantizedConv1d(_Convolved, nn.Conv1d):
    """A plain convolution of rounded inputs with rounded weights; its bias is not rounded."""


class QuantizedConv2d(_Convolved, nn.Conv2d):
    """A plain convolution of rounded inputs with rounded weights; its bias is not rounded."""


class QuantizedLinear(nn.Linear):
    """A plain linear layer of rounded inputs with rounded weights; its bias is not rounded."""

    quantizer: Quantizer

    def forward(self, input: Tensor) -> Tensor:
        x, weight = self.quantizer(input, self.weight)
        return nn.functional.linear(x, weight, self.bias)


_QUANTIZED: dict[type, type] = {
    nn.Conv1d: QuantizedConv1d,
    nn.Conv2d: QuantizedConv2d,
    nn.Linear: QuantizedLinear,
}
_PLAIN = {quantized: plain for plain, quantized in _QUANTIZED.items()}


def kind_of(layer: nn.Module) -> str | None:
    """Return what kind of layer can have a quantizer: `convolution` or `linear`; None for other layers."""
    if isinstance(layer, Weighted):
        return layer.kind
    if type(layer) in _QUANTIZED or type(layer) in _PLAIN:
        return LINEAR if isinstance(layer, nn.Linear) else CONVOLUTION
    return None


def quantized(layer: Any, quantizer: Quantizer | None) -> nn.Module:
    """Return a layer, changed in place, that rounds by a quantizer; None leaves it as it is.

    A plain layer stays the same object under another class, since others may hold it.
    """
    if quantizer is not None:
        layer.__class__ = _QUANTIZED.get(type(layer), type(layer))
        layer.quantizer = quantizer
    return layer


def without_quantizers(network: nn.Module) -> nn.Module:
    """Return a plain network, changed in place, that computes with its weights and inputs as they are."""
    for layer in network.modules():
        if type(layer) in _PLAIN:
            layer.__class__ = _PLAIN[type(layer)]
            del layer.quantizer
    return network


def quantized_layers(network: nn.Module) -> list[tuple[str, Any]]:
    """Return the layers of a plain network that round, with their names."""
    return [(name, layer) for name, layer in network.named_modules() if type(layer) in _PLAIN]


class Weighted(Elastic):
    """An elastic layer that multiplies its input with its active weight.

    Attributes:
        kind: `convolution` or `linear`.
        quantizer: Rounds the active weight and the input; None where nothing is rounded.
    """

    kind: str
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.quantizer: Quantizer | None = None

    def full_weight(self) -> Tensor:
        """Return the weight of the largest setting; a layer that generates its weights overrides this."""
        return self.weight

    def kept(self, vector: Tensor, outputs: int) -> Tensor:
        """Return the numbers [O] of all output channels that belong to the active ones."""
        return vector[:outputs]

    def rounded(self, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return input and active weight as they are multiplied."""
        if self.quantizer is None:
            return x, weight
        return self.quantizer(x, weight, self.full_weight, self.kept)

    def beside(self) -> Sequence[Elastic]:
        return () if self.quantizer is None else self.quantizer.banks()

    def extracted_as(self, plain: nn.Conv2d | nn.Linear) -> nn.Module:
        """Return the plain layer of the active setting with the fixed quantizer of it, in the mode of this one."""
        fixed = None if self.quantizer is None else self.quantizer.fixed(len(plain.weight), self.kept)
        return quantized(plain, fixed).train(self.training)


def products(network: nn.Module, path: str = "") -> Iterator[Product]:
    """Yield the convolutions and linear layers of a network that can have quantizers.

    Args:
        network: Elastic network, or a part of it.
        path: Its path.
    """
    own = network.products() if isinstance(network, Elastic) else None
    if own is not None:
        yield from own
    elif (kind := kind_of(network)) is not None:
        yield _product(network, kind, path)
    else:
        for name, child in network.named_children():
            yield from products(child, f"{path}.{name}".removeprefix("."))


def _product(layer: Any, kind: str, path: str) -> Product:
    return Product(
        name=path,
        kind=kind,
        module=layer,
        outputs=layer.weight.shape[0],
        choices=followed(layer),
        shape=partial(_shape, layer),
        attach=partial(quantized, layer),
    )


def _shape(layer: Any, setting: Setting) -> tuple[int, ...]:
    """Return the shape of the active weight of a layer under a setting."""
    if isinstance(layer, Weighted):
        layer.activate(setting)
        plain: Any = layer.extract()
        return tuple(plain.weight.shape)
    return tuple(layer.weight.shape)
