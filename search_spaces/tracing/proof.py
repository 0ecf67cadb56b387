"""Proof of a trace: with the units of every group permuted in all tensors, the network computes the same."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from search_spaces.tracing.traced import BATCH, Traced, Units

TOLERANCE = 1e-9
"""Error in float64 above which a trace is wrong; rounding gives less than 1e-12."""
EXAMPLES = 2
EQUAL = 1e-12
LOWER = (torch.float32, torch.float16, torch.bfloat16)


def check_permutation(traced: Traced, generator: torch.Generator) -> float:
    """Return the largest error, relative to the largest output, when the units of all groups are permuted at random.

    Computed in float64 on a few random examples. Weights that start equal for several units are moved apart first,
    because a permutation of equal numbers proves nothing.
    """
    orders = random_orders(traced, generator)
    seed = int(torch.randint(1 << 40, (), generator=generator))
    inputs = random_inputs(traced, generator)
    expected = outputs(traced, Weights(traced, seed), inputs)
    found = outputs(traced, Weights(traced, seed, orders), inputs)
    return max(distance(one, other) for one, other in zip(expected, found, strict=True))


def first_disagreement(traced: Traced, generator: torch.Generator) -> str | None:
    """Return the first node that does not follow a permutation of units, with its operation; None where all do."""
    orders = random_orders(traced, generator)
    seed = int(torch.randint(1 << 40, (), generator=generator))
    inputs = random_inputs(traced, generator)
    ordered, moved = Weights(traced, seed), Weights(traced, seed, orders)
    all_runs = zip(*(run(traced, weights, inputs) for weights in (ordered, ordered, moved)), strict=True)
    for (node, before), (_, again), (_, after) in all_runs:
        if node.op == "call_function" and isinstance(before, Tensor) and before.is_floating_point():
            shape, units = before.shape, traced.units.get(node.name, ())
            own = tuple(item if item is None or len(item) == shape[d] else None for d, item in enumerate(units))
            counted = all(item is None or len(item) == shape[d] for d, item in enumerate(units))
            if counted and distance(permuted(before, own, orders), after) > TOLERANCE:
                is_random = ", which is random," if distance(before, again) > 0 else ""
                return f"{node.name} ({node.target}) in {node.meta['scope'] or 'the network'}{is_random}"
    return None


def distance(one: Tensor, other: Tensor) -> float:
    """Return the largest difference of two tensors, relative to the largest number; infinite if not finite."""
    if one.shape != other.shape:
        return float("inf")
    scale = max(1.0, float(one.abs().max())) if one.numel() else 1.0
    error = float((one - other).abs().max()) / scale if one.numel() else 0.0
    return error if np.isfinite(error) else float("inf")


def random_orders(traced: Traced, generator: torch.Generator) -> np.ndarray:
    """Return for every unit of the network the one that takes its place."""
    orders = np.arange(sum(group.size for group in traced.groups))
    for group in traced.groups:
        order = torch.randperm(group.size, generator=generator).numpy()
        orders[group.first : group.first + group.size] = group.first + order
    return orders


def permuted(tensor: Tensor, units: Units, orders: np.ndarray) -> Tensor:
    """Return a tensor with its units in another order; the indices of a unit keep their own order."""
    for dimension, own in enumerate(units):
        if own is not None:
            tensor = tensor.index_select(dimension, torch.from_numpy(source_indices(own, orders)).to(tensor.device))
    return tensor


def source_indices(units: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return for each index of a dimension the one whose content it gets."""
    places = np.argsort(units, kind="stable")
    places = places[units[places] >= 0]
    rank = np.zeros(len(units), dtype=np.int64)
    sorted_units = units[places]
    starts = np.searchsorted(sorted_units, sorted_units)
    rank[places] = np.arange(len(places)) - starts
    source = np.arange(len(units))
    source[places] = places[np.searchsorted(sorted_units, orders[sorted_units]) + rank[places]]
    return source


@dataclass(frozen=True)
class Weights:
    """Tensors of a trace in float64, made one by one when they are read, so that large networks need no copies.

    Args:
        traced: The trace.
        seed: What decides the noise that moves equal numbers apart.
        orders: For every unit the one that takes its place; none leaves them.
    """

    traced: Traced
    seed: int
    orders: np.ndarray | None = None
    state: Mapping[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", self.traced.module.state_dict())

    def __getitem__(self, name: str) -> Tensor:
        """Return one tensor."""
        value = self.state[name] if name in self.state else self.traced.constants[name]
        value = value.detach().double() if value.is_floating_point() else value.detach()
        if name in self.state and value.is_floating_point() and are_alike(value, self.traced.tensors[name]):
            generator = torch.Generator().manual_seed(self.seed + list(self.state).index(name))
            noise = torch.rand(value.shape, generator=generator, dtype=torch.float64) * 0.2 - 0.1
            value = value + noise.to(value.device)
        return value if self.orders is None else permuted(value, self.traced.tensors[name], self.orders)


def are_alike(value: Tensor, units: Units) -> bool:
    """Return whether all units of some dimension have the same numbers."""
    free = [dimension for dimension, own in enumerate(units) if own is not None and value.shape[dimension] > 1]
    return any(float((value.amax(one) - value.amin(one)).max()) < EQUAL for one in free)


def random_inputs(traced: Traced, generator: torch.Generator) -> list[Tensor]:
    """Return random inputs of a few examples; zeros for those that are no real numbers."""
    inputs = []
    for node in traced.graph.find_nodes(op="placeholder"):
        shape = (EXAMPLES, *traced.shapes[node.name][1:])
        dtype = node.meta["dtype"]
        if dtype.is_floating_point:
            inputs.append(torch.randn(shape, generator=generator, dtype=torch.float64).to(node.meta["device"]))
        else:
            inputs.append(torch.zeros(shape, dtype=dtype, device=node.meta["device"]))
    return inputs


@torch.no_grad()
def run(traced: Traced, tensors: Weights, inputs: list[Tensor]) -> Iterator[tuple[fx.Node, Any]]:
    """Interpret a trace in float64 and yield the value of every node; the output yields a list of tensors."""
    given = iter(inputs)
    values: dict[fx.Node, Any] = {}
    last = {source: node for node in traced.graph.nodes for source in node.all_input_nodes}
    for node in traced.graph.nodes:
        value: Any
        if node.op == "placeholder":
            value = next(given)
        elif node.op == "get_attr":
            value = tensors[str(node.target)]
        else:
            args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            value = flat_tensors(args) if node.op == "output" else node.target(*literal(args), **literal(kwargs))
        values[node] = value
        yield node, value
        for source in node.all_input_nodes:
            if last[source] is node:
                values[source] = None


def outputs(traced: Traced, tensors: Weights, inputs: list[Tensor]) -> list[Tensor]:
    """Return the outputs of a trace; values between are let go as soon as nothing reads them."""
    found: list[Tensor] = []
    for _, value in run(traced, tensors, inputs):
        found = value
    return found


def flat_tensors(value: Any) -> list[Tensor]:
    """Return the tensors in a nested value."""
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [tensor for item in items for tensor in flat_tensors(item)]


def literal(value: Any) -> Any:
    """Return an argument for a few examples and in float64: sizes of the traced batch are replaced."""
    if isinstance(value, Mapping):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [literal(item) for item in value]
    if isinstance(value, torch.dtype):
        return torch.float64 if value in LOWER else value
    if isinstance(value, int) and not isinstance(value, bool) and value and value % BATCH == 0:
        return value // BATCH * EXAMPLES
    return value
