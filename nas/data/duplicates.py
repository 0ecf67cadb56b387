"""Duplicates: within a split, equal examples count twice; across splits, they make results look too good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations
from typing import NamedTuple

import numpy as np

_SHOWN = 3


class Listing(NamedTuple):
    """The examples of one split, in its order.

    Attributes:
        digest: Gives 64 bits of the content of each, uint64 [N]; that may take as long as reading all of them.
        name: Gives the name of one for messages.
        labels: Class of each, int64 [N]; None where there are no classes.
    """

    digest: Callable[[], np.ndarray]
    name: Callable[[int], str]
    labels: np.ndarray | None = None


def digest_of(content: bytes) -> int:
    """Return 64 bits that follow from the content of one example."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Content that was found more than once.

    Args:
        within: Split -> number of its examples that repeat another one of the split.
        across: Two splits -> number of examples of the second that are also in the first.
        contradicting: Number of contents with more than one class.
        examples: Names of some pairs, those across splits first.
    """

    within: Mapping[str, int]
    across: Mapping[tuple[str, str], int]
    contradicting: int
    examples: tuple[tuple[str, str], ...]

    @property
    def any(self) -> bool:
        """Whether there are some."""
        return bool(self.examples)


def duplicates(splits: Mapping[str, Listing]) -> Duplicates:
    """Return which contents the splits have more than once.

    Contents are told apart by 64 bits: two of 50,000 different examples agree by chance once in 10^10 data sets.
    """
    digests = {name: one.digest() for name, one in splits.items()}
    within = {name: len(column) - len(np.unique(column)) for name, column in digests.items()}
    across, pairs = {}, []
    for first, second in combinations(splits, 2):
        common = np.isin(digests[second], digests[first])
        across[first, second] = int(common.sum())
        for digest in np.unique(digests[second][common])[:_SHOWN]:
            found = ((name, int(np.flatnonzero(digests[name] == digest)[0])) for name in (first, second))
            pairs.append(tuple(f"{splits[name].name(place)} ({name})" for name, place in found))
    for name, one in splits.items():
        pairs += [(f"{one.name(i)} ({name})", f"{one.name(j)} ({name})") for i, j in _repeated(digests[name])]
    return Duplicates(
        within={name: count for name, count in within.items() if count},
        across={pair: count for pair, count in across.items() if count},
        contradicting=_contradicting(splits, digests),
        examples=tuple((first, second) for first, second in pairs[:_SHOWN]),
    )


def _repeated(digests: np.ndarray) -> list[tuple[int, int]]:
    """Return the positions of some pairs with the same content."""
    order = np.argsort(digests, kind="stable")
    same = np.flatnonzero(digests[order][1:] == digests[order][:-1])[:_SHOWN]
    return [(int(order[place]), int(order[place + 1])) for place in same]


def _contradicting(splits: Mapping[str, Listing], digests: Mapping[str, np.ndarray]) -> int:
    """Return how many contents are in more than one class."""
    labels = [one.labels for one in splits.values()]
    if any(column is None for column in labels):
        return 0
    classes = np.concatenate([column.astype(np.uint64) for column in labels if column is not None])
    pairs = np.stack([np.concatenate([*digests.values()]), classes], axis=1)
    contents = np.unique(pairs, axis=0)[:, 0]
    return int((np.unique(contents, return_counts=True)[1] > 1).sum())
