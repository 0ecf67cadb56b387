"""Sizes of layers: numbers that are fixed, follow a decision, or are mixed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from search_spaces import costs
from search_spaces.architecture import Choice, Setting, Weight


@dataclass(frozen=True)
class Size:
    """A whole number (channels, kernel size, depth, pixels) that follows one decision.

    Args:
        decision: Name of the decision.
        values: The number for each choice; one that differs from it where, say, a ratio becomes channels.
    """

    decision: str
    values: Mapping[Choice, int]

    @property
    def largest(self) -> int:
        return max(self.values.values())


@dataclass(frozen=True)
class JointSize:
    """A whole number that follows several decisions together, such as a ratio times an elastic width.

    Args:
        decisions: Names of the decisions.
        values: The number for each combination of their choices.
    """

    decisions: tuple[str, ...]
    values: Mapping[tuple[Choice, ...], int]

    @property
    def largest(self) -> int:
        return max(self.values.values())

    def choices(self) -> dict[str, tuple[Choice, ...]]:
        """Return the choices of each decision."""
        columns = zip(*self.values)
        return {name: tuple(dict.fromkeys(column)) for name, column in zip(self.decisions, columns)}


@dataclass(frozen=True)
class Mixture:
    """Numbers with weights, as a relaxation asks for.

    Args:
        decision: Name of the decision whose choices are mixed; several names where they are mixed together.
        weights: Weight of every number that runs; choices with one number share it.
    """

    decision: str
    weights: Mapping[int, Weight]

    @property
    def largest(self) -> int:
        return max(self.weights)


AnySize = int | Size
LayerSize = int | Size | JointSize
"""What layers of transformers take."""
Resolved = int | Mixture


def largest(size: int | Size | JointSize | Mixture) -> int:
    """Return the number a layer must be built, or made ready, for."""
    return size if isinstance(size, int) else size.largest


def resolve(size: LayerSize, setting: Setting) -> Resolved | None:
    """Return the number this setting asks for, or the mixture of numbers; None where the decision is inactive, so that
    the layer will not run."""
    if isinstance(size, int):
        return size
    if isinstance(size, JointSize):
        return _resolve_joint(size, setting)
    choice = setting.get(size.decision)
    if isinstance(choice, Mapping):
        weights: dict[int, Weight] = {}
        for name, weight in choice.items():
            number = size.values[name]
            weights[number] = weights[number] + weight if number in weights else weight
        return Mixture(size.decision, weights)
    return None if choice is None else size.values[choice]


def _resolve_joint(size: JointSize, setting: Setting) -> Resolved | None:
    chosen = [setting.get(name) for name in size.decisions]
    if any(choice is None for choice in chosen):
        return None
    mixed = [name for name, choice in zip(size.decisions, chosen) if isinstance(choice, Mapping)]
    if not mixed:
        return size.values[tuple(chosen)]  # type: ignore[arg-type]
    options = [choice.items() if isinstance(choice, Mapping) else [(choice, 1.0)] for choice in chosen]
    weights: dict[int, Weight] = {}
    for combination in product(*options):
        number = size.values[tuple(choice for choice, _ in combination)]  # type: ignore[misc]
        weight: Weight = prod(factor for _, factor in combination)
        weights[number] = weights[number] + weight if number in weights else weight
    return Mixture(" and ".join(mixed), weights)


def resolve_number(size: AnySize, setting: Setting) -> int | None:
    """Return the number this setting asks for, for layers that cannot mix numbers; None where the decision is inactive.

    Raises:
        TypeError: The setting mixes choices of the decision.
    """
    if isinstance(size, int):
        return size
    choice = setting.get(size.decision)
    if isinstance(choice, Mapping):
        raise TypeError(f"{size.decision} is a size: its choices {tuple(choice)} cannot be mixed")
    return None if choice is None else size.values[choice]


def mixtures(**sizes: Resolved) -> dict[str, Mixture]:
    """Return the sizes of a layer that are mixed, by name."""
    return {name: size for name, size in sizes.items() if isinstance(size, Mixture)}


# ---- rules that sizes of published networks follow ------------------------------------------------------------------


def make_divisible(value: float, divisor: int = 8) -> int:
    """Return the multiple of `divisor` nearest to `value`, never more than 10% below it (MobileNetV3's rounding)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def strided(size: int, stride: int) -> int:
    """Return the pixels of one side after a stride."""
    return (size - 1) // stride + 1


ACTIVATIONS = ("h_swish", "relu")
"""Names of the activations that blocks can have, see `search_spaces.blocks.ACTIVATIONS`."""


@dataclass(frozen=True)
class Bottleneck:
    """The sizes of a MobileNet block, of which its modules are made and its costs are told.

    Args:
        in_width: Channels that enter.
        middle: Channels inside.
        out_width: Channels that leave.
        kernel: Size of the depthwise kernel.
        stride: Stride of the depthwise convolution.
        activation: One of `ACTIVATIONS`.
        squeeze: Channels inside squeeze-excite; 0 for none.
        expands: Whether a 1x1 convolution leads to the channels inside.
    """

    in_width: int
    middle: AnySize
    out_width: int
    kernel: AnySize = 3
    stride: int = 1
    activation: str = "relu"
    squeeze: AnySize = 0
    expands: bool = True

    def at(self, values: Mapping[str, Choice]) -> "FixedBottleneck":
        """Return the block with the sizes that these decisions give it."""

        def number(size: AnySize) -> int:
            return size if isinstance(size, int) else size.values[values[size.decision]]

        return FixedBottleneck(
            in_width=self.in_width,
            middle=number(self.middle),
            out_width=self.out_width,
            kernel=number(self.kernel),
            stride=self.stride,
            activation=self.activation,
            squeeze=number(self.squeeze),
            expands=self.expands,
        )


@dataclass(frozen=True)
class FixedBottleneck(Bottleneck):
    """A `Bottleneck` that follows no decision."""

    middle: int
    kernel: int = 3
    squeeze: int = 0

    @property
    def name(self) -> str:
        """Such as ``mb 24-96-40 k5 s2 relu se``."""
        widths = f"{self.in_width}-{self.middle}-{self.out_width}"
        return f"mb {widths} k{self.kernel} s{self.stride} {self.activation}{' se' if self.squeeze else ''}"

    def count(self, size: int) -> Counter[str]:
        """Return the params and MACs on an input of `size` pixels a side."""
        pixels = (size**2, strided(size, self.stride) ** 2)
        widths = (self.in_width, self.middle, self.out_width)
        return costs.inverted_residual(widths, pixels, kernel=self.kernel, squeeze=self.squeeze, expands=self.expands)
