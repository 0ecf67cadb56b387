"""What follows from the decisions of a space alone: the number of combinations, and what fewer choices leave of
them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from math import prod
from typing import TypeVar

from search_spaces.architecture import Choice, Decision, InvalidArchitecture, Relaxation, Weight

_T = TypeVar("_T")


def check_order(decisions: Sequence[Decision], space: str) -> None:
    """Refuse decisions of one name, and those that stand before their parent.

    Raises:
        ValueError: Names the space and the decision.
    """
    seen: set[str] = set()
    for decision in decisions:
        if decision.name in seen:
            raise ValueError(f"space {space!r}: decision {decision.name!r} is named twice")
        if decision.parent is not None and decision.parent not in seen:
            raise ValueError(f"space {space!r}: {decision.name!r} stands before its parent {decision.parent!r}")
        seen.add(decision.name)


def active_choices(decisions: Sequence[Decision], values: Mapping[str, Choice], *, may_lack: bool) -> dict[str, Choice]:
    """Return the values of the decisions that are active.

    Args:
        decisions: Decisions, parents before their children.
        values: Values by decision.
        may_lack: Whether an active decision may have no value.

    Raises:
        InvalidArchitecture: An active decision has no value, or one that is not a choice.
    """
    active: dict[str, Choice] = {}
    for decision in decisions:
        if decision.parent is not None and active.get(decision.parent) not in decision.active_when:
            continue
        if decision.name in values:
            active[decision.name] = chosen(decision, values[decision.name])
        elif not may_lack:
            raise InvalidArchitecture(f"decision {decision.name!r} has no value; choose one of {decision.choices}")
    return active


def chosen(decision: Decision, value: Choice) -> Choice:
    """Return the choice that equals a value, so that 3.0 and 3 are the same.

    Raises:
        InvalidArchitecture: There is none.
    """
    if value not in decision.choices:
        raise InvalidArchitecture(f"{decision.name} = {value!r} is not one of {decision.choices}")
    return decision.choices[decision.choices.index(value)]


def names_hint(decisions: Sequence[Decision]) -> str:
    """Return the names, or the first of many, for messages."""
    names = [decision.name for decision in decisions]
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:5])}, … ({len(names)} in all)"


def combinations(decisions: Sequence[Decision]) -> int:
    """Return the exact number of distinct combinations of active values."""
    children: dict[str | None, list[Decision]] = {}
    for decision in decisions:
        children.setdefault(decision.parent, []).append(decision)

    def count(decision: Decision) -> int:
        below = children.get(decision.name, [])
        return sum(prod(count(c) for c in below if choice in c.active_when) for choice in decision.choices)

    return prod(count(decision) for decision in children.get(None, []))


def restricted(
    decisions: Sequence[Decision], choices: Mapping[str, Sequence[Choice]], space: str
) -> tuple[Decision, ...]:
    """Return the decisions with fewer choices; see `Space.restrict`.

    Raises:
        ValueError: A pattern matches no decision, or leaves one without choices.
    """
    kept = {decision.name: decision for decision in decisions}
    for pattern, allowed in choices.items():
        names = [name for name in kept if fnmatchcase(name, pattern)]
        if not names:
            raise ValueError(f"restrict: no decision of {space!r} matches {pattern!r}; it has {names_hint(decisions)}")
        for name in names:
            remaining = tuple(choice for choice in kept[name].choices if choice in allowed)
            if not remaining:
                raise ValueError(f"restrict: {name} allows {kept[name].choices}, none of {tuple(allowed)}")
            kept[name] = replace(kept[name], choices=remaining)
    return tuple(kept.values())


def relaxed(decisions: Sequence[Decision], values: Mapping[str, Choice | Mapping[Choice, Weight]]) -> Relaxation:
    """Return the mixture with these choices, or weights of choices, for every decision; see `Space.relaxation`.

    Raises:
        InvalidArchitecture: A value is unknown or missing, or no choice has a weight.
    """
    checked: dict[str, Choice | Mapping[Choice, Weight]] = {}
    for decision in decisions:
        value = values.get(decision.name)
        if value is None or value == {}:
            raise InvalidArchitecture(
                f"decision {decision.name!r} has no value; choose one of {decision.choices}, or weights of them"
            )
        if isinstance(value, Mapping):
            checked[decision.name] = {chosen(decision, choice): weight for choice, weight in value.items()}
        else:
            checked[decision.name] = chosen(decision, value)
    return Relaxation(checked)


def values_within(name: str, values: Mapping[str, _T]) -> dict[str, _T]:
    """Return the values of decisions that begin with a name and a dot, by the rest of their names."""
    return {key.removeprefix(f"{name}."): value for key, value in values.items() if key.startswith(f"{name}.")}
