"""From a network to its trace."""

from collections.abc import Sequence

from torch import Tensor, nn

from search_spaces.tracing.flat import Flat
from search_spaces.tracing.grouping import (
    common_scope,
    families_of,
    names_of,
    pin_unused,
    places_of,
    reasons_of,
    unit_numbers,
    units_of,
)
from search_spaces.tracing.kernels import kernels_of
from search_spaces.tracing.kinds import kinds_of
from search_spaces.tracing.rules import RULES
from search_spaces.tracing.rules.reshaping import RESHAPED
from search_spaces.tracing.sides import literals_of_sides
from search_spaces.tracing.skipping import skippable_blocks
from search_spaces.tracing.traced import Group, Pin, Traced
from search_spaces.tracing.training import flat_of, training_of
from search_spaces.tracing.walk import Value, Walk, walk_graph

ROUNDS = 5


def trace(module: nn.Module, example: tuple[Tensor, ...], *, sides: Sequence[int] = ()) -> Traced:
    """Trace a network and find the units that belong together, the parts that can be skipped, and what stays fixed.

    Args:
        module: The network. It is not changed, and its mode does not matter.
        example: Inputs of the right shapes and types, with any batch.
        sides: Sides of square images that the network may run at besides that of the example.

    Raises:
        TraceError: The network cannot be exported.
    """
    flat, in_training = flat_of(module, example)
    literals = literals_of_sides(module, flat, example, sides)
    training, literals = training_of(module, flat, in_training, literals)
    walk = walk_rounds(flat)
    pin_unused(walk)
    places = places_of(walk)
    families = families_of(walk, places)
    numbers = unit_numbers(walk, families)
    names, kinds = names_of(families, places, flat), kinds_of(walk, families, places, numbers)
    groups = tuple(
        Group(
            name=name,
            kind=kind,
            size=len(family.roots),
            first=int(numbers[family.roots[0]]),
            scope=common_scope(places[number].scope for number in family.places),
        )
        for name, kind, family in zip(names, kinds, families, strict=True)
    )
    units = {n: units_of(value, walk, numbers) for n, value in walk.values.items() if isinstance(value, Value)}
    return Traced(
        module=module,
        graph=flat.graph,
        constants={name: flat.tensors[name] for name in flat.tensors if name in flat.constants},
        shapes=flat.shapes,
        units=units,
        tensors={name: units_of(walk.tensors[name], walk, numbers) for name in flat.tensors},
        groups=groups,
        pins=tuple(pins_of(walk, module)),
        blocks=skippable_blocks(walk, units, module),
        kernels=kernels_of(walk),
        literals=literals,
        training=training,
    )


def walk_rounds(flat: Flat) -> Walk:
    """Walk until no reshape has kept a dimension free in vain, or there is no other way or time to try one."""
    tried: dict[tuple[str, int], tuple[int, ...]] = {}
    best: tuple[int, Walk] | None = None
    for _ in range(ROUNDS):
        walk = walk_graph(flat, RULES, dict(tried))
        free = free_weights(walk)
        if best is None or free > best[0]:
            best = (free, walk)
        lost = lost_choices(walk)
        if not lost:
            break
        tried |= {key: (*tried.get(key, ()), choice) for key, choice in lost.items()}
    assert best is not None
    return best[1]


def lost_choices(walk: Walk) -> dict[tuple[str, int], int]:
    """Return the choices of reshapes whose free dimension ended up pinned, where another one is left.

    Those that another reshape pinned may be right as they are: they count only if there are no others.
    """
    lost = {
        key: choice
        for key, (choice, labels, count) in walk.chosen.items()
        if count > len(walk.tried.get(key, ())) + 1 and not walk.labels.is_free(labels).any()
    }
    first = {key for key in lost if walk.labels.reason(int(walk.chosen[key][1][0])) != RESHAPED}
    return {key: choice for key, choice in lost.items() if key in first or not first}


def free_weights(walk: Walk) -> int:
    """Return the number of dimensions of tensors of which something may be left out."""
    values = [walk.tensors[name] for name in walk.flat.tensors if name not in walk.flat.constants]
    return sum(bool(walk.labels.is_free(labels).any()) for value in values for labels in value.dims)


def pins_of(walk: Walk, module: nn.Module) -> list[Pin]:
    """Return the sizes of parameters that stay."""
    return [
        Pin(name, dimension, size, reason)
        for name, _ in module.named_parameters()
        for dimension, (size, reason) in reasons_of(walk, walk.tensors[name]).items()
    ]
