"""The convolutions and linear layers of the networks of a space: how large they are, and under what choices they run.

They are read off the elastic network of the space, without storage where it runs without numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn

from search_spaces.architecture import Architecture, Choice, InvalidArchitecture
from search_spaces.elastic.layer import Elastic, elastic_layers, extracted, governed
from search_spaces.elastic.product import CONVOLUTION, Product
from search_spaces.elastic.quantized import products
from search_spaces.errors import FieldError
from search_spaces.space import Space

_RANDOM = 2
_MOST_LAYERS = 1000  # reading more takes minutes


@dataclass(frozen=True, kw_only=True)
class LayerSizes:
    """One layer of the networks of a space.

    Args:
        name: Its path in the network.
        kind: `convolution` or `linear`.
        runs: Decision -> the choices under which it runs; it runs where all of these hold.
        follows: Decisions that its weight follows, with their choices.
        weights: Number of its weights, one dimension for each decision that it follows.
        outputs: Number of its output channels, in the same form.
        positions: How often its weights are multiplied with an input, one dimension for each shared decision.
        is_edge: Whether it is the first or the last layer of the largest network.
    """

    name: str
    kind: str
    runs: Mapping[str, frozenset[Choice]]
    follows: Mapping[str, tuple[Choice, ...]]
    weights: np.ndarray
    outputs: np.ndarray
    positions: np.ndarray
    is_edge: bool = False


def read_layers(space: Space) -> tuple[LayerSizes, ...]:
    """Return the layers of the networks of a space, in the order in which they run.

    Raises:
        FieldError: What they multiply follows other decisions than their own sizes and those of the inputs.
    """
    try:
        with torch.device("meta"):
            reading = _Reading(space, space.build().eval())
            positions = reading.positions()
    except (NotImplementedError, RuntimeError):  # it looks at its numbers
        with torch.random.fork_rng(devices=[]):
            reading = _Reading(space, space.build().eval())
            positions = reading.positions()
    return tuple(reading.layer(name, found) for name, found in positions.items())


class _Reading:
    """One look at a network.

    Args:
        space: Its space.
        network: Its elastic network.
    """

    def __init__(self, space: Space, network: nn.Module) -> None:
        self.space, self.network = space, network
        self.products: dict[str, Product] = {one.name: one for one in products(network)}
        if len(self.products) > _MOST_LAYERS:
            most = f"layers, at most {_MOST_LAYERS:,} can have bits"
            raise FieldError("precision", f"must be null: supernets of {space.name} have {len(self.products):,} {most}")
        self.runs = _conditions(network, self.products, space)
        self.shared = [d for d in space.decisions if d.name in space.shared_decisions]
        self._device = next(iter(network.parameters())).device
        self._edges: set[str] = set()

    def layer(self, name: str, positions: np.ndarray) -> LayerSizes:
        """Return what is known of a layer."""
        one = self.products[name]
        known = {d.name: d.choices for d in self.space.decisions}
        follows = {decision: known.get(decision, choices) for decision, choices in one.choices.items()}
        try:
            shapes = [one.shape(Architecture(dict(zip(follows, values)))) for values in product(*follows.values())]
        except ValueError as error:  # paths that disappear have sizes of 0
            raise FieldError("precision", f"must be null: {name} of {self.space.name} has a size of 0") from error
        counts = [len(choices) for choices in follows.values()]
        return LayerSizes(
            name=name,
            kind=one.kind,
            runs=self.runs[name],
            follows=follows,
            weights=np.array([np.prod(shape) for shape in shapes], dtype=np.int64).reshape(counts),
            outputs=np.array([shape[0] for shape in shapes], dtype=np.int64).reshape(counts),
            positions=positions,
            is_edge=name in self._edges,
        )

    # ---- how often weights are multiplied -------------------------------------------------------------------------

    def positions(self) -> dict[str, np.ndarray]:
        """Return the positions of every layer, in the order in which they run.

        Raises:
            FieldError: They follow decisions that the inputs do not follow.
        """
        found: dict[str, np.ndarray] = {}
        counts = [len(decision.choices) for decision in self.shared]
        for index, values in enumerate(product(*(d.choices for d in self.shared))):
            given = dict(zip([d.name for d in self.shared], values))
            for name, number in self._all_positions(given, checked=index == 0).items():
                found.setdefault(name, np.zeros(counts, dtype=np.int64)).flat[index] = number
        return found

    def _all_positions(self, given: Mapping[str, Choice], *, checked: bool) -> dict[str, int]:
        """Return the positions of every layer under choices of the shared decisions; random networks check them."""
        largest = {**self.space.largest(), **given}
        found = self._observed(self.space.architecture(largest))
        self._edges = {name for place, name in enumerate(found) if place in (0, len(found) - 1)}
        for turn in range(1, max((len(d.choices) for d in self.space.decisions), default=1)):
            other = {d.name: d.choices[-1 - turn % len(d.choices)] for d in self.space.decisions}
            self._look_at({**other, **given}, found)
        for name in self.products:
            if name not in found:
                self._look_at(self._running(name, largest), found)
        generator = np.random.default_rng(0)
        for _ in range(_RANDOM if checked else 0):
            drawn = self.space.architecture({**self.space.sample(generator), **given})
            for name, number in self._observed(drawn).items():
                if found.setdefault(name, number) != number:
                    follows = f"what {name} multiplies follows decisions of {self.space.name} that are not its own"
                    raise FieldError("precision", f"must be null: {follows}")
        return found

    def _look_at(self, values: Mapping[str, Choice], found: dict[str, int]) -> None:
        """Add the positions of layers that were not seen before and run with these values, if they are a member."""
        if len(found) < len(self.products):
            with suppress(InvalidArchitecture):
                for name, number in self._observed(self.space.architecture(values)).items():
                    found.setdefault(name, number)

    def _running(self, name: str, values: Mapping[str, Choice]) -> dict[str, Choice]:
        """Return values with which a layer probably runs."""
        allowed: dict[str, frozenset[Choice]] = dict(self.runs[name])
        for decision in reversed(self.space.decisions):  # children stand behind their parents
            if decision.name in allowed and decision.parent is not None:
                when = frozenset(decision.active_when)
                allowed[decision.parent] = allowed.get(decision.parent, when) & when
        dearest = {d.name: d.choices[-1] for d in self.space.decisions}
        wanted = {
            d.name: next((choice for choice in reversed(d.choices) if choice in allowed[d.name]), d.choices[-1])
            for d in self.space.decisions
            if d.name in allowed
        }
        return {**dearest, **values, **wanted}

    def _observed(self, architecture: Architecture) -> dict[str, int]:
        """Return the positions of the layers that run in one architecture, in order."""
        for layer in elastic_layers(self.network):
            layer.activate(architecture)
        running = extracted(self.network) if isinstance(self.network, Elastic) else self.network
        modules = dict(running.named_modules())
        found: dict[str, int] = {}

        def watch(name: str, kind: str) -> Any:
            def count(_: nn.Module, __: Any, output: torch.Tensor) -> None:
                channels = output.shape[1 if kind == CONVOLUTION else -1]
                found[name] = found.get(name, 0) + output.numel() // channels

            return count

        hooks = [
            modules[name].register_forward_hook(watch(name, one.kind))
            for name, one in self.products.items()
            if name in modules
        ]
        try:
            with torch.no_grad():
                running.eval()(*(one.to(self._device) for one in self.space.example(architecture)))
        finally:
            for hook in hooks:
                hook.remove()
        return found


def _conditions(
    network: nn.Module, found: Mapping[str, Product], space: Space
) -> dict[str, dict[str, frozenset[Choice]]]:
    """Return for every layer the decisions that it does not run under all choices of, and those under which it does."""
    under: dict[int, dict[str, set[Choice]]] = {}
    for decision, choice, module in governed(network):
        under.setdefault(id(module), {}).setdefault(decision, set()).add(choice)
    choices = {d.name: frozenset(d.choices) for d in space.decisions}
    conditions: dict[str, dict[str, frozenset[Choice]]] = {}
    for name, one in found.items():
        runs: dict[str, frozenset[Choice]] = {}
        for module in (*_around(network, name), one.module):
            for decision, allowed in under.get(id(module), {}).items():
                runs[decision] = runs.get(decision, choices.get(decision, frozenset(allowed))) & allowed
        conditions[name] = {decision: allowed for decision, allowed in runs.items() if allowed != choices.get(decision)}
    return conditions


def _around(network: nn.Module, name: str) -> Iterator[nn.Module]:
    """Yield the modules around a layer."""
    module = network
    for part in name.split("."):
        yield module
        if part not in module._modules:
            return
        inside = module._modules[part]
        assert inside is not None
        module = inside
