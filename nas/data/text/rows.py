"""Rows of tokens of different lengths, in one array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from supernets.tasks.token_ids import BEGIN, END, PADDING


@dataclass(frozen=True)
class Rows:
    """Rows of tokens; the end stands behind each.

    Args:
        ids: The tokens of all rows, int32 [T].
        starts: Where each row begins in `ids`, and T, int64 [N + 1].
    """

    ids: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Rows:
        """Return rows that are given as lists."""
        lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
        ids: Iterable[int] = chain.from_iterable(rows)
        return cls(np.fromiter(ids, np.int32, int(lengths.sum())), np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each row, int64 [N]."""
        return np.diff(self.starts)

    def padded(self, chosen: np.ndarray) -> np.ndarray:
        """Return rows side by side, padded at their ends, int64 [B, L]."""
        lengths = self.lengths[chosen]
        columns = np.arange(lengths.max(initial=0))
        there = columns < lengths[:, None]
        padded = np.full(there.shape, PADDING, np.int64)
        padded[there] = self.ids[(self.starts[chosen][:, None] + columns)[there]]
        return padded

    def select(self, chosen: np.ndarray) -> Rows:
        """Return some of the rows, in the given order."""
        lengths = self.lengths[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(starts[-1]) + np.repeat(self.starts[chosen] - starts[:-1], lengths)
        return Rows(self.ids[places], starts)

    def written(self, ids: np.ndarray) -> Rows:
        """Return rows of the same lengths with other tokens, int [T]."""
        return replace(self, ids=ids.astype(np.int32))


def shifted(padded: np.ndarray) -> np.ndarray:
    """Return what a network sees that writes padded rows [B, L]: the beginning, then each token but the end."""
    before = np.full_like(padded, BEGIN)
    before[:, 1:] = np.where(padded[:, :-1] == END, PADDING, padded[:, :-1])
    return before
