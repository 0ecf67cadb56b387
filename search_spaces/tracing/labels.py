"""Labels of indices, merged where an operation ties them: a union-find in which classes can be pinned."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

Labels = np.ndarray
"""One label for each index of a dimension [size]."""


class LabelTable:
    """All labels of a walk, their classes, and why classes are pinned.

    Two labels of one class are kept or left out together. A pinned class always stays. Pinned classes are not merged:
    it does not matter which of them belong together.
    """

    def __init__(self) -> None:
        self.parent = np.zeros(0, dtype=np.int64)
        self.why = np.zeros(0, dtype=np.int64)
        self.count = 0
        self.reasons: list[str] = [""]
        self.of_reason: dict[str, int] = {}

    def fresh(self, size: int) -> Labels:
        """Return labels that no other index has."""
        while self.count + size > len(self.parent):
            grown = max(1024, 2 * len(self.parent))
            self.parent = np.concatenate([self.parent, np.arange(len(self.parent), grown)])
            self.why = np.concatenate([self.why, np.zeros(grown - len(self.why), dtype=np.int64)])
        self.count += size
        return np.arange(self.count - size, self.count)

    def fixed(self, size: int, reason: str) -> Labels:
        """Return labels of indices that stay, all the same one."""
        if reason not in self.of_reason:
            label = self.fresh(1)
            self.pin(label, reason)
            self.of_reason[reason] = int(label[0])
        return np.full(size, self.of_reason[reason])

    def roots(self, labels: ArrayLike) -> Labels:
        """Return the class of each label, as its smallest label."""
        labels = np.asarray(labels, dtype=np.int64)
        found = self.parent[labels]
        while True:
            above = self.parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self.parent[labels] = found
        return found

    def merge(self, left: ArrayLike, right: ArrayLike) -> None:
        """Tie labels pairwise; where one of a pair is pinned, the other is pinned for the same reason."""
        left, right = np.broadcast_arrays(np.asarray(left), np.asarray(right))
        left, right = left.ravel(), right.ravel()
        while True:
            first, second = self.roots(left), self.roots(right)
            self.spread(first, second)
            open_pairs = (first != second) & ~((self.why[first] > 0) & (self.why[second] > 0))
            if not open_pairs.any():
                return
            left, right = first[open_pairs], second[open_pairs]
            np.minimum.at(self.parent, np.maximum(left, right), np.minimum(left, right))
            self.inherit(np.concatenate([left, right]))

    def spread(self, first: Labels, second: Labels) -> None:
        """Hand the reason of the pinned class of a pair to the other one."""
        for source, target in ((first, second), (second, first)):
            newly = (self.why[source] > 0) & (self.why[target] == 0)
            self.why[target[newly]] = self.why[source[newly]]

    def inherit(self, old: Labels) -> None:
        """Hand the reasons of classes that were merged to the classes that they are in now."""
        old = old[self.why[old] > 0]
        new = self.roots(old)
        self.why[new] = np.where(self.why[new] > 0, self.why[new], self.why[old])

    def pin(self, labels: ArrayLike, reason: str) -> None:
        """Pin the classes of labels; the first reason of a class counts."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        roots = self.roots(np.asarray(labels).ravel())
        self.why[roots[self.why[roots] == 0]] = self.reasons.index(reason)

    def is_free(self, labels: ArrayLike) -> np.ndarray:
        """Return which labels are not pinned."""
        return self.why[self.roots(labels)] == 0

    def any_free(self, arrays: Sequence[Labels]) -> bool:
        """Return whether any label of several dimensions is not pinned."""
        return any(bool(self.is_free(array).any()) for array in arrays)

    def reason(self, label: int) -> str:
        """Return why a label is pinned; empty if it is not."""
        return self.reasons[int(self.why[self.roots([label])[0]])]
