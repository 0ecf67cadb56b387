"""A graph whose nodes have features, as arrays: what networks for graphs run on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search_spaces.errors import FieldError

MOST_OF_GRAPHS = {"nodes": 10**8, "features": 10**7, "links": 10**9}
_ENTRIES = 18
"""Features of a node that are not 0, in a graph that is made up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AttributedGraph:
    """An undirected graph of N nodes with F features each; the features are kept by row, without their zeros.

    Args:
        values: Features that are not 0, float32 [X], row after row.
        columns: Which feature each of them is, int [X].
        starts: Where the row of each node starts, int [N + 1]; the last entry is X.
        features: Number of features F.
        edges: Pairs of nodes, int [E, 2], in any direction; pairs that are given twice count once.
    """

    values: np.ndarray
    columns: np.ndarray
    starts: np.ndarray
    features: int
    edges: np.ndarray

    def __deepcopy__(self, memo: dict) -> AttributedGraph:
        return self  # nothing in it changes

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.starts) - 1

    @cached_property
    def messages(self) -> tuple[np.ndarray, np.ndarray]:
        """Source and target of every message, int64 [M] each, in the order of the targets.

        A message goes along each edge in both directions, and from each node to itself.
        """
        pairs = self.edges.astype(np.int64).reshape(-1, 2)
        loops = np.arange(self.nodes)
        sources = np.concatenate([pairs[:, 0], pairs[:, 1], loops])
        targets = np.concatenate([pairs[:, 1], pairs[:, 0], loops])
        distinct = _distinct(targets * self.nodes + sources)
        return distinct % self.nodes, distinct // self.nodes

    @property
    def links(self) -> int:
        """Number of distinct edges between two nodes."""
        return (len(self.messages[0]) - self.nodes) // 2

    def row(self, node: int) -> tuple[np.ndarray, np.ndarray]:
        """Return columns and values of the features of one node that are not 0."""
        part = slice(int(self.starts[node]), int(self.starts[node + 1]))
        return self.columns[part], self.values[part]

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with features and edges."""
        made = hashlib.sha256(f"{self.nodes} {self.features}".encode())
        for array in (self.values, self.columns.astype(np.int64), self.starts.astype(np.int64), *self.messages):
            made.update(np.ascontiguousarray(array).tobytes())
        return made.hexdigest()[:16]


def _distinct(numbers: np.ndarray) -> np.ndarray:
    """Return the distinct numbers in rising order; sorting them is faster than `np.unique`."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate([[True], np.diff(ordered) > 0])] if len(ordered) else ordered


def dense_graph(features: np.ndarray, edges: np.ndarray) -> AttributedGraph:
    """Return the graph of a table of features [N, F] and pairs of nodes [E, 2]."""
    rows, columns = np.nonzero(features)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(features)))])
    return AttributedGraph(
        values=features[rows, columns].astype(np.float32),
        columns=columns,
        starts=starts,
        features=features.shape[1],
        edges=np.asarray(edges).reshape(-1, 2),
    )


def given_graph(graph: AttributedGraph | None, nodes: int, features: int, links: int) -> AttributedGraph:
    """Return the graph of the data, or one of a size that is made up where there are none.

    Raises:
        FieldError: The size is out of reach.
    """
    if graph is not None:
        return graph
    for name, number, least in (("nodes", nodes, 2), ("features", features, 1), ("links", links, 0)):
        if not least <= number <= MOST_OF_GRAPHS[name]:
            raise FieldError(name, f"must be from {least} to {MOST_OF_GRAPHS[name]:,}, got {number:,}")
    return made_up_graph(nodes, features, links)


def made_up_graph(nodes: int, features: int, links: int) -> AttributedGraph:
    """Return a random graph of this size, always the same: for costs and latency before there are data."""
    generator = np.random.default_rng(0)
    entries = min(_ENTRIES, features)
    columns = np.sort(generator.integers(0, features, (nodes, entries)), axis=1)
    ends = generator.integers(0, nodes, (2 * links + 16, 2))
    low, high = ends.min(axis=1), ends.max(axis=1)
    pairs = _distinct((low * nodes + high)[low < high])
    chosen = generator.permutation(pairs)[:links]
    return AttributedGraph(
        values=np.full(nodes * entries, 1 / entries, np.float32),
        columns=columns.reshape(-1),
        starts=np.arange(nodes + 1) * entries,
        features=features,
        edges=np.stack([chosen // nodes, chosen % nodes], axis=1),
    )
