"""A space read off a network: traced once in a process, planned, and made into the parts of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from search_spaces.errors import FieldError
from search_spaces.inputs import Input, images
from search_spaces.places import Place
from search_spaces.traced_spaces.choices import Choices
from search_spaces.traced_spaces.other_sides import shapes_at
from search_spaces.traced_spaces.sources import GivenModule, OfImages, Source
from search_spaces.traced_spaces.summary import TOO_SMALL, origin_of
from search_spaces.traced_spaces.traced_blocks import Network, places_of
from search_spaces.traced_spaces.traced_costs import Counting
from search_spaces.traced_spaces.traced_decisions import RESOLUTION, Plan, plan_of
from search_spaces.tracing import TOLERANCE, Traced, TraceError, check_permutation, first_disagreement, trace

if TYPE_CHECKING:
    from torch import nn

_KEPT = 4  # networks that one process remembers


@dataclass(frozen=True)
class Reading:
    """What a space is read off, and how; another process reads the same again.

    Args:
        source: The network.
        choices: What its decisions choose from.
    """

    source: Source
    choices: Choices

    @property
    def traced(self) -> Traced:
        """What the trace says of the network."""
        return _traced(self.source, tuple(sorted(self.choices.resolutions)))

    @cached_property
    def plan(self) -> Plan:
        """The decisions and what follows them."""
        return plan_of(self.traced, self.choices)

    def fields(self) -> dict[str, Any]:
        """Return the arguments of the space but its name."""
        plan, costs = self.plan, self.network.counting.costs()
        origin = origin_of(self.source.name, self.traced, plan, costs.largest())
        if not plan.decisions:
            telling = sorted(origin.fixed, key=lambda one: one.reason != TOO_SMALL)
            reasons = "; ".join(one.line() for one in telling[:2])
            raise FieldError("model", f"{self.source.name} has nothing that can be left out: {reasons}")
        return {
            "decisions": plan.decisions,
            "inputs": self._inputs(),
            "build": self.build,
            "cost": costs,
            "places": self.places if self._places else None,
            "origin": origin,
        }

    def build(self) -> nn.Module:
        """Return the elastic network, with fresh weights."""
        from search_spaces.elastic.traced import ElasticGraph

        plan = self.plan
        return ElasticGraph(
            self.traced,
            groups=plan.groups,
            blocks=plan.blocks,
            kernels=plan.kernels,
            resolution=plan.resolution,
            module=self.source.module(),
        ).train()

    def places(self) -> Sequence[Place]:
        """Return the places of the networks; none where a piece follows too many decisions."""
        return self._places

    @cached_property
    def _places(self) -> tuple[Place, ...]:
        return places_of(self.network)

    @cached_property
    def network(self) -> Network:
        """What is known of the network, and the products that its costs are sums of."""
        traced, resolution = self.traced, self.plan.resolution
        shapes = {} if resolution is None else {side: shapes_at(traced, side) for side in resolution.values.values()}
        return Network(traced, self.plan, Counting(traced, self.plan, shapes), shapes)

    def _inputs(self) -> tuple[Input, ...]:
        if isinstance(self.source, OfImages):
            follows = None if self.plan.resolution is None else RESOLUTION
            return images(self.source.channels, self.source.image_size, follows=follows)
        inputs = [Input(tuple(one.shape[1:]), str(one.dtype).removeprefix("torch.")) for one in self.source.example()]
        if self.plan.resolution is not None:
            inputs[0] = replace(inputs[0], follows={RESOLUTION: (1, 2)})
        return tuple(inputs)

    def __getstate__(self) -> Mapping[str, Any]:
        """Return the fields only: another process derives the rest again."""
        return {"source": self.source, "choices": self.choices}


@lru_cache(maxsize=_KEPT)
def _traced(source: Source, sides: tuple[int, ...]) -> Traced:
    """Return the checked trace of a network, which takes seconds.

    Raises:
        FieldError: The network cannot be traced, does not run at one of the sides, or its groups are not proven.
    """
    source.check()
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            module = source.module().eval()
            _refuse_names(source.name, module)
            traced = trace(module, source.example(), sides=sides)
    except TraceError as error:
        raise FieldError("model", f"{source.name} cannot be made elastic: {error}") from error
    missing = [side for side in sides if side not in traced.literals]
    if missing and len(sides) > 1:
        runs = ", ".join(str(side) for side in sorted(traced.literals))
        raise FieldError("resolutions", f"must be sizes that {source.name} runs at in one graph: {runs}, got {missing}")
    if not check_permutation(traced, torch.Generator().manual_seed(0)) <= TOLERANCE:
        where = first_disagreement(traced, torch.Generator().manual_seed(0)) or "its output"
        changed = f"{where} changes where the channels that belong together change places"
        raise FieldError("model", f"{source.name} cannot be made elastic: {changed}")
    return traced


def _refuse_names(name: str, module: nn.Module) -> None:
    """Refuse parts of a network whose names its elastic or extracted network needs for itself.

    Raises:
        FieldError: There is such a part.
    """
    from search_spaces.elastic.graph.plain_graph import PlainGraph
    from search_spaces.elastic.traced import ElasticGraph

    own = {*dir(ElasticGraph), *dir(PlainGraph), *PlainGraph.HOLDS}.difference(dir(torch.nn.Module))
    for part in (*module._modules, *module._parameters, *module._buffers):
        if part in own:
            said = f"has a part called {part}, a name that elastic networks need: give it another one"
            raise FieldError("model", f"{name} {said}")


def read_module(network: nn.Module, example: tuple[Tensor, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the space of a network in memory but its name; see `Space.from_module`.

    Raises:
        FieldError: An option has a value that it cannot have, or the network cannot be made elastic.
        TypeError: There is no such option.
    """
    if not example:
        raise FieldError("example", "must be at least one tensor [B, ...]")
    side = int(example[0].shape[-1])
    choices = Choices(**{"resolutions": (side,), **options})
    if choices.resolution != side:
        raise FieldError(
            "resolutions", f"must have {side} as largest, the side of the example, got {choices.resolution}"
        )
    return Reading(GivenModule(network=network, inputs=example), choices).fields()
