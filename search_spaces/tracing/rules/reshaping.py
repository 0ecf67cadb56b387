"""Reshapes: blocks of dimensions with equal products, in each of which one dimension before and one after stay free."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import fx

from search_spaces.tracing.labels import Labels
from search_spaces.tracing.rules.elementwise import broadcast
from search_spaces.tracing.traced import BATCH
from search_spaces.tracing.walk import ONE, Call, Result, Rule, Value, operation_name

RESHAPED = "merged with or split from another dimension"
Block = tuple[list[int], list[int]]


def blocks_of(old: Sequence[int], new: Sequence[int]) -> Iterator[Block]:
    """Yield the smallest groups of dimensions before and after a reshape that hold the same number of elements."""
    left = [place for place, size in enumerate(old) if size != 1]
    right = [place for place, size in enumerate(new) if size != 1]
    while left:
        before, after = [left.pop(0)], [right.pop(0)]
        size, target = old[before[0]], new[after[0]]
        while size != target:
            if size < target:
                before.append(left.pop(0))
                size *= old[before[-1]]
            else:
                after.append(right.pop(0))
                target *= new[after[-1]]
        yield before, after


def reshape(call: Call) -> Result:
    """Carry labels through a reshape, block by block."""
    value = call["self"]
    batch = batch_after(call, value)
    new = [size // (BATCH if place == batch else 1) for place, size in enumerate(call.shape)]
    if 0 in new:
        return call.pinned(RESHAPED)
    dims: list[Labels] = [call.labels.fixed(1, ONE) for _ in new]
    for number, (before, after) in enumerate(blocks_of(value.sizes, new)):
        labels = carried(call, number, [value.dims[place] for place in before], [new[place] for place in after])
        for place, own in zip(after, labels, strict=True):
            dims[place] = own
    return Value(tuple(dims), batch, value.live)


def batch_after(call: Call, value: Value) -> int | None:
    """Return the dimension that holds the batch after a reshape."""
    if value.batch is None:
        return None
    return next((place for place, size in enumerate(call.shape) if size and size % BATCH == 0), None)


def carried(call: Call, number: int, old: Sequence[Labels], new: Sequence[int]) -> list[Labels]:
    """Return the labels of the dimensions of one block after the reshape."""
    if len(old) == len(new) == 1:
        return [old[0]]
    if not call.labels.any_free(old):
        reason = call.labels.reason(int(old[0][0]))
        return [call.labels.fixed(size, reason) for size in new]
    key = (call.node.name, number)
    candidates = [(i, o) for o in range(len(new)) for i in range(len(old))]
    choice = choose(call, key, old, new, candidates)
    entering, leaving = candidates[choice]
    labels = tie(call, old, new, entering, leaving)
    call.walk.chosen[key] = (choice, labels, len(candidates))
    return [labels if o == leaving else call.labels.fixed(size, RESHAPED) for o, size in enumerate(new)]


def choose(call: Call, key: tuple[str, int], old: Sequence[Labels], new: Sequence[int], candidates: list) -> int:
    """Return the candidate of a block: one that ties nothing, else the first; none that ended up pinned before."""
    tried = call.walk.tried.get(key, ())
    usable = [number for number, (i, _) in enumerate(candidates) if call.labels.any_free([old[i]])]
    left = [number for number in usable if number not in tried] or usable
    if is_shuffle(call.node):
        left.sort(key=lambda number: -new[candidates[number][1]])
    free = [number for number in left if ties_nothing(call, old, new, *candidates[number])]
    return (free or left)[0]


def is_shuffle(node: fx.Node) -> bool:
    """Return whether a split dimension is only moved and merged again, as in a channel shuffle."""
    while len(node.users) == 1:
        node = next(iter(node.users))
        if operation_name(node) in NAMES.split():
            return True
        if operation_name(node) not in ("transpose", "permute", "contiguous", "clone"):
            return False
    return False


def coordinates(old: Sequence[Labels], new: Sequence[int], entering: int, leaving: int) -> tuple[Labels, Labels]:
    """Return the pairs of an index before and an index after that share an element."""
    sizes = [len(labels) for labels in old]
    element = np.arange(int(np.prod(sizes)))
    before = element // int(np.prod(sizes[entering + 1 :])) % sizes[entering]
    after = element // int(np.prod(new[leaving + 1 :])) % new[leaving]
    pairs = np.unique(before * new[leaving] + after)
    return pairs // new[leaving], pairs % new[leaving]


def ties_nothing(call: Call, old: Sequence[Labels], new: Sequence[int], entering: int, leaving: int) -> bool:
    """Return whether a candidate merges no classes and pins no free label."""
    if call.labels.any_free([labels for place, labels in enumerate(old) if place != entering]):
        return False
    before, after = coordinates(old, new, entering, leaving)
    roots = call.labels.roots(old[entering])[before]
    low, high = np.full(new[leaving], np.iinfo(np.int64).max), np.zeros(new[leaving], dtype=np.int64)
    np.minimum.at(low, after, roots)
    np.maximum.at(high, after, roots)
    return bool((low == high).all())


def tie(call: Call, old: Sequence[Labels], new: Sequence[int], entering: int, leaving: int) -> Labels:
    """Pin the other dimensions, tie what shares an index afterwards, and return the labels of the free dimension."""
    for place, labels in enumerate(old):
        if place != entering:
            call.labels.pin(labels, RESHAPED)
    before, after = coordinates(old, new, entering, leaving)
    first = np.zeros(new[leaving], dtype=np.int64)
    first[after[::-1]] = old[entering][before[::-1]]
    call.labels.merge(first[after], old[entering][before])
    return first


def reshape_as(call: Call) -> Result:
    """Reshape to the shape of another value, and tie the result to it."""
    return broadcast(call, [reshape(call), call["other"]])  # type: ignore[list-item]


NAMES = "reshape view _unsafe_view flatten unflatten _reshape_alias ravel"

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(NAMES.split(), reshape),
    "reshape_as": reshape_as,
    "view_as": reshape_as,
}
