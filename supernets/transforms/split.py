"""A supernet split into parts that share no weights, each for some choices of the decisions that were split.

Paper: Few-shot NAS, arXiv 2006.06863 (every choice of one decision gets a supernet of its own); GM-NAS, arXiv
2203.15207 (choices in groups, several decisions one after the other).
Differs: a decision may be inactive, such as the kernel of a block that is left out. Architectures without it belong to
the first group only, so that parts never overlap; the published parts of Once-for-All share them.
"""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from torch import nn

from search_spaces import Choice, Decision, Space
from supernets.several import SeveralSupernets


def split(space: Space, decision: str, groups: Sequence[Sequence[Choice]]) -> list[Space]:
    """Return the parts of a space, one for each group of the choices of a decision; together they are the space.

    Args:
        space: The space to split.
        decision: Name of a decision.
        groups: All of its choices, each in one group.

    Raises:
        ValueError: There is no such decision, or the groups are not its choices.
    """
    choices = decision_named(space, decision).choices
    given = [choice for group in groups for choice in group]
    if not all(groups) or len(given) != len(choices) or set(given) != set(choices):
        raise ValueError(f"groups of {decision} must hold each of {choices} once, none empty, got {groups}")
    there = where_active(space, decision)
    return [(space if i == 0 else there).restrict({decision: group}) for i, group in enumerate(groups)]


def decision_named(space: Space, name: str) -> Decision:
    """Return the decision with this name.

    Raises:
        ValueError: There is no such decision.
    """
    for decision in space.decisions:
        if decision.name == name:
            return decision
    raise ValueError(f"space {space.name!r} has no decision {name!r}")


def where_active(space: Space, decision: str) -> Space:
    """Return the part of the space in which a decision is active, whatever it depends on."""
    found = decision_named(space, decision)
    while found.parent is not None:
        space = space.restrict({found.parent: found.active_when})
        found = decision_named(space, found.parent)
    return space


@dataclass(frozen=True)
class Part:
    """A node of a tree of splits: the root is the whole space, the leaves have weights.

    Args:
        parent: Number of the part that was split; None for the root.
        decision: The decision by which it was split; empty for the root.
        group: The choices of this decision that the part has.
    """

    parent: int | None = None
    decision: str = ""
    group: tuple[Choice, ...] = ()


WHOLE = (Part(),)
"""The tree of a space that is not split."""


def children(parts: Sequence[Part], part: int) -> list[int]:
    """Return the numbers of the parts that a part was split into, none for a leaf."""
    return [i for i, other in enumerate(parts) if other.parent == part]


def leaves(parts: Sequence[Part]) -> list[int]:
    """Return the numbers of the parts that are not split, in order."""
    split_ones = {part.parent for part in parts}
    return [i for i in range(len(parts)) if i not in split_ones]


def divided(parts: Sequence[Part], leaf: int, decision: str, groups: Sequence[Sequence[Choice]]) -> tuple[Part, ...]:
    """Return the tree with one leaf split; the new parts have the numbers after those there are."""
    return (*parts, *(Part(leaf, decision, tuple(group)) for group in groups))


def spaces(space: Space, parts: Sequence[Part]) -> list[Space]:
    """Return the space of every part.

    Raises:
        ValueError: A part stands before its parent, or the groups of a split are not the choices there are.
    """
    found: dict[int, Space] = {0: space}
    for number in range(len(parts)):
        if number not in found:
            raise ValueError(f"part {number} of a tree of splits stands before its parent")
        below = children(parts, number)
        if below:
            of = split(found[number], parts[below[0]].decision, [parts[child].group for child in below])
            found.update(zip(below, of))
    return [found[number] for number in range(len(parts))]


class Partition(SeveralSupernets):
    """A supernet made of supernets of the parts of a space.

    Args:
        space: The whole space.
        parts: The tree of splits, the root first.
        networks: One network for each leaf, in order; equal ones with fresh weights unless given.

    Attributes:
        parts: The tree.
    """

    def __init__(self, space: Space, parts: Sequence[Part], networks: Sequence[nn.Module] | None = None) -> None:
        self.parts, of = tuple(parts), spaces(space, parts)
        self._numbers = leaves(parts)
        if networks is None:
            fresh = space.build()
            networks = [fresh, *_copies(fresh, len(self._numbers) - 1)]
        if len(networks) != len(self._numbers):
            raise ValueError(f"a tree of {len(self._numbers)} leaves was given {len(networks)} networks")
        super().__init__(space, [of[number] for number in self._numbers], networks)

    def leaf_of(self, architecture: Mapping[str, Any]) -> int:
        """Return the number of the leaf, counted from 0, that contains an architecture or a mixture of some.

        Raises:
            ValueError: The choices of a mixture are in different parts.
        """
        number = 0
        while below := children(self.parts, number):
            decision = self.parts[below[0]].decision
            value = architecture.get(decision)
            wanted = set(value) if isinstance(value, Mapping) else {value}
            inside = [child for child in below if wanted <= set(self.parts[child].group)]
            if not inside and value is not None:
                raise ValueError(
                    f"{decision} is split: its choices {tuple(wanted)} share no weights and cannot be mixed"
                )
            number = inside[0] if inside else below[0]
        return self._numbers.index(number)

    def tree(self) -> list[dict[str, Any]]:
        """Return the parts in numbers, for JSON: id, parent, decision, group, leaf (its number) and architectures.

        `leaf` is None for a part that is split, `architectures` where their number is not known.
        """
        return described(self.space, self.parts)

    def __deepcopy__(self, memo: dict) -> "Partition":
        copy = Partition(self.space, self.parts, [deepcopy(leaf.network, memo) for leaf in self.leaves])
        copy.activate(self.active)
        return copy.train(self.training)

    def _metadata(self) -> dict[str, str]:
        return {**super()._metadata(), "tree": json.dumps([_plain(part) for part in self.parts])}


def described(space: Space, parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Return what `Partition.tree` says, for a tree whose supernets need not be there."""
    numbers = leaves(parts)
    return [
        {
            "id": number,
            **_plain(part),
            "leaf": numbers.index(number) if number in numbers else None,
            "architectures": of.describe()["architectures"],
        }
        for number, (part, of) in enumerate(zip(parts, spaces(space, parts)))
    ]


def _copies(network: nn.Module, n: int) -> list[nn.Module]:
    return [deepcopy(network) for _ in range(n)]


def _plain(part: Part) -> dict[str, Any]:
    return {"parent": part.parent, "decision": part.decision, "group": list(part.group)}
