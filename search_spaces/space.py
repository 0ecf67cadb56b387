"""Search spaces as data: the decisions of a space, its members, their encodings and costs.

`Space.architecture` is the way in: it checks any mapping and drops what is inactive. Some spaces can write one
architecture in several ways, such as graphs up to the order of their vertices. They have a `fold`, which gives one form
and refuses mappings that are not members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.alone import Alone
from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture, Relaxation, Weight
from search_spaces.costs import Costs
from search_spaces.decisions import active_choices, check_order, chosen, combinations, names_hint, relaxed, restricted
from search_spaces.encodings import Encodings
from search_spaces.inputs import Input, example_of
from search_spaces.mutation import mutated
from search_spaces.origin import Origin
from search_spaces.places import Blocks, Place
from search_spaces.rows import values_of_row

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search_spaces.graph import Graph
    from search_spaces.plain import ElasticOnMeta
    from search_spaces.simulated import Simulated
    from search_spaces.vectors import Vectors

_DRAWS_PER_MEMBER, _EXTREME_DRAWS = 1000, 1000

Columns = Mapping[str, np.ndarray]


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
        network: Makes the plain network of one architecture, with fresh weights; by default it is the elastic one's.
        fold: Canonical form of the active values, which may drop some and need not be given all; raises
            `InvalidArchitecture` where they are no member. Its result is canonical: folding it again changes nothing.
        size: Number of architectures, where it does not follow from the decisions alone.
        extremes: The cheapest and the dearest architecture, where the first or last choices everywhere are no member.
        formats: Columns of tables that name an architecture -> function of their values that gives its decisions.
        traits: Numbers [N, C] of architectures given as `cost` is, by which predictors see what these have in common.
        places: The places of its networks, where they are made of blocks that follow few decisions each; exact costs
            are sums over these blocks.
        cost: Exact costs where networks are not made of such blocks: from one column of values per decision, each
            [N], columns [N] by the name of the cost. A value of an inactive decision is present and must not count.
            Where no architecture is known to be the dearest, the last of the costs says which is.
        graphs: Gives the graphs that an architecture is looked at as, where pieces in a row do not show what it is.
        vectors: Vectors of weights that it is relaxed by, where its decisions do not have one each.
        unordered: Costs that do not rise with the choices: no architecture is known to have the least or the most.
        units: Units of costs other than `params` and `macs`, by name.
        parts: Spaces of networks that it joins, by name.
        weights: Puts given weights, such as pretrained ones, into what `build` made, once, when its training begins.
        origin: The network that it was read off, where it was.
        alone: How its paper trains one architecture from fresh weights.
        simulated: What its networks only simulate; None where they are what they will be.
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
    graphs: Callable[[Mapping[str, Choice]], Sequence[Graph]] | None = None
    vectors: Vectors | None = None
    unordered: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Space] = field(default_factory=dict)
    weights: Callable[[nn.Module], None] | None = None
    origin: Origin | None = None
    alone: Alone = field(default_factory=Alone)
    simulated: Simulated | None = None

    def __post_init__(self) -> None:
        check_order(self.decisions, self.name)

    @classmethod
    def from_module(cls, model: nn.Module, *example: Tensor, **options: Any) -> Space:
        """Return the space of the subnets of a network, whose weights every network that it builds starts from.

        Args:
            model: The network, which is not changed.
            example: Its inputs, each [B, ...].
            options: Those of the space `timm`; `resolutions` are by default the side of the example alone.
        """
        from search_spaces.traced_spaces.reading import read_module

        return cls(name="module", **read_module(model, example, options))

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields only: another process derives the rest again."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    @property
    def is_elastic(self) -> bool:
        """Whether there is an elastic network, from which a supernet can be made."""
        return self.build is not _no_network

    @property
    def shared_decisions(self) -> tuple[str, ...]:
        """Decisions that change what networks are called with, so that architectures share them within one batch."""
        return tuple(dict.fromkeys(decision for one in self.inputs for decision in one.follows))

    # ---- single architectures -------------------------------------------------------------------------------------

    def architecture(self, values: Mapping[str, Choice]) -> Architecture:
        """Return the architecture with these values; values of inactive decisions are dropped.

        Raises:
            InvalidArchitecture: A name or a value is unknown, an active decision has no value, or the values together
                are no member of the space.
        """
        if unknown := [name for name in values if name not in self._by_name]:
            raise self._unknown(unknown[0])
        active = active_choices(self.decisions, values, may_lack=self.fold is not None)
        if self.fold is not None:
            folded = self.fold(active)
            active = {d.name: chosen(d, folded[d.name]) for d in self.decisions if d.name in folded}
        return Architecture(active)

    def relaxation(self, values: Mapping[str, Choice | Mapping[Choice, Weight]]) -> Relaxation:
        """Return the mixture with these choices, or weights of choices, for every decision.

        Raises:
            InvalidArchitecture: A name or a value is unknown or missing, or no choice has a weight.
            ValueError: Decisions of the space depend on each other, so that a mixture has no one meaning.
        """
        if self.fold is not None or self._encodings.parents:
            raise ValueError(f"space {self.name!r} has decisions that depend on others: it cannot be relaxed")
        if unknown := [name for name in values if name not in self._by_name]:
            raise self._unknown(unknown[0])
        return relaxed(self.decisions, values)

    def __contains__(self, architecture: object) -> bool:
        with suppress(InvalidArchitecture):
            return isinstance(architecture, Mapping) and self.architecture(architecture) == architecture
        return False

    def largest(self) -> Architecture:
        """Return the architecture with the dearest choices, or the dearest known one where that is not a member."""
        return self._extreme(-1)

    def smallest(self) -> Architecture:
        """Return the architecture with the cheapest choices, or the cheapest known one where that is not a member."""
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
        """Draw every decision uniformly and independently until they are a member; inactive ones are then dropped."""
        return self.decode(self.sample_encodings(1, generator)[0])

    def mutate(self, architecture: Architecture, generator: np.random.Generator, *, rate: float = 0.1) -> Architecture:
        """Return a different architecture near this one: each active decision is redrawn among its other choices with
        probability `rate`, at least one always, more where one gives no other member; decisions that become active are
        drawn uniformly.

        Raises:
            InvalidArchitecture: There is no other architecture, or none was found.
        """
        if not any(len(d.choices) > 1 for d in self.decisions if d.name in architecture):
            raise InvalidArchitecture(f"space {self.name!r} holds one architecture only: nothing can be mutated")
        mutant = mutated(self.decisions, self._member, architecture, generator, rate=rate, draws=_DRAWS_PER_MEMBER)
        if mutant is None:
            tried = f"none of {_DRAWS_PER_MEMBER} mutations of {dict(architecture)}"
            raise InvalidArchitecture(f"space {self.name!r}: {tried} gave another member")
        return mutant

    def _member(self, values: Mapping[str, Choice]) -> Architecture | None:
        """Return the architecture with these values; None where the space has a fold and the values are no member."""
        try:
            return self.architecture(values)
        except InvalidArchitecture:
            if self.fold is None:
                raise
            return None

    def subnet(self, architecture: Mapping[str, Choice]) -> nn.Module:
        """Return the plain network of one architecture with fresh weights of torch's default initialisation.

        The weights come from torch's global generator. Only those of this network are drawn.
        """
        checked = self.architecture(architecture)
        return self._elastic.subnet(checked) if self.network is None else self.network(checked)

    def example(self, architecture: Mapping[str, Choice] | None = None, batch: int = 1) -> tuple[Tensor, ...]:
        """Return example inputs of the network of an architecture: a tensor [batch, ...] for each, on the CPU.

        Args:
            architecture: Architecture whose sizes the inputs have; by default the largest.
            batch: Inputs in one batch.

        Raises:
            TypeError: The space does not say what its networks take.
        """
        if not self.inputs:
            raise TypeError(f"space {self.name!r} does not say what its networks take: `inputs` was not given")
        return example_of(self.inputs, self.largest() if architecture is None else architecture, batch)

    def read_row(self, row: Mapping[str, str]) -> Architecture:
        """Return the architecture that a row of a table names, in one of the `formats` or as JSON in `architecture`.

        Raises:
            ValueError: The row has none of the columns needed, or they name no architecture of this space.
        """
        return self.architecture(values_of_row(row, self.formats, self.name))

    # ---- the space as a whole -------------------------------------------------------------------------------------

    def restrict(self, choices: Mapping[str, Sequence[Choice]]) -> Space:
        """Return the same space with fewer choices; keys are decision names or patterns such as ``*.kernel``.

        Architectures are canonical in the whole space: what folds to a form that the kept choices cannot express is
        left out.

        Raises:
            ValueError: A pattern matches no decision, or leaves one without choices.
        """
        decisions = restricted(self.decisions, choices, self.name)
        return replace(self, decisions=decisions, size=self.size if decisions == self.decisions else None)

    def count(self) -> int:
        """Return the exact number of distinct architectures.

        Raises:
            ValueError: The number does not follow from the decisions alone, as after `restrict` of a space of graphs.
        """
        if self.size is not None:
            return self.size
        if self.fold is not None:
            raise ValueError(f"the number of architectures of this part of space {self.name!r} is not known")
        return combinations(self.decisions)

    # ---- integer encodings: one row of choice indices per architecture --------------------------------------------

    @property
    def choice_counts(self) -> np.ndarray:
        """Number of choices of every decision [D]."""
        return self._encodings.choice_counts

    def encode(self, architecture: Mapping[str, Choice]) -> np.ndarray:
        """Return choice indices [D]; 0 where a decision is inactive.

        Raises:
            InvalidArchitecture: The architecture is not of this space.
        """
        return self._encodings.indices(self.architecture(architecture))

    def decode(self, encoding: Sequence[int] | np.ndarray) -> Architecture:
        """Return the architecture of choice indices [D]; indices of inactive decisions are ignored.

        Raises:
            InvalidArchitecture: It is not of this space.
        """
        return self._encodings.decode(encoding)

    def sample_encodings(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Return `n` architectures drawn as by `sample`, as canonical encodings [n, D].

        Raises:
            InvalidArchitecture: A thousand draws for each of `n` gave too few members.
        """
        if self.fold is None:
            return self.canonical(generator.integers(0, self.choice_counts, size=(n, len(self.decisions))))
        members, drawn = np.empty((0, len(self.decisions)), dtype=np.int64), 0
        while len(members) < n and drawn < n * _DRAWS_PER_MEMBER:
            missing = n - len(members)
            encodings = generator.integers(0, self.choice_counts, size=(missing, len(self.decisions)))
            members = np.concatenate([members, self.canonical(encodings[self.valid(encodings)])])
            drawn += missing
        if len(members) < n:
            raise InvalidArchitecture(f"space {self.name!r}: {len(members)} of {drawn} random draws are members")
        return members

    def members(self) -> np.ndarray | None:
        """Return all canonical encodings [N, D], once each, where they are few and listed already; None elsewhere."""
        return None

    def valid(self, encodings: np.ndarray) -> np.ndarray:
        """Return whether encodings [N, D] are members of the space, as booleans [N]."""
        return self._encodings.valid(encodings)

    def active(self, encodings: np.ndarray) -> np.ndarray:
        """Return which decisions are active in encodings [N, D], as booleans [N, D].

        Where the space has a fold, this is about the canonical encodings.
        """
        return self._encodings.active(encodings)

    def canonical(self, encodings: np.ndarray) -> np.ndarray:
        """Return encodings [N, D], folded, with 0 where inactive: equal rows are equal. Others than members stay."""
        return self._encodings.canonical(encodings)

    def features(self, encodings: np.ndarray) -> np.ndarray:
        """Return one-hot features [N, number of all choices] for predictors; all zero where a decision is inactive."""
        return self._encodings.features(encodings)

    @cached_property
    def cost_names(self) -> tuple[str, ...]:
        """The exact costs that the space has; none where it says neither `places` nor `cost`."""
        if self.cost is not None:
            return tuple(self.cost(self._encodings.columns(self.sample_encodings(1, np.random.default_rng(0)))))
        return () if self.places is None else self.blocks.cost_names

    def costs(self, architectures: Sequence[Mapping[str, Choice]] | np.ndarray) -> Costs:
        """Return exact costs of architectures, or of their encodings [N, D]: columns [N] by name, with units.

        Raises:
            InvalidArchitecture: One of them is no member of the space.
            TypeError: The space has no exact costs.
        """
        if not isinstance(architectures, np.ndarray):
            rows = [self.encode(architecture) for architecture in architectures]
            encodings = np.array(rows, dtype=np.int64).reshape(len(rows), len(self.decisions))
        else:
            encodings = self._encodings.members(architectures)
        if self.cost is not None:
            return Costs(self.cost(self._encodings.columns(encodings)), self.units)
        if self.places is None:
            raise TypeError(f"space {self.name!r} has no exact cost: neither `places` nor `cost` was given")
        totals = self.blocks.totals(self.blocks.costs, encodings)
        return Costs(dict(zip(self.blocks.cost_names, totals.T)), self.units)

    def traits_of(self, encodings: np.ndarray) -> np.ndarray:
        """Return the `traits` [N, C] of canonical encodings [N, D]; [N, 0] where the space has none."""
        if self.traits is None or len(encodings) == 0:
            return np.zeros((len(encodings), 0))
        return np.asarray(self.traits(self._encodings.columns(encodings)), dtype=float)

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

    @cached_property
    def _encodings(self) -> Encodings:
        return Encodings(self.name, self.decisions, self.architecture, folds=self.fold is not None)

    @cached_property
    def _elastic(self) -> ElasticOnMeta:
        from search_spaces.plain import ElasticOnMeta

        return ElasticOnMeta(self.build)

    @cached_property
    def _by_name(self) -> dict[str, Decision]:
        return {decision.name: decision for decision in self.decisions}

    def _unknown(self, name: str) -> InvalidArchitecture:
        return InvalidArchitecture(f"space {self.name!r} has no decision {name!r}; it has {names_hint(self.decisions)}")

    def describe(self) -> dict[str, Any]:
        """Return the space in numbers, for logs: name, architectures (None: not known), decisions, inputs."""
        return {
            "name": self.name,
            "architectures": self.count() if self.fold is None or self.size is not None else None,
            "decisions": len(self.decisions),
            "inputs": [{"shape": list(one.shape), "dtype": one.dtype} for one in self.inputs],
        }
