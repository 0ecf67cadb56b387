"""Sizes of layers: numbers that are fixed, follow a decision, or are mixed."""

from collections.abc import Mapping
from dataclasses import dataclass

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
class Mixture:
    """Numbers with weights, as a relaxation asks for.

    Args:
        decision: Name of the decision whose choices are mixed.
        weights: Weight of every number that runs; choices with one number share it.
    """

    decision: str
    weights: Mapping[int, Weight]

    @property
    def largest(self) -> int:
        return max(self.weights)


AnySize = int | Size
Resolved = int | Mixture


def largest(size: int | Size | Mixture) -> int:
    """The number a layer must be built, or made ready, for."""
    return size if isinstance(size, int) else size.largest


def resolve(size: AnySize, setting: Setting) -> Resolved | None:
    """The number this setting asks for, or the mixture of numbers; None where the decision is inactive, so that the
    layer will not run."""
    if isinstance(size, int):
        return size
    choice = setting.get(size.decision)
    if isinstance(choice, Mapping):
        weights: dict[int, Weight] = {}
        for name, weight in choice.items():
            number = size.values[name]
            weights[number] = weights[number] + weight if number in weights else weight
        return Mixture(size.decision, weights)
    return None if choice is None else size.values[choice]


def resolve_number(size: AnySize, setting: Setting) -> int | None:
    """The number this setting asks for, for layers that cannot mix numbers; None where the decision is inactive.

    Raises:
        TypeError: The setting mixes choices of the decision.
    """
    if isinstance(size, int):
        return size
    choice = setting.get(size.decision)
    if isinstance(choice, Mapping):
        raise TypeError(f"{size.decision} is a size: its choices {tuple(choice)} cannot be mixed")
    return None if choice is None else size.values[choice]


def mixtures(sizes: Mapping[str, Resolved]) -> dict[str, Mixture]:
    """Those of the sizes of a layer, by name, that are mixed."""
    return {name: size for name, size in sizes.items() if isinstance(size, Mixture)}


# ---- rules that sizes of published networks follow ------------------------------------------------------------------


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, never more than 10% below it (MobileNetV3's rounding)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def strided(size: int, stride: int) -> int:
    """Pixels of one side after a stride."""
    return (size - 1) // stride + 1
