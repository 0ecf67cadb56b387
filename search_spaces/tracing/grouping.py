"""Groups of units, read off the labels of a walk."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from search_spaces.tracing.flat import Flat
from search_spaces.tracing.labels import Labels
from search_spaces.tracing.walk import Value, Walk

UNUSED = "a tensor that the network does not use"
INERT = "no weight follows it"
SINGLE = "a single unit"
UNSEEN = "a part of a tensor that the network does not use"


@dataclass(frozen=True)
class Place:
    """One dimension at which labels stand.

    Args:
        name: Tensor or node.
        is_tensor: Whether it is a tensor.
        dimension: The dimension.
        labels: Classes of its indices.
        scope: Module that it belongs to.
    """

    name: str
    is_tensor: bool
    dimension: int
    labels: Labels
    scope: str


@dataclass
class Family:
    """Classes of labels that stand at the same places.

    Args:
        roots: The classes, in the order of the checkpoint.
        places: Numbers of the places.
    """

    roots: Labels
    places: list[int] = field(default_factory=list)


def pin_unused(walk: Walk) -> None:
    """Pin the dimensions of tensors that the graph does not read."""
    read = {walk.flat.same[str(node.target)] for node in walk.flat.graph.nodes if node.op == "get_attr"}
    for name, value in walk.tensors.items():
        if walk.flat.same[name] not in read:
            walk.pin(value, UNUSED)


def places_of(walk: Walk) -> list[Place]:
    """Return every dimension with a free index: first those of tensors in the order of the checkpoint."""
    scopes = {node.name: str(node.meta.get("scope", "")) for node in walk.flat.graph.nodes}
    tensors = [(name, True, walk.tensors[name], name.rpartition(".")[0]) for name in walk.flat.tensors]
    operations = {node.name for node in walk.flat.graph.nodes if node.op != "get_attr"}
    values = [(name, value) for name, value in walk.values.items() if name in operations]
    nodes = [(name, False, value, scopes[name]) for name, value in values if isinstance(value, Value)]
    found = []
    for name, is_tensor, value, scope in [*tensors, *nodes]:
        for dimension, labels in enumerate(value.dims):
            roots = walk.labels.roots(labels)
            if (walk.labels.why[roots] == 0).any():
                found.append(Place(name, is_tensor, dimension, roots, scope))
    return found


def families_of(walk: Walk, places: list[Place]) -> list[Family]:
    """Return classes that stand at the same places, equally often, together; in the order of the checkpoint."""
    mark = np.zeros(walk.labels.count, dtype=np.uint64)
    on_tensor, seen = np.zeros(walk.labels.count, dtype=bool), np.zeros(walk.labels.count, dtype=np.int64)
    for number, place in enumerate(places):
        roots, counts = np.unique(place.labels, return_counts=True)
        mark[roots] = mark[roots] * np.uint64(6364136223846793005) + mixed(number, counts)
        if place.is_tensor and place.name not in walk.flat.constants:
            on_tensor[roots] = True
        seen[roots] += not place.is_tensor or walk.flat.same[place.name] == place.name
    present = np.unique(np.concatenate([place.labels for place in places])) if places else np.zeros(0, dtype=np.int64)
    free = present[walk.labels.why[present] == 0]
    walk.labels.pin(free[~on_tensor[free]], INERT)
    walk.labels.pin(free[on_tensor[free] & (seen[free] == 1)], UNSEEN)
    free = free[on_tensor[free] & (seen[free] > 1)]
    order: dict[int, list[int]] = {}
    for root in free:
        order.setdefault(int(mark[root]), []).append(int(root))
    families = [Family(np.array(roots)) for roots in order.values()]
    for family in families:
        if len(family.roots) == 1:
            walk.labels.pin(family.roots, SINGLE)
    families = [family for family in families if len(family.roots) > 1]
    note_places(families, places, walk.labels.count)
    return families


def mixed(number: int, counts: np.ndarray) -> np.ndarray:
    """Return well mixed bits for a place and how often classes stand there."""
    keys = np.uint64(number + 1) * np.uint64(1 << 32) + counts.astype(np.uint64)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)


def note_places(families: list[Family], places: list[Place], count: int) -> None:
    """Write into each family at which places it stands."""
    owner = np.full(count, -1)
    for number, family in enumerate(families):
        owner[family.roots] = number
    for number, place in enumerate(places):
        for family_number in np.unique(owner[place.labels]):
            if family_number >= 0:
                families[family_number].places.append(number)


def common_scope(scopes: Iterator[str]) -> str:
    """Return the innermost module that all modules are in."""
    shared: list[str] | None = None
    for scope in scopes:
        parts = scope.split(".") if scope else []
        if shared is None:
            shared = parts
        else:
            equal = [a == b for a, b in zip(shared, parts)]
            shared = shared[: equal.index(False) if False in equal else len(equal)]
    return ".".join(shared or [])


def unit_numbers(walk: Walk, families: list[Family]) -> np.ndarray:
    """Return for every class the number of its unit; -1 where it stays."""
    units = np.full(walk.labels.count, -1)
    first = 0
    for family in families:
        units[family.roots] = first + np.arange(len(family.roots))
        first += len(family.roots)
    return units


def units_of(value: Value, walk: Walk, numbers: np.ndarray) -> tuple[np.ndarray | None, ...]:
    """Return the units of all dimensions of a value."""
    found: list[np.ndarray | None] = []
    for labels in value.dims:
        units = numbers[walk.labels.roots(labels)]
        found.append(units if (units >= 0).any() else None)
    return tuple(found)


def names_of(families: list[Family], places: list[Place], flat: Flat) -> list[str]:
    """Return a name for each family: the first tensor that it is a part of, numbered where several are."""
    seen: dict[str, int] = {}
    names = []
    for family in families:
        at = (places[number] for number in family.places)
        first = next(place.name for place in at if place.is_tensor and place.name not in flat.constants)
        seen[first] = seen.get(first, 0) + 1
        names.append(first if seen[first] == 1 else f"{first}#{seen[first]}")
    return names


def reasons_of(walk: Walk, value: Value) -> Mapping[int, tuple[int, str]]:
    """Return for each dimension with an index that stays its size and the reason of most of them."""
    found = {}
    for dimension, labels in enumerate(value.dims):
        why = walk.labels.why[walk.labels.roots(labels)]
        if len(labels) > 1 and why.any():
            found[dimension] = (len(labels), walk.labels.reasons[int(np.bincount(why[why > 0]).argmax())])
    return found
