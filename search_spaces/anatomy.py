"""The anatomy of an architecture for people: its pieces in order, graphs of its cells, numbers of its layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from search_spaces.architecture import Choice
from search_spaces.bars import Bars
from search_spaces.graph import Graph
from search_spaces.places import UNSEEN

if TYPE_CHECKING:
    from search_spaces.space import Space


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A place of a network and what stands there.

    Args:
        place: What decisions call the place; empty where nothing is decided there alone.
        block: Name of the block that stands there; empty where nothing does, or where only decisions are known.
        shape: Shape of its input without the batch; empty where it is not known.
        repeats: How often it runs.
        choices: What is decided for this place alone.
        costs: Exact costs of the block, by name.
        skipped: Whether nothing runs there in this architecture.
    """

    place: str = ""
    block: str = ""
    shape: tuple[int, ...] = ()
    repeats: int = 1
    choices: Mapping[str, Choice] = field(default_factory=dict)
    costs: Mapping[str, int] = field(default_factory=dict)
    skipped: bool = False


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """All of one architecture.

    Args:
        pieces: Pieces from input to output; none where a space has graphs instead.
        graphs: Graphs of its cells.
        bars: Numbers of its layers.
    """

    pieces: tuple[Piece, ...] = ()
    graphs: tuple[Graph, ...] = ()
    bars: tuple[Bars, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the anatomy as JSON has it."""
        return {
            "pieces": [{**vars(piece), "shape": list(piece.shape)} for piece in self.pieces],
            "graphs": [dict(vars(graph)) for graph in self.graphs],
            **({"bars": [dict(vars(one)) for one in self.bars]} if self.bars else {}),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Anatomy:
        """Return the anatomy that `to_json` gave."""
        pieces = [Piece(**{**piece, "shape": tuple(piece["shape"])}) for piece in content["pieces"]]
        graphs = []
        for graph in content["graphs"]:
            edges, unused = (tuple((int(s), int(t), str(what)) for s, t, what in graph[k]) for k in ("edges", "unused"))
            graphs.append(Graph(name=graph["name"], nodes=tuple(graph["nodes"]), edges=edges, unused=unused))
        bars = []
        for one in content.get("bars", ()):
            rows = tuple((str(layer), tuple(int(number) for number in numbers)) for layer, numbers in one["rows"])
            bars.append(Bars(name=one["name"], series=tuple(one["series"]), most=int(one["most"]), rows=rows))
        return cls(pieces=tuple(pieces), graphs=tuple(graphs), bars=tuple(bars))


def anatomy(space: Space, architecture: Mapping[str, Choice]) -> Anatomy:
    """Return what an architecture is made of: its graphs, its blocks, or where a space has neither its decisions.

    Raises:
        InvalidArchitecture: The architecture is not of this space.
    """
    values = space.architecture(architecture)
    bars = () if space.simulated is None else (space.simulated.bars(values),)
    if space.graphs is not None:
        return Anatomy(graphs=tuple(space.graphs(values)), bars=bars)
    if space.places is None:
        return replace(decided([decision.name for decision in space.decisions], values), bars=bars)
    return Anatomy(pieces=tuple(_pieces(space, values)), bars=bars)


def decided(names: Sequence[str], architecture: Mapping[str, Choice]) -> Anatomy:
    """Return an architecture of which only its decisions are known: those that share a prefix are of one place.

    Args:
        names: Names of all decisions of the space, in its order.
        architecture: The active ones and their values.
    """
    places: dict[str, list[str]] = {}
    for name in dict.fromkeys([*names, *architecture]):
        places.setdefault(name.rpartition(".")[0] or name, []).append(name)
    pieces = []
    for place, own in places.items():
        choices = {_short(name, place): architecture[name] for name in own if name in architecture}
        pieces.append(Piece(place=place, choices=choices, skipped=not choices))
    return Anatomy(pieces=tuple(pieces))


def _pieces(space: Space, values: Mapping[str, Choice]) -> Iterator[Piece]:
    """Yield the blocks of an architecture, and the places that it leaves empty."""
    standing = space.blocks.standing(space.encode(values))
    followed = Counter(name for place, _ in standing for name in set(place.decisions))
    for place, block in standing:
        own = [name for name in place.decisions if followed[name] == 1]
        called = own[-1].rpartition(".")[0] or own[-1] if own else ""
        choices = {_short(name, called): values[name] for name in own if name in values}
        if block is not None:
            yield Piece(
                place=called,
                block=block.name.partition(UNSEEN)[0],
                shape=tuple(block.input_shape),
                repeats=place.repeats,
                choices=choices,
                costs=dict(block.costs),
            )
        elif own:
            yield Piece(place=called, repeats=place.repeats, choices=choices, skipped=True)


def _short(name: str, place: str) -> str:
    """Return the name of a decision within its place."""
    return name.removeprefix(f"{place}.")
