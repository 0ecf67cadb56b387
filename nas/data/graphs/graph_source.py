"""A source of one graph with labels at its nodes: facts about it, and its way from nodes to splits.

The examples are nodes. A batch is some of them and their labels; the graph itself belongs to the networks of the space,
which get it as a fact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.data.config import DataConfig, InvalidData
from nas.data.data import Data
from nas.data.duplicates import Listing, digest_of
from nas.data.kept_split import plain_facts
from nas.data.splits import Positions, split_positions
from search_spaces.attributed_graph import AttributedGraph

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class GraphSource:
    """One graph as a `nas.data.data.DataSource`.

    Args:
        config: Fractions of the splits that are held out.
        name: Name of the data, for people.
        graph: The graph.
        labels: Class of each node, int64 [N], -1 where it is not known; or which labels each has, 0 or 1 [N, L].
        classes: Names of classes or labels.
        parts: `train`, and `validation` and `test` where these are given -> their nodes, int64 [n].
        names: Names of the nodes; None for their numbers.
        remarks: Sentences for people about how the graph was read.

    Raises:
        InvalidData: There are too few nodes with labels.
    """

    config: DataConfig
    name: str
    graph: AttributedGraph
    labels: np.ndarray
    classes: tuple[str, ...]
    parts: Mapping[str, np.ndarray]
    names: Sequence[str] | None = None
    remarks: Sequence[str] = ()
    preprocessing: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lacking = ("validation" not in self.parts) + ("test" not in self.parts)
        if len(self.parts["train"]) < 1 + lacking:
            found = len(self.parts["train"])
            raise InvalidData(f"{self.name}: at least {1 + lacking} training nodes with labels are needed, got {found}")

    @property
    def has_several(self) -> bool:
        """Whether a node may have several labels."""
        return self.labels.ndim == 2

    @property
    def task(self) -> str:
        """Name of the task that networks are trained for unless a job says otherwise."""
        return "node_labels" if self.has_several else "nodes"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Sizes of the graph, and the graph."""
        graph = self.graph
        facts = {"nodes": graph.nodes, "features": graph.features, "links": graph.links, "classes": len(self.classes)}
        counts = {} if self.has_several else {"class_counts": self._class_counts}
        return {**facts, **counts, "graph": graph}

    @cached_property
    def _class_counts(self) -> tuple[int, ...]:
        found = np.bincount(self.labels[self._nodes(0)["train"]], minlength=len(self.classes))
        return tuple(found.tolist())

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Number of nodes of each split."""
        return {name: len(nodes) for name, nodes in self._nodes(0).items()}

    def load(self, device: torch.device, seed: int = 0) -> Data:
        """Return the three splits: nodes and their labels."""
        import torch

        from nas.data.tensors import TensorData
        from supernets.device import send

        digest = hashlib.sha256(self.graph.fingerprint.encode())
        splits: dict[str, Any] = {}
        listings = {}
        for name, nodes in self._nodes(seed).items():
            labels = self.labels[nodes].astype(np.float32 if self.has_several else np.int64)
            digest.update(name.encode() + nodes.tobytes() + labels.tobytes())
            splits[name] = TensorData(send(torch.from_numpy(nodes), device), send(torch.from_numpy(labels), device))
            listings[name] = self._listing(nodes)
        facts = plain_facts(self.facts)
        return Data(
            name=self.name,
            fingerprint=digest.hexdigest()[:16],
            task=self.task,
            facts=facts,
            preprocessing=self.preprocessing,
            targets={"meaning": "the labels of a node" if self.has_several else "the class of a node"}
            | {"classes": list(self.classes)},
            remarks=self.remarks,
            about={"graph": self._about()},
            listings=listings,
            **splits,
        )

    def _about(self) -> str:
        graph = self.graph
        size = f"{graph.nodes:,} nodes with {graph.features:,} features, {graph.links:,} edges"
        return f"{size}; every step runs on all of it, its labels are those of some nodes"

    def _nodes(self, seed: int) -> Positions:
        """Return the nodes of each split."""
        train = self.parts["train"]
        positions = split_positions(
            np.zeros(len(train), np.int64) if self.has_several else self.labels[train],
            validation=len(self.parts["validation"]) if "validation" in self.parts else None,
            test=len(self.parts["test"]) if "test" in self.parts else None,
            fractions=(self.config.validation_fraction, self.config.test_fraction),
            seed=seed,
        )
        return {name: self.parts.get(name, train)[chosen] for name, chosen in positions.items()}

    def _listing(self, nodes: np.ndarray) -> Listing:
        """Return what nodes are recognised by: their numbers, features and labels."""

        def digest() -> np.ndarray:
            return np.array([digest_of(self._content(int(node))) for node in nodes], np.uint64)

        names = self.names
        return Listing(
            digest,
            lambda position: f"node {nodes[position] if names is None else names[int(nodes[position])]}",
            None if self.has_several else self.labels[nodes],
        )

    def _content(self, node: int) -> bytes:
        columns, values = self.graph.row(node)
        parts = (np.array(node), columns.astype(np.int64), values, self.labels[node].astype(np.int64))
        return b"".join(part.tobytes() for part in parts)
