"""The cells of NAS-Bench-101 as graphs: pruning, hash, canonical form and the count of all.

Paper: Ying et al., NAS-Bench-101, arXiv 1902.09635, section 2.
Differs: nothing known. Hashes and canonical forms are those of the released table.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import md5
from itertools import permutations

import numpy as np

from search_spaces.architecture import InvalidArchitecture

OPERATIONS = ("conv3x3", "conv1x1", "maxpool3x3")
"""In the order of the labels of the published hash."""
MAX_VERTICES = 7
MAX_EDGES = 9
_LONG_NAMES = {"conv3x3-bn-relu": "conv3x3", "conv1x1-bn-relu": "conv1x1"}
_BACKWARD = float(1 << 40)
_MASKS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Cell:
    """A graph whose vertices are numbered along its edges; the first is the input, the last the output.

    Args:
        edges: (source, target), in any order.
        operations: Operations of the vertices between input and output, among `OPERATIONS`.

    Raises:
        InvalidArchitecture: An operation is unknown, or an edge runs backward or to a vertex that is not there.
    """

    edges: frozenset[tuple[int, int]]
    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        for operation in self.operations:
            if operation not in OPERATIONS:
                raise InvalidArchitecture(f"operation {operation!r} is not one of {OPERATIONS}")
        for source, target in sorted(self.edges):
            if not 0 <= source < target:
                raise InvalidArchitecture(f"edge {source}-{target} runs backward or is a loop: a cell has no cycles")
            if target >= self.vertices:
                raise InvalidArchitecture(f"edge {source}-{target} leaves the {self.vertices} vertices of the cell")

    @property
    def vertices(self) -> int:
        """Number of vertices, with input and output."""
        return len(self.operations) + 2

    def pruned(self) -> "Cell":
        """Return the cell without the vertices that lie on no path from input to output.

        Raises:
            InvalidArchitecture: There is no path, or more vertices or edges are left than the benchmark allows.
        """
        last = self.vertices - 1
        reached, reaching = {0}, {last}
        for source, target in sorted(self.edges):
            if source in reached:
                reached.add(target)
        for source, target in sorted(self.edges, reverse=True):
            if target in reaching:
                reaching.add(source)
        if last not in reached:
            raise InvalidArchitecture("the cell has no path from its input to its output")
        kept = sorted(reached & reaching)
        place = {vertex: i for i, vertex in enumerate(kept)}
        edges = frozenset((place[s], place[t]) for s, t in self.edges if s in place and t in place)
        if len(kept) > MAX_VERTICES:
            raise InvalidArchitecture(f"the cell has {len(kept)} vertices, at most {MAX_VERTICES} are allowed")
        if len(edges) > MAX_EDGES:
            raise InvalidArchitecture(f"the cell has {len(edges)} edges, at most {MAX_EDGES} are allowed")
        return Cell(edges, tuple(self.operations[vertex - 1] for vertex in kept[1:-1]))

    def canonical(self) -> "Cell":
        """Return the pruned cell, with the vertices in the one order that stands for all isomorphic cells.

        The released table trained the form that comes first in its enumeration, by adjacency bits, then by labels.
        This is that form. This matters: the order of the vertices decides which of them get one more channel.
        """
        cell = self.pruned()
        places = _places(cell.vertices)
        genes = [edge in cell.edges for edge in places] + [OPERATIONS.index(op) for op in cell.operations]
        numbers = _orders(cell.vertices) @ np.array(genes, dtype=np.float64)
        bits, labels = divmod(int(numbers.min()), len(OPERATIONS) ** len(cell.operations))
        operations = []
        for _ in cell.operations:
            labels, label = divmod(labels, len(OPERATIONS))
            operations.append(OPERATIONS[label])
        edges = frozenset(edge for bit, edge in enumerate(places) if bits >> bit & 1)
        return Cell(edges, tuple(reversed(operations)))

    def hash(self) -> str:
        """Return the published fingerprint of the pruned cell, equal for isomorphic cells."""
        cell = self.pruned()
        before: list[list[int]] = [[] for _ in range(cell.vertices)]
        after: list[list[int]] = [[] for _ in range(cell.vertices)]
        for source, target in cell.edges:
            after[source].append(target)
            before[target].append(source)
        labels = [-1, *(OPERATIONS.index(operation) for operation in cell.operations), -2]
        hashes = [_md5(str((len(o), len(i), label))) for o, i, label in zip(after, before, labels)]
        for _ in range(cell.vertices):
            hashes = [
                _md5("".join(sorted(hashes[i] for i in ins)) + "|" + "".join(sorted(hashes[o] for o in outs)) + "|" + h)
                for ins, outs, h in zip(before, after, hashes)
            ]
        return _md5(str(sorted(hashes)))


def vertex_widths(cell: Cell, out_width: int) -> list[int]:
    """Return the channels of every vertex between input and output of a pruned cell.

    Vertices that feed the output share its channels; the first ones get the remainder. Other vertices have as many as
    the widest vertex they feed.
    """
    last = cell.vertices - 1
    widths = [0] * cell.vertices
    feeding = [vertex for vertex in range(1, last) if (vertex, last) in cell.edges]
    for rank, vertex in enumerate(feeding):
        widths[vertex] = out_width // len(feeding) + (rank < out_width % len(feeding))
    for vertex in range(last - 1, 0, -1):
        if vertex not in feeding:
            widths[vertex] = max(widths[target] for source, target in cell.edges if source == vertex)
    return widths[1:last]


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


# ---- strings --------------------------------------------------------------------------------------------------------


def parse(edges: str, operations: str) -> Cell:
    """Return the cell that a table writes as ``0-1 1-2`` and ``conv3x3``; operations have ``|`` between.

    Raises:
        InvalidArchitecture: An edge or operation cannot be read, or is not allowed.
    """
    names = [name.strip() for name in operations.split("|")] if operations.strip() else []
    pairs = []
    for edge in edges.split():
        source, dash, target = edge.partition("-")
        if not (dash and source.isdecimal() and target.isdecimal()):
            raise InvalidArchitecture(f"edges {edges!r}: {edge!r} is not an edge such as 0-1")
        pairs.append((int(source), int(target)))
    return Cell(frozenset(pairs), tuple(_LONG_NAMES.get(name, name) for name in names))


def to_strings(cell: Cell) -> tuple[str, str]:
    """Return the edges and operations as a table writes them."""
    return " ".join(f"{source}-{target}" for source, target in sorted(cell.edges)), "|".join(cell.operations)


# ---- all orders of the vertices, all cells --------------------------------------------------------------------------


def _places(vertices: int) -> list[tuple[int, int]]:
    """Return all edges that a cell can have, in the order of the adjacency bits of the benchmark's enumeration."""
    return [(source, target) for target in range(vertices) for source in range(target)]


