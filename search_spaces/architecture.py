"""Decisions, and one concrete member of a space.

An `Architecture` holds exactly the decisions that are *active*: a block beyond the chosen depth has no kernel size.
So every architecture has one form only, whatever restricted space it was drawn from, and equality, hashing, caching
and encoding need no further canonicalisation.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Choice = int | float | str | bool


class InvalidArchitecture(ValueError):
    """An architecture that does not belong to the space; the message names the decision, the value and the choices."""


class LeftOut(InvalidArchitecture):
    """An architecture that is well formed, but that an option of the space leaves out."""


@dataclass(frozen=True)
class Decision:
    """One choice to be made; `choices` are listed cheapest first.

    With `parent`, the decision is active only where the parent decision has one of the values `active_when`.
    """

    name: str
    choices: tuple[Choice, ...]
    parent: str | None = None
    active_when: tuple[Choice, ...] = ()

    def __post_init__(self) -> None:
        if not self.choices or len(set(self.choices)) != len(self.choices):
            raise ValueError(f"decision {self.name!r}: choices must be distinct and at least one, got {self.choices}")
        if (self.parent is None) != (not self.active_when):
            raise ValueError(f"decision {self.name!r}: `parent` and `active_when` go together")


class Architecture(Mapping[str, Choice]):
    """One concrete member of a space: the value of every active decision. Immutable, hashable, free of tensors.

    Built by `Space`, which guarantees that it is valid there; `from_json` only restores what was saved.
    """

    __slots__ = ("_hash", "_values")

    def __init__(self, values: Mapping[str, Choice]) -> None:
        self._values = dict(values)
        self._hash = hash(frozenset(self._values.items()))

    def __getitem__(self, decision: str) -> Choice:
        return self._values[decision]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self._values == other._values

    def __repr__(self) -> str:
        return f"Architecture({self._values})"

    def __reduce__(self) -> tuple[type["Architecture"], tuple[dict[str, Choice]]]:
        """Return what pickle needs, without the hash: hashes of texts differ between processes."""
        return Architecture, (self._values,)

    @property
    def key(self) -> str:
        """Ten hexadecimal digits that name this architecture, the same on every machine and in every run."""
        text = json.dumps(self._values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def to_json(self) -> dict[str, Choice]:
        """Return the active decisions as a plain dictionary that `json` can write."""
        return dict(self._values)

    @classmethod
    def from_json(cls, values: Mapping[str, Choice]) -> "Architecture":
        """Return the architecture that `to_json` wrote, unchecked; `Space.architecture` checks as well."""
        return cls(values)


Weight: TypeAlias = "float | Tensor"


class Relaxation(Mapping[str, Choice | Mapping[Choice, Weight]]):
    """A mixture of architectures: a choice for some decisions, and weights of the choices for the others.

    A choice without a weight does not run. Built by `Space.relaxation`, which guarantees that it is valid there.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Choice | Mapping[Choice, Weight]]) -> None:
        self._values = dict(values)

    def __getitem__(self, decision: str) -> Choice | Mapping[Choice, Weight]:
        return self._values[decision]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


Setting = Architecture | Relaxation
"""What elastic layers follow."""
