"""Search spaces as data: the decisions of a space, its members, their encodings and costs.

`Space.architecture` is the way in: it checks any mapping and drops what is inactive. Where that does not give one form
to what is the same, as for graphs up to the order of their vertices, a space has a `fold`; it also says which mappings
are no member at all.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture, Relaxation, Weight
from search_spaces.costs import Costs
from search_spaces.inputs import Input, example_of
from search_spaces.places import Blocks, Place
from search_spaces.plain import ElasticOnMeta

_FOLDED_ROWS_KEPT = 1 << 16
_DRAWS_PER_MEMBER = 1000
_DRAWS_BEFORE_WIDER = 50
_EXTREME_DRAWS = 1000

Columns = Mapping[str, np.ndarray]


def _chosen(decision: Decision, value: Choice) -> Choice:
    """The choice that equals a value, so that 3.0 and 3 are the same; raises where there is none."""
    if value not in decision.choices:
        raise InvalidArchitecture(f"{decision.name} = {value!r} is not one of {decision.choices}")
    return decision.choices[decision.choices.index(value)]


class _FoldedRow(NamedTuple):
    """Canonical choice indices [D] of one encoding, which decisions are active [D], and why it is no member, if so."""

    encoding: np.ndarray
    active: np.ndarray
    error: InvalidArchitecture | None


def _no_network() -> nn.Module:
    raise TypeError("this space has no elastic network: `build` was not given")


@dataclass(frozen=True, kw_only=True)
class Space:
    """A search space: decisions, the network whose elastic layers follow them, and its exact cost.

    Args:
        name: How the space is called in messages, job files and logs.
        decisions: Parents stand before their children.
        inputs: What its networks are called with.
        build: Makes the elastic network of the largest architecture, with fresh weights.
        network: Makes the plain network of one architecture, with fresh weights; without it, `subnet` takes the
            network from the elastic one.
        fold: Canonical form of the active values, which may drop some and need not be given all; raises
            `InvalidArchitecture` where they are no member. Its result is canonical: folding it again changes nothing.
        size: Number of architectures, where the decisions alone do not tell it.
        extremes: The cheapest and the dearest architecture, where cheapest or dearest choices everywhere are none.
        formats: Columns of tables that name an architecture -> function of their values that gives its decisions.
        traits: Numbers [N, C] of architectures given as `cost` is, by which they resemble each other beyond single
            decisions, such as how long the paths of a graph are. What predicts may look at them.
        places: The places of its networks, where they are made of blocks that follow few decisions each; exact costs
            are sums over these blocks.
        cost: Exact costs where networks are not made of such blocks: from one column of values per decision, each
            [N], columns [N] by the name of the cost. A value of an inactive decision is present and must not count.
            Where no architecture is known to be the dearest, the last of the costs says which is.
        units: Units of costs other than `params` and `macs`, by name.
        shared_decisions: Decisions about the input, such as its size. What is trained on one batch together shares
            them.
    """

    name: str
    decisions: tuple[Decision, ...]
    inputs: tuple[Input, ...] = ()
    build: Callable[[], nn.Module] = _no_network
    network: Callable[[Architecture], nn.Module] | None = None
    fold: Callable[[dict[str, Choice]], dict[str, Choice]] | None = None
    size: int | None = None
    extremes: tuple[Mapping[str, Choice], Mapping[str, Choice]] | None = None
    formats: Mapping[tuple[str, ...], Callable[..., Mapping[str, Choice]]] = field(default_factory=dict)
    traits: Callable[[Columns], np.ndarray] | None = None
    places: Callable[[], Sequence[Place]] | None = None
    cost: Callable[[Columns], Mapping[str, np.ndarray]] | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    classes: int = 0
    shared_decisions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen: dict[str, Decision] = {}
        for decision in self.decisions:
            if decision.name in seen:
                raise ValueError(f"space {self.name!r}: decision {decision.name!r} is named twice")
            if decision.parent is not None and decision.parent not in seen:
                raise ValueError(f"space {self.name!r}: {decision.name!r} stands before its parent {decision.parent!r}")
            seen[decision.name] = decision

    def __getstate__(self) -> dict[str, Any]:
        """The fields only: what is derived once is derived again in another process."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    @property
    def is_elastic(self) -> bool:
        """Whether there is an elastic network, from which a supernet can be made."""
        return self.build is not _no_network

    # ---- single architectures -------------------------------------------------------------------------------------

    def architecture(self, values: Mapping[str, Choice]) -> Architecture:
        """The architecture with these values; values of inactive decisions are dropped.

        Raises:
            InvalidArchitecture: A name or a value is unknown, an active decision has no value, or the values together
                are no member of the space.
        """
        unknown = [name for name in values if name not in self._by_name]
        if unknown:
            raise InvalidArchitecture(f"space {self.name!r} has no decision {unknown[0]!r}; it has {self._names_hint}")
        active: dict[str, Choice] = {}
        for decision in self.decisions:
            if decision.parent is not None and active.get(decision.parent) not in decision.active_when:
                continue
            if decision.name not in values:
                if self.fold is not None:
                    continue
                raise InvalidArchitecture(f"decision {decision.name!r} has no value; choose one of {decision.choices}")
            active[decision.name] = _chosen(decision, values[decision.name])
        if self.fold is not None:
            folded = self.fold(active)
            active = {d.name: _chosen(d, folded[d.name]) for d in self.decisions if d.name in folded}
        return Architecture(active)

    def relaxation(self, values: Mapping[str, Choice | Mapping[Choice, Weight]]) -> Relaxation:
        """The mixture with these choices, or weights of choices, for every decision.

        Raises:
            InvalidArchitecture: A name or a value is unknown or missing, or no choice has a weight.
            ValueError: Decisions of the space depend on each other, so that a mixture has no one meaning.
        """
        if self.fold is not None or self._parents:
            raise ValueError(f"space {self.name!r} has decisions that depend on others: it cannot be relaxed")
        if unknown := [name for name in values if name not in self._by_name]:
            raise InvalidArchitecture(f"space {self.name!r} has no decision {unknown[0]!r}; it has {self._names_hint}")
        checked: dict[str, Choice | Mapping[Choice, Weight]] = {}
        for decision in self.decisions:
            value = values.get(decision.name)
            if value is None or value == {}:
                raise InvalidArchitecture(
                    f"decision {decision.name!r} has no value; choose one of {decision.choices}, or weights of them"
                )
            if isinstance(value, Mapping):
                checked[decision.name] = {_chosen(decision, choice): weight for choice, weight in value.items()}
            else:
                checked[decision.name] = _chosen(decision, value)
        return Relaxation(checked)

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Mapping):
            return False
        try:
            return self.architecture(architecture) == architecture
        except InvalidArchitecture:
            return False

    def largest(self) -> Architecture:
        """The architecture with the dearest choice everywhere; where that is no member, the dearest known one."""
        return self._extreme(-1)

    def smallest(self) -> Architecture:
        """The architecture with the cheapest choice everywhere; where that is no member, the cheapest known one."""
        return self._extreme(0)

    def _extreme(self, end: int) -> Architecture:
        if self.fold is None:
            return self.architecture({decision.name: decision.choices[end] for decision in self.decisions})
        if self.extremes is not None:
            with suppress(InvalidArchitecture):  # a part of the space need not hold them
                return self.architecture(self.extremes[end])
        drawn = self.sample_encodings(_EXTREME_DRAWS, np.random.default_rng(0))
        return self.decode(drawn[np.argsort(self.costs(drawn)[self.cost_names[-1]], kind="stable")[end]])

    def sample(self, generator: np.random.Generator) -> Architecture:
        """Every decision drawn uniformly and independently until they are a member; then inactive ones are dropped."""
        return self.decode(self.sample_encodings(1, generator)[0])

    def mutate(self, architecture: Architecture, generator: np.random.Generator, *, rate: float = 0.1) -> Architecture:
        """A different architecture near this one: each active decision is redrawn among its other choices with
        probability `rate`, at least one always, more where one gives no other member; decisions that become active
        are drawn uniformly.

        Raises:
            InvalidArchitecture: There is no other architecture, or none was found.
        """
        free = [d for d in self.decisions if d.name in architecture and len(d.choices) > 1]
        if not free:
            raise InvalidArchitecture(f"space {self.name!r} holds one architecture only: nothing can be mutated")
        for draw in range(_DRAWS_PER_MEMBER):
            least = min(1 + draw // _DRAWS_BEFORE_WIDER, len(free))
            mutant = self._mutant(architecture, free, generator, rate, least)
            if mutant is not None and mutant != architecture:
                return mutant
        raise InvalidArchitecture(
            f"space {self.name!r}: none of {_DRAWS_PER_MEMBER} mutations of {dict(architecture)} gave another member"
        )

    def _mutant(
        self, architecture: Architecture, free: list[Decision], generator: np.random.Generator, rate: float, least: int
    ) -> Architecture | None:
        """One try of `mutate`, changing at least so many decisions; None where it is no member."""
        chosen = [d for d in free if generator.random() < rate]
        while len(chosen) < least:
            chosen.append(free[generator.integers(len(free))])
        values = {d.name: d.choices[generator.integers(len(d.choices))] for d in self.decisions}
        values.update(architecture)
        for decision in chosen:
            others = [choice for choice in decision.choices if choice != architecture[decision.name]]
            values[decision.name] = others[generator.integers(len(others))]
        try:
            return self.architecture(values)
        except InvalidArchitecture:
            if self.fold is None:
                raise
            return None

    def subnet(self, architecture: Mapping[str, Choice]) -> nn.Module:
        """The plain network of one architecture with fresh weights of torch's default initialisation.

        The weights come from torch's global generator. Only those of this network are drawn.
        """
        checked = self.architecture(architecture)
        if self.network is not None:
            return self.network(checked)
        return self._elastic.subnet(checked)

    def example(self, architecture: Mapping[str, Choice] | None = None, batch: int = 1) -> tuple[Tensor, ...]:
        """What the network of an architecture is called with: one tensor [batch, ...] for each input, on the CPU.

        Args:
            architecture: Whose sizes the inputs have; those of the largest where none is given.
            batch: Inputs in one batch.

        Raises:
            TypeError: The space does not say what its networks take.
        """
        if not self.inputs:
            raise TypeError(f"space {self.name!r} does not say what its networks take: `inputs` was not given")
        return example_of(self.inputs, self.largest() if architecture is None else architecture, batch)

    def read_row(self, row: Mapping[str, str]) -> Architecture:
        """The architecture that a row of a table names, in one of the `formats` or as JSON in `architecture`.

        Raises:
            ValueError: The row has none of the columns needed, or they name no architecture of this space.
        """
        for columns, parse in self.formats.items():
            if all(row.get(column) is not None for column in columns):
                return self.architecture(parse(*(row[column] for column in columns)))
        if row.get("architecture") is None:
            needed = " or ".join(", ".join(columns) for columns in [*self.formats, ("architecture",)])
            raise ValueError(f"space {self.name!r} needs the columns {needed}; there are {', '.join(row)}")
        try:
            values = json.loads(row["architecture"])
        except json.JSONDecodeError as error:
            raise ValueError(f"architecture = {row['architecture']!r} is no JSON: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"architecture = {row['architecture']!r} must be a JSON object of decision and value")
        return self.architecture(values)

    # ---- the space as a whole -------------------------------------------------------------------------------------

    def restrict(self, choices: Mapping[str, Sequence[Choice]]) -> "Space":
        """The same space with fewer choices; keys are decision names or patterns such as ``*.kernel``.

        Architectures are canonical in the whole space: what folds to a form that the kept choices cannot say is left
        out.

        Raises:
            ValueError: A pattern matches no decision, or leaves one without choices.
        """
        kept = {decision.name: decision for decision in self.decisions}
        for pattern, allowed in choices.items():
            names = [name for name in kept if fnmatchcase(name, pattern)]
            if not names:
                raise ValueError(
                    f"restrict: no decision of {self.name!r} matches {pattern!r}; it has {self._names_hint}"
                )
            for name in names:
                remaining = tuple(choice for choice in kept[name].choices if choice in allowed)
                if not remaining:
                    raise ValueError(f"restrict: {name} allows {kept[name].choices}, none of {tuple(allowed)}")
                kept[name] = replace(kept[name], choices=remaining)
        decisions = tuple(kept.values())
        return replace(self, decisions=decisions, size=self.size if decisions == self.decisions else None)

    def count(self) -> int:
        """The exact number of distinct architectures.

        Raises:
            ValueError: Decisions alone do not tell it, as after `restrict` of a space of graphs.
        """
        if self.size is not None:
            return self.size
        if self.fold is not None:
            raise ValueError(f"the number of architectures of this part of space {self.name!r} is not known")
        children: dict[str | None, list[Decision]] = {}
        for decision in self.decisions:
            children.setdefault(decision.parent, []).append(decision)

        def count(decision: Decision) -> int:
            below = children.get(decision.name, [])
            return sum(prod(count(c) for c in below if choice in c.active_when) for choice in decision.choices)

        return prod(count(decision) for decision in children.get(None, []))

    # ---- integer encodings: one row of choice indices per architecture --------------------------------------------

    @cached_property
    def choice_counts(self) -> np.ndarray:
        """Number of choices of every decision [D]."""
        return np.array([len(decision.choices) for decision in self.decisions], dtype=np.int64)

    def encode(self, architecture: Mapping[str, Choice]) -> np.ndarray:
        """Choice indices [D]; 0 where a decision is inactive.

        Raises:
            InvalidArchitecture: The architecture is not of this space.
        """
        return self._indices(self.architecture(architecture))

    def _indices(self, architecture: Architecture) -> np.ndarray:
        return np.array(
            [d.choices.index(architecture[d.name]) if d.name in architecture else 0 for d in self.decisions],
            dtype=np.int64,
        )

    def decode(self, encoding: Sequence[int] | np.ndarray) -> Architecture:
        """The architecture of choice indices [D]; indices of inactive decisions are ignored."""
        if len(encoding) != len(self.decisions):
            raise InvalidArchitecture(
                f"an encoding of {self.name!r} has {len(self.decisions)} entries, got {len(encoding)}"
            )
        values: dict[str, Choice] = {}
        for decision, index in zip(self.decisions, encoding):
            if not 0 <= index < len(decision.choices):
                raise InvalidArchitecture(
                    f"{decision.name}: index {index} is outside 0..{len(decision.choices) - 1} for {decision.choices}"
                )
            values[decision.name] = decision.choices[int(index)]
        return self.architecture(values)

    def sample_encodings(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """`n` architectures drawn as by `sample`, as canonical encodings [n, D].

        Raises:
            InvalidArchitecture: A thousand draws for each of `n` gave too few members.
        """
        if self.fold is None:
            return self.canonical(generator.integers(0, self.choice_counts, size=(n, len(self.decisions))))
        members = np.empty((0, len(self.decisions)), dtype=np.int64)
        drawn = 0
        while len(members) < n and drawn < n * _DRAWS_PER_MEMBER:
            missing = n - len(members)
            encodings = generator.integers(0, self.choice_counts, size=(missing, len(self.decisions)))
            members = np.concatenate([members, self.canonical(encodings[self.valid(encodings)])])
            drawn += missing
        if len(members) < n:
            raise InvalidArchitecture(f"space {self.name!r}: {len(members)} of {drawn} random draws are members")
        return members

    def members(self) -> np.ndarray | None:
        """All canonical encodings [N, D], once each, where they are few and listed already; None elsewhere."""
        return None

    def valid(self, encodings: np.ndarray) -> np.ndarray:
        """Whether encodings [N, D] are members of the space, as booleans [N]."""
        inside = np.all((encodings >= 0) & (encodings < self.choice_counts), axis=1)
        if self.fold is not None:
            inside[inside] = [self._folded(row).error is None for row in encodings[inside]]
        return inside

    def active(self, encodings: np.ndarray) -> np.ndarray:
        """Which decisions are active in encodings [N, D], as booleans [N, D].

        Where the space has a fold, this is about the canonical encodings.
        """
        if self.fold is not None:
            return np.array([self._folded(row).active for row in encodings], dtype=bool).reshape(encodings.shape)
        active = np.ones(encodings.shape, dtype=bool)
        for column, (parent, allowed) in self._parents.items():
            active[:, column] = active[:, parent] & allowed[encodings[:, parent]]
        return active

    def canonical(self, encodings: np.ndarray) -> np.ndarray:
        """Encodings [N, D], folded, with 0 where inactive: equal rows are equal architectures.

        Rows that are no members stay as they are.
        """
        if self.fold is not None:
            return np.array([self._folded(row).encoding for row in encodings], dtype=np.int64).reshape(encodings.shape)
        return np.where(self.active(encodings), encodings, 0)

    def features(self, encodings: np.ndarray) -> np.ndarray:
        """One-hot features [N, total number of choices] for predictors; all zero where a decision is inactive."""
        offsets = np.concatenate([[0], np.cumsum(self.choice_counts)])
        features = np.zeros((len(encodings), offsets[-1]), dtype=np.float32)
        rows, columns = np.nonzero(self.active(encodings))
        if self.fold is not None:
            encodings = self.canonical(encodings)
        features[rows, offsets[columns] + encodings[rows, columns]] = 1.0
        return features

    @cached_property
    def cost_names(self) -> tuple[str, ...]:
        """The exact costs that the space has; none where it says neither `places` nor `cost`."""
        if self.cost is not None:
            return tuple(self.cost(self._columns(self.sample_encodings(1, np.random.default_rng(0)))))
        return () if self.places is None else self.blocks.cost_names

    def costs(self, architectures: Sequence[Mapping[str, Choice]] | np.ndarray) -> Costs:
        """Exact costs of architectures, or of their encodings [N, D]: columns [N] by name, with units.

        Raises:
            InvalidArchitecture: One of them is no member of the space.
            TypeError: The space has no exact costs.
        """
        if not isinstance(architectures, np.ndarray):
            encodings = [self._indices(self.architecture(a)) for a in architectures]
            architectures = np.array(encodings, dtype=np.int64).reshape(len(encodings), len(self.decisions))
        elif self.fold is not None:
            rows = [self._folded(row) for row in architectures]
            if error := next((row.error for row in rows if row.error is not None), None):
                raise error
            architectures = np.stack([row.encoding for row in rows])
        if self.cost is not None:
            return Costs(self.cost(self._columns(architectures)), self.units)
        if self.places is None:
            raise TypeError(f"space {self.name!r} has no exact cost: neither `places` nor `cost` was given")
        totals = self.blocks.totals(self.blocks.costs, architectures)
        return Costs(dict(zip(self.blocks.cost_names, totals.T)), self.units)

    def traits_of(self, encodings: np.ndarray) -> np.ndarray:
        """The `traits` [N, C] of canonical encodings [N, D]; [N, 0] where the space has none."""
        if self.traits is None or len(encodings) == 0:
            return np.zeros((len(encodings), 0))
        return np.asarray(self.traits(self._columns(encodings)), dtype=float)

    def _columns(self, encodings: np.ndarray) -> dict[str, np.ndarray]:
        return {d.name: np.array(d.choices)[encodings[:, i]] for i, d in enumerate(self.decisions)}

    @cached_property
    def blocks(self) -> Blocks:
        """The distinct blocks that the networks are made of, and which of them each architecture has.

        Raises:
            TypeError: The space does not say what its networks are made of.
        """
        if self.places is None:
            raise TypeError(f"space {self.name!r} does not say what blocks its networks are made of")
        return Blocks(self.decisions, self.places())

    # ---- derived once ---------------------------------------------------------------------------------------------

    def _folded(self, encoding: np.ndarray) -> _FoldedRow:
        return self._folded_of_bytes(np.asarray(encoding, dtype=np.int64).tobytes())

    @cached_property
    def _folded_of_bytes(self) -> Callable[[bytes], _FoldedRow]:
        """Folding is a graph problem for some spaces, and a search asks for the same rows again and again."""

        def folded(row: bytes) -> _FoldedRow:
            encoding = np.frombuffer(row, dtype=np.int64)
            try:
                architecture = self.decode(encoding)
            except InvalidArchitecture as error:
                return _FoldedRow(encoding, np.ones(len(encoding), dtype=bool), error)
            active = np.array([d.name in architecture for d in self.decisions])
            return _FoldedRow(self._indices(architecture), active, None)

        return lru_cache(_FOLDED_ROWS_KEPT)(folded)

    @cached_property
    def _elastic(self) -> ElasticOnMeta:
        return ElasticOnMeta(self.build)

    @cached_property
    def _by_name(self) -> dict[str, Decision]:
        return {decision.name: decision for decision in self.decisions}

    @cached_property
    def _parents(self) -> dict[int, tuple[int, np.ndarray]]:
        """Column of every conditional decision -> column of its parent, parent choices (as booleans) that activate."""
        column = {decision.name: i for i, decision in enumerate(self.decisions)}
        parents: dict[int, tuple[int, np.ndarray]] = {}
        for decision in self.decisions:
            if decision.parent is not None:
                choices = self._by_name[decision.parent].choices
                allowed = np.array([choice in decision.active_when for choice in choices])
                parents[column[decision.name]] = (column[decision.parent], allowed)
        return parents

    @property
    def _names_hint(self) -> str:
        names = [decision.name for decision in self.decisions]
        return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:5])}, … ({len(names)} in all)"

    def describe(self) -> dict[str, Any]:
        """The space in numbers, for logs: name, architectures (None: not known), decisions, inputs."""
        known = self.fold is None or self.size is not None
        return {
            "name": self.name,
            "architectures": self.count() if known else None,
            "decisions": len(self.decisions),
            "inputs": [{"shape": list(one.shape), "dtype": one.dtype} for one in self.inputs],
        }
