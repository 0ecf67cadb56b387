"""Several spaces as one: every member of the joined space has one member of each part.

Decisions of a part are called by its name and a dot: `a.layer1`. A part that stands there several times has the same
choices each time, so members that differ in their order alone are one: the largest encoding comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb, prod

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.decisions import values_within
from search_spaces.places import Condition, Place
from search_spaces.space import Space

Members = Mapping[str, Sequence[Mapping[str, Choice]]]
"""Name of a part -> its members, as often as it stands there."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A space that is joined with others.

    Args:
        name: What it is called; decisions begin with it.
        space: Space of its members.
        times: How often it stands there.
        check: Refuses members that do not go together, with an `InvalidArchitecture`; None where all do.
    """

    name: str
    space: Space
    times: int = 1
    check: Callable[[Sequence[Mapping[str, Choice]]], None] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What its members are called: by its name, and numbers where there are several."""
        return (self.name,) if self.times == 1 else tuple(f"{self.name}{i}" for i in range(1, self.times + 1))

    @property
    def count(self) -> int:
        """Number of different choices of members, whose order does not matter."""
        return comb(self.space.count() + self.times - 1, self.times)


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Parts as one space.

    Args:
        parts: Parts in the order of their decisions.
    """

    parts: tuple[Part, ...]

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Decisions of all parts, each as often as it stands there."""
        return tuple(
            replace(one, name=f"{name}.{one.name}", parent=None if one.parent is None else f"{name}.{one.parent}")
            for part in self.parts
            for name in part.names
            for one in part.space.decisions
        )

    @property
    def size(self) -> int:
        """Number of members where all go together."""
        return prod(part.count for part in self.parts)

    def fold(self, values: Mapping[str, Choice]) -> dict[str, Choice]:
        """Return the canonical form of active values.

        Raises:
            InvalidArchitecture: They are no members of the parts, or these do not go together.
        """
        checked_first = sorted(self.parts, key=lambda part: part.check is None)  # most draws fail there
        return self.joined({part.name: _sorted(part, values) for part in checked_first})

    def members(self, values: Mapping[str, Choice]) -> dict[str, tuple[Architecture, ...]]:
        """Return the members of each part in an architecture."""
        return {part.name: tuple(_member(part.space, name, values) for name in part.names) for part in self.parts}

    def joined(self, members: Members) -> dict[str, Choice]:
        """Return the values of members of every part."""
        return {
            f"{name}.{decision}": choice
            for part in self.parts
            for name, member in zip(part.names, members[part.name], strict=True)
            for decision, choice in member.items()
        }

    def places(self) -> list[Place]:
        """Return the places of the parts that say theirs."""
        return list(self._places())

    def _places(self) -> Iterator[Place]:
        for part in self.parts:
            own = [] if part.space.places is None else part.space.places()
            for name in part.names:
                for place in own:
                    unused = place.unused and Condition(
                        _within(name, place.unused.decisions), _Stripped(name, place.unused.holds)
                    )
                    yield replace(place, decisions=_within(name, place.decisions), unused=unused)


@dataclass(frozen=True)
class _Stripped:
    """A condition of a part, asked with names of the joined space."""

    name: str
    holds: Callable[[Mapping[str, Choice]], bool]

    def __call__(self, values: Mapping[str, Choice]) -> bool:
        return self.holds(values_within(self.name, values))


def _within(name: str, decisions: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}.{decision}" for decision in decisions)


def _sorted(part: Part, values: Mapping[str, Choice]) -> list[Architecture]:
    """Return the members of a part in canonical order, if they go together."""
    members = [_member(part.space, name, values) for name in part.names]
    if part.check is not None:
        part.check(members)
    decisions = part.space.decisions
    return sorted(
        members,
        key=lambda one: [d.choices.index(one[d.name]) if d.name in one else 0 for d in decisions],
        reverse=True,
    )


def _member(space: Space, name: str, values: Mapping[str, Choice]) -> Architecture:
    try:
        return space.architecture(values_within(name, values))
    except InvalidArchitecture as error:
        raise InvalidArchitecture(f"{name}: {error}") from error
