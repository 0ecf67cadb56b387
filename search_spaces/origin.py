"""What a space was read off: the network, what of it follows decisions, and what stays fixed and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Governed:
    """What one decision changes.

    Args:
        decision: Its name.
        what: What follows it, for people, such as `3 groups of 64 to 256 channels`.
        choices: Its choices, cheapest first.
    """

    decision: str
    what: str
    choices: tuple[int | float | str | bool, ...]


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """Sizes that stay as they are for one reason.

    Args:
        reason: Why, for people.
        count: Number of sizes.
        examples: Some of them, such as `fc.weight (dimension 0: 10)`.
    """

    reason: str
    count: int
    examples: tuple[str, ...]

    def line(self) -> str:
        """Return the reason and the examples."""
        return f"{self.reason}: {', '.join(self.examples)}{', ...' if self.count > len(self.examples) else ''}"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The network that a space was read off.

    Args:
        model: What it is called.
        params: Its weights and biases.
        macs: Its multiply-accumulates of one input.
        elastic: What follows decisions.
        fixed: What does not.
    """

    model: str
    params: int
    macs: int
    elastic: tuple[Governed, ...]
    fixed: tuple[Fixed, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Origin:
        """Return what `to_json` wrote."""
        elastic = tuple(Governed(**{**one, "choices": tuple(one["choices"])}) for one in content["elastic"])
        fixed = tuple(Fixed(**{**one, "examples": tuple(one["examples"])}) for one in content["fixed"])
        return cls(**{**content, "elastic": elastic, "fixed": fixed})

    def lines(self) -> list[str]:
        """Return what a log or a terminal says of it, line by line."""
        found = [f"{self.model}: {self.params:,} weights, {self.macs:,} MACs"]
        found += [f"elastic: {one.decision} in {listed(one.choices)}: {one.what}" for one in self.elastic]
        for one in self.fixed:
            found.append(f"fixed: {one.count} x {one.line()}")
        return found


def listed(choices: tuple[int | float | str | bool, ...]) -> str:
    """Return choices with commas between, as people write them."""
    return ", ".join(f"{choice:g}" if isinstance(choice, float) else str(choice) for choice in choices)
