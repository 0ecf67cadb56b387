"""What is known of one product of weights and inputs in a network: a convolution or a linear layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from search_spaces.architecture import Choice, Setting

CONVOLUTION, LINEAR = "convolution", "linear"


@dataclass(frozen=True, kw_only=True)
class Product:
    """One convolution or linear layer of a network, whose weights and inputs can be rounded.

    Args:
        name: Path of the layer.
        kind: `convolution` or `linear`.
        module: The layer, whose place in the network says when it runs.
        outputs: Its output channels in the largest setting.
        choices: Decisions that the shape of its weight follows, with their choices.
        shape: Values of these decisions -> shape [O, ...] of its active weight; the setting of the layer may change.
        attach: Gives the layer a quantizer.
    """

    name: str
    kind: str
    module: nn.Module
    outputs: int
    choices: Mapping[str, tuple[Choice, ...]]
    shape: Callable[[Setting], tuple[int, ...]]
    attach: Callable[[nn.Module], object]
