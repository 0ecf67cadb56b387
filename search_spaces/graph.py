"""Graphs that people look at architectures as, such as cells."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A directed graph that is part of an architecture, such as its cell.

    Args:
        name: What it is called.
        nodes: Names, the inputs first; edges lead from earlier nodes to later ones.
        edges: Source, target and what is done on the way; empty where the target is just given the source.
        unused: The same for edges that are there and give nothing.
    """

    name: str
    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int, str], ...]
    unused: tuple[tuple[int, int, str], ...] = ()

    def __post_init__(self) -> None:
        for source, target, _ in (*self.edges, *self.unused):
            if not 0 <= source < target < len(self.nodes):
                raise ValueError(f"graph {self.name!r}: edge {source}-{target} must lead from a node to a later one")