@cache
def _orders(vertices: int) -> np.ndarray:
    """Return a matrix [orders, adjacency bits + labels]; times the genes of a cell, it numbers every reordering.

    The number holds the adjacency bits, then the labels as digits. An edge that runs backward makes it huge.
    Numbers stay exact as floats.
    """
    inner, edges = vertices - 2, _places(vertices)
    base = float(len(OPERATIONS) ** inner)
    worth = {edge: base * (1 << bit) for bit, edge in enumerate(edges)}
    rows = []
    for order in permutations(range(1, vertices - 1)):
        place = (0, *order, vertices - 1)
        row = [worth.get((place[s], place[t]), _BACKWARD * base) for s, t in edges]
        rows.append(row + [float(len(OPERATIONS) ** (inner - place[v])) for v in range(1, vertices - 1)])
    return np.array(rows)


def _full_graphs(vertices: int) -> Iterator[np.ndarray]:
    """Yield, in parts, the adjacency bits [N, edges] of all allowed graphs in which every vertex lies on a path."""
    places = vertices * (vertices - 1) // 2
    ends = np.array(_places(vertices))
    for start in range(0, 1 << places, _MASKS_AT_ONCE):
        masks = np.arange(start, min(start + _MASKS_AT_ONCE, 1 << places))
        bits = (masks[:, None] >> np.arange(places)) & 1
        full = bits.sum(axis=1) <= MAX_EDGES
        for vertex in range(vertices):
            full &= (vertex == vertices - 1) | bits[:, ends[:, 0] == vertex].any(axis=1)
            full &= (vertex == 0) | bits[:, ends[:, 1] == vertex].any(axis=1)
        yield bits[full]


def count_cells(vertices: int) -> int:
    """Return the exact number of distinct cells with this many vertices.

    Graphs are enumerated up to the order of their vertices; labellings of each are counted by Burnside's lemma.
    """
    inner = vertices - 2
    places = _orders(vertices).shape[1] - inner
    orders = _orders(vertices)[:, :places] / len(OPERATIONS) ** inner
    cycles = np.array([_cycles(order) for order in permutations(range(inner))])
    total = 0
    for bits in _full_graphs(vertices):
        own = bits @ orders[0]  # the first order is that of the graph itself
        numbers = bits @ orders.T
        first = numbers.min(axis=1) == own  # the one graph of each class that stands for it
        same = numbers[first] == own[first, None]
        labellings = (same * len(OPERATIONS) ** cycles).sum(axis=1)
        total += int((labellings // same.sum(axis=1)).sum())
    return total


def _cycles(order: Sequence[int]) -> int:
    """Return the number of cycles of a permutation of 0..n-1."""
    left, cycles = set(range(len(order))), 0
    while left:
        vertex = left.pop()
        cycles += 1
        while (vertex := order[vertex]) in left:
            left.remove(vertex)
    return cycles
