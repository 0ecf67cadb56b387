"""Whether the parts of a graph go together, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nas.data.config import InvalidData
from search_spaces.attributed_graph import AttributedGraph


def check_edges(place: str, edges: np.ndarray, nodes: int) -> None:
    """Refuse pairs that are no pairs of nodes.

    Args:
        place: What messages begin with.
        edges: The pairs [E, 2].
        nodes: Number of nodes.

    Raises:
        InvalidData: They are not pairs of whole numbers, or one of them is outside the nodes.
    """
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise InvalidData(f"{place}: must be pairs of nodes [E, 2], got {edges.dtype} {list(edges.shape)}")
    outside = (edges < 0) | (edges >= nodes)
    if outside.any():
        row = int(outside.any(axis=1).argmax())
        node = int(edges[row][outside[row]][0])
        raise InvalidData(f"{place}: edge {row} names node {node}, nodes are 0 to {nodes - 1}")


def check_labels(place: str, labels: np.ndarray, nodes: int) -> None:
    """Refuse labels that are not one for each node with features.

    Raises:
        InvalidData: There are more or fewer, or they are no classes.
    """
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "iub":
        raise InvalidData(
            f"{place}: must be classes [N] or 0 and 1 [N, L] as whole numbers, got {labels.dtype} {list(labels.shape)}"
        )
    if len(labels) > nodes:
        raise InvalidData(
            f"{place}: {len(labels):,} nodes have labels and {nodes:,} have features; node {nodes} has none"
        )
    if len(labels) < nodes:
        raise InvalidData(f"{place}: must be one for each of {nodes:,} nodes, got {len(labels):,}; give -1 for unknown")
    if labels.ndim == 2 and not np.isin(labels, (0, 1)).all():
        raise InvalidData(f"{place}: several labels of a node must be 0 or 1, got {int(labels.max())}")
    if labels.ndim == 1 and (labels.min(initial=0) < -1 or labels.max(initial=-1) < 1):
        found = f"{int(labels.min(initial=0))} to {int(labels.max(initial=-1))}"
        raise InvalidData(f"{place}: must be classes from 0, two or more of them, or -1 for unknown, got {found}")


def check_parts(place: str, parts: Mapping[str, np.ndarray], labels: np.ndarray) -> None:
    """Refuse splits that name nodes which are not there, have no label or are named twice.

    Raises:
        InvalidData: Names the split and the node.
    """
    seen: dict[int, str] = {}
    for name, nodes in parts.items():
        if nodes.ndim != 1 or nodes.dtype.kind not in "iu":
            raise InvalidData(f"{place}: {name} must be a list of nodes, got {nodes.dtype} {list(nodes.shape)}")
        outside = nodes[(nodes < 0) | (nodes >= len(labels))]
        if len(outside):
            raise InvalidData(f"{place}: {name} names node {int(outside[0])}, nodes are 0 to {len(labels) - 1}")
        if labels.ndim == 1 and len(unknown := nodes[labels[nodes] < 0]):
            raise InvalidData(f"{place}: {name} names node {int(unknown[0])}, which has no label")
        for node in nodes.tolist():
            if node in seen:
                raise InvalidData(f"{place}: node {node} is in {seen[node]} and in {name}, it must be in one split")
            seen[node] = name
        if not len(nodes):
            raise InvalidData(f"{place}: {name} names no node")


def labelled(labels: np.ndarray) -> np.ndarray:
    """Return all nodes that have a label, int64 [n]."""
    return np.flatnonzero(labels >= 0) if labels.ndim == 1 else np.arange(len(labels))


def class_names(labels: np.ndarray, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of classes or labels; their numbers where they have none."""
    count = int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1]
    return tuple(str(name) for name in names) if len(names) == count else tuple(str(i) for i in range(count))


def normalised(graph: AttributedGraph) -> AttributedGraph:
    """Return the graph with the features of each node divided by the sum of their sizes."""
    rows = np.repeat(np.arange(graph.nodes), np.diff(graph.starts))
    sums = np.bincount(rows, np.abs(graph.values), minlength=graph.nodes)
    scale = np.where(sums > 0, sums, 1.0)
    return replace(graph, values=(graph.values / scale[rows]).astype(np.float32))


def remarks_on(graph: AttributedGraph) -> list[str]:
    """Return what people should know of a graph."""
    empty = int((np.diff(graph.starts) == 0).sum())
    alone = graph.nodes - len(np.unique(graph.edges))
    told = []
    if empty:
        told.append(f"{empty:,} nodes have no feature that is not 0: networks know them by their neighbours alone")
    if alone:
        told.append(f"{alone:,} nodes have no edge: networks know them by their features alone")
    return told
