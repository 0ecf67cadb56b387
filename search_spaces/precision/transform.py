"""A space with bits, made from one without.

Paper: EQ-Net, arXiv 2308.07650, section 3: the search space.
Differs: bits can be decided together with the architecture of the network, and by stages. The choices of granularity
and symmetry are as published: one for the whole network, granularity for weights alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from search_spaces.alone import Alone
from search_spaces.architecture import Choice, Decision
from search_spaces.bars import Bars
from search_spaces.counted_costs import with_counted_costs
from search_spaces.errors import FieldError
from search_spaces.precision.precision_config import MOST_BITS, PrecisionConfig
from search_spaces.precision.start_weights import StartWeights
from search_spaces.simulated import Simulated
from search_spaces.sizes import AnySize, Size
from search_spaces.space import Columns, Space

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from search_spaces.graph import Graph
    from search_spaces.precision.precision_costs import LayerBits, PrecisionCosts
    from search_spaces.precision.precision_layers import LayerSizes

GRANULARITY, WEIGHT_SYMMETRY, ACTIVATION_SYMMETRY = (
    f"precision.{name}" for name in ("granularity", "weight_symmetry", "activation_symmetry")
)
WEIGHT_BITS, ACTIVATION_BITS = "weight_bits", "activation_bits"
SIMULATED = "bits are simulated, latency is that of networks that do not round"


def with_precision(space: Space, config: PrecisionConfig) -> Space:
    """Return the space whose architectures also say the bits of weights and inputs of layers.

    Its networks are those of the space, with the same names of weights, and quantizers inside their layers. All else
    that works on a space works on it: samplers, searches, encodings, costs, reports.

    Args:
        space: A space with an elastic network.
        config: Bits, and what they are decided for.

    Raises:
        FieldError: The space has no elastic network, no layers of these kinds, or layers whose work cannot be told.
    """
    if not space.is_elastic or not space.inputs:
        raise FieldError("precision", f"must be null: {space.name} has no elastic network whose layers could have bits")
    counted = with_counted_costs(space)
    base = counted if config.networks == "all" else _only_largest(counted)
    made = _Made(base, config)
    costs = made.costs()
    return replace(
        base,
        decisions=costs.decisions,
        build=PrecisionBuild(base.build, costs),
        network=None,
        fold=None if base.fold is None else _Folded(base.fold, base.decisions, made.decisions),
        size=made.size(),
        extremes=made.extremes(),
        formats={},
        traits=None if base.traits is None else _Traits(base.traits, made.base_names),
        cost=costs,
        graphs=None if base.graphs is None else _Graphs(base.graphs, made.base_names),
        vectors=None,
        units={**base.units, **made.units},
        alone=Alone(epochs=base.alone.epochs, options=base.alone.options, begin_epoch=base.alone.begin_epoch),
        weights=base.weights if config.start is None else StartWeights(file=config.start, build=base.build),
        simulated=Simulated(what=SIMULATED, real=_without, bars=_BitsOfLayers(costs)),
    )


def _only_largest(space: Space) -> Space:
    largest = space.largest()
    return space.restrict({name: (value,) for name, value in largest.items()})


def _without(network: nn.Module) -> nn.Module:
    """Return a copy of a plain network that does not round."""
    from search_spaces.elastic.quantized import without_quantizers

    return without_quantizers(deepcopy(network))


class _Made:
    """The decisions on bits, and what follows them.

    Args:
        base: Space without bits.
        config: Bits, and what they are decided for.
    """

    def __init__(self, base: Space, config: PrecisionConfig) -> None:
        from search_spaces.precision.precision_costs import UNITS

        self.base, self.config, self.units = base, config, UNITS
        self.base_names = tuple(decision.name for decision in base.decisions)
        self._globals: list[Decision] = []
        self.per_channel = self._one_of(GRANULARITY, config.granularity, ("tensor", "channel"))
        symmetries = ("symmetric", "asymmetric")
        self.weight_offset = self._one_of(WEIGHT_SYMMETRY, config.symmetry, symmetries)
        self.activation_offset = self._one_of(ACTIVATION_SYMMETRY, config.symmetry, symmetries)
        self._bits: dict[str, Decision] = {}
        self.layers = self._layers()
        self.decisions = (*self._globals, *self._bits.values())

    def _one_of(self, name: str, given: str, choices: tuple[str, str]) -> AnySize:
        """Return 0 for the first of two choices and 1 for the second; a decision says which where it is open."""
        if given in choices:
            return choices.index(given)
        self._globals.append(Decision(name, choices))
        return Size(name, {choices[0]: 0, choices[1]: 1})

    def _layers(self) -> tuple[LayerBits, ...]:
        from search_spaces.precision.precision_costs import LayerBits
        from search_spaces.precision.precision_layers import read_layers

        found = read_layers(self.base)
        chosen = [one for one in found if one.kind in self.config.kinds]
        if not chosen:
            kinds = " or ".join(self.config.kinds)
            raise FieldError("precision.kinds", f"must name layers that {self.base.name} has; it has no {kinds} layers")
        groups: dict[str, list[LayerSizes]] = {}
        for one in chosen:
            if not one.is_edge:
                groups.setdefault(one.name if self.config.per == "layer" else stage_of(one.name), []).append(one)
        of = {one.name: group for group, layers in groups.items() for one in layers}
        made = []
        for one in chosen:
            weight: AnySize = self.config.edges
            activation: AnySize = self.config.edges
            if one.name in of:
                group = of[one.name]
                weight = self._decided(group, WEIGHT_BITS, self.config.weights, groups[group])
                activation = self._decided(group, ACTIVATION_BITS, self.config.activations, groups[group])
            made.append(LayerBits(sizes=one, weight=weight, activation=activation))
        return tuple(made)

    def _decided(self, group: str, what: str, bits: Sequence[int], layers: Sequence[LayerSizes]) -> AnySize:
        """Return the bits of a group of layers, which a decision says where there is more than one choice."""
        if len(bits) == 1:
            return bits[0]
        name = f"{group}.{what}"
        if name not in self._bits:
            parent, when = self._condition(layers)
            self._bits[name] = Decision(name, tuple(bits), parent=parent, active_when=when)
        return Size(name, {number: number for number in bits})

    def _condition(self, layers: Sequence[LayerSizes]) -> tuple[str | None, tuple[Choice, ...]]:
        """Return the decision, and the choices of it, under which any of some layers runs; none where one always does.

        A decision has one parent. Of several conditions the last is taken, which lies below the others where these are
        about parts of the network around it.
        """
        names = [[d for d in self.base.decisions if d.name in one.runs] for one in layers]
        if not all(names) or len({found[-1].name for found in names}) > 1:
            return None, ()
        parent = names[0][-1]
        when = frozenset[Choice]().union(*(one.runs[parent.name] for one in layers))
        if when >= set(parent.choices):
            return None, ()
        return parent.name, tuple(choice for choice in parent.choices if choice in when)

    def costs(self) -> PrecisionCosts:
        """Return the costs of the space."""
        from search_spaces.precision.precision_costs import PrecisionCosts

        return PrecisionCosts(
            space=self.base,
            decisions=(*self.base.decisions, *self.decisions),
            layers=self.layers,
            per_channel=self.per_channel,
            weight_offset=self.weight_offset,
            activation_offset=self.activation_offset,
        )

    def size(self) -> int | None:
        """Return the number of architectures where the decisions do not say it; None where it is not known."""
        if self.base.fold is None or self.base.size is None or any(d.parent is not None for d in self.decisions):
            return None
        total = self.base.size
        for decision in self.decisions:
            total *= len(decision.choices)
        return total

    def extremes(self) -> tuple[Mapping[str, Choice], Mapping[str, Choice]] | None:
        """Return the cheapest and the dearest architecture where the base space names its own."""
        if self.base.extremes is None:
            return None
        low, high = self.base.extremes
        first, last = ({d.name: d.choices[end] for d in self.decisions} for end in (0, -1))
        return {**low, **first}, {**high, **last}


def stage_of(layer: str) -> str:
    """Return the stage of a layer: its path up to the first part with a number, such as `stages.2` or `layer1`."""
    numbered = re.match(r"(?:[^.\d]+\.)*[^.]*\d[^.]*", layer)
    return numbered[0] if numbered is not None else layer.partition(".")[0]


@dataclass(frozen=True)
class PrecisionBuild:
    """Makes the elastic network of a space with bits.

    Args:
        base: Makes that of the space without bits.
        bits: Layers and their bits.
    """

    base: Callable[[], nn.Module]
    bits: PrecisionCosts

    def __call__(self) -> nn.Module:
        from search_spaces.elastic.quantized import products
        from search_spaces.elastic.quantizer import Bank, Quantizer

        network = self.base()
        layers = {layer.sizes.name: layer for layer in self.bits.layers}
        for one in list(products(network)):
            if (layer := layers.get(one.name)) is None:
                continue
            weight = Bank(
                layer.weight,
                channels=one.outputs,
                per_channel=self.bits.per_channel,
                has_offset=self.bits.weight_offset,
                signed=True,
            )
            one.attach(Quantizer(weight, Bank(layer.activation, has_offset=self.bits.activation_offset)))
        return network


@dataclass(frozen=True)
class _BitsOfLayers:
    """The bits of the layers that run in an architecture."""

    costs: PrecisionCosts

    def __call__(self, values: Mapping[str, Choice]) -> Bars:
        def number(size: AnySize) -> int:
            return size.values[values[size.decision]] if isinstance(size, Size) else size

        rows = tuple(
            (layer.sizes.name, (number(layer.weight), number(layer.activation)))
            for layer in self.costs.layers
            if all(values.get(decision) in allowed for decision, allowed in layer.sizes.runs.items())
        )
        return Bars(name="Bits of layers", series=("weights", "inputs"), most=MOST_BITS, rows=rows)


@dataclass(frozen=True)
class _Folded:
    """The canonical form of the base space, and the bits of the layers that run in it."""

    fold: Callable[[dict[str, Choice]], dict[str, Choice]]
    base: tuple[Decision, ...]
    bits: tuple[Decision, ...]

    def __call__(self, values: dict[str, Choice]) -> dict[str, Choice]:
        own = {decision.name for decision in self.base}
        folded = self.fold({name: value for name, value in values.items() if name in own})
        return {
            **folded,
            **{
                d.name: values.get(d.name, d.choices[0])
                for d in self.bits
                if d.parent is None or folded.get(d.parent) in d.active_when
            },
        }


@dataclass(frozen=True)
class _Traits:
    """The traits of the base space."""

    traits: Callable[[Columns], np.ndarray]
    names: tuple[str, ...]

    def __call__(self, columns: Columns) -> Any:
        return self.traits({name: columns[name] for name in self.names})


@dataclass(frozen=True)
class _Graphs:
    """The graphs of the base space."""

    graphs: Callable[[Mapping[str, Choice]], Sequence[Graph]]
    names: tuple[str, ...]

    def __call__(self, values: Mapping[str, Choice]) -> Sequence[Graph]:
        return self.graphs({name: values[name] for name in self.names if name in values})
