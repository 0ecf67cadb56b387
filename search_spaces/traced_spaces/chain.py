"""A network as a chain of pieces, which can be cut where everything passes through one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

import torch

from search_spaces.counting import counted_costs
from search_spaces.errors import FieldError
from search_spaces.traced_spaces.pieces import Piece, part_of, pieces_behind, smallest_parts
from search_spaces.traced_spaces.sources import OfImages
from search_spaces.traced_spaces.stages import is_inside
from search_spaces.tracing import Traced, TraceError, trace

if TYPE_CHECKING:
    from torch import nn

_KEPT, _SHOWN = 4, 8
_LIST = 1  # modules around a list of blocks, such as `stages`


@dataclass(frozen=True)
class Cut:
    """A place where a network can be cut.

    Args:
        name: Module behind which it is.
        leaves: Node whose value passes.
        shape: Shape of the value of one example: channels, height and width.
        halvings: How often the side of the image is halved up to there.
    """

    name: str
    leaves: str
    shape: tuple[int, int, int]
    halvings: int


@dataclass(frozen=True)
class Chain:
    """A classifier of images that is cut in some places; another process makes the same of it.

    Args:
        source: The network.
        names: Modules behind which it is cut; none for the last blocks of each size of feature maps but the smallest.
    """

    source: OfImages
    names: tuple[str, ...] = ()

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """The cuts in the order of the network.

        Raises:
            FieldError: The network cannot be traced, or cannot be cut in one of these places.
        """
        return _cuts(self)

    @property
    def costs(self) -> tuple[Mapping[str, int], ...]:
        """The params and MACs of each piece."""
        return _costs(self)

    def pieces(self) -> list[nn.Module]:
        """Return the pieces as plain modules with fresh weights, one more than cuts; weights have their own names."""
        return self._made(self._pieces())

    def piece(self, number: int) -> nn.Module:
        """Return one of the pieces."""
        return self._made(self._pieces()[number : number + 1])[0]

    def _made(self, pieces: Sequence[Piece]) -> list[nn.Module]:
        from search_spaces.elastic.traced import ElasticGraph

        traced, network = _traced(self.source), self.source.module().train()
        found = [ElasticGraph(part_of(traced, piece), module=network).extract() for piece in pieces]
        return [piece.to(torch.empty(0).device) for piece in found]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of what enters each piece, for one example."""
        side = self.source.image_size
        return ((self.source.channels, side, side), *(cut.shape for cut in self.cuts))

    def _pieces(self) -> tuple[Piece, ...]:
        return pieces_behind(_traced(self.source), [cut.leaves for cut in self.cuts])


@lru_cache(maxsize=_KEPT)
def _traced(source: OfImages) -> Traced:
    """Return the trace of a network, which takes seconds."""
    source.check()
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return trace(source.module().eval(), source.example())
    except TraceError as error:
        raise FieldError("model", f"{source.name} cannot be cut: {error}") from error


@lru_cache(maxsize=_KEPT)
def _costs(chain: Chain) -> tuple[Mapping[str, int], ...]:
    with torch.device("meta"):
        pieces = chain.pieces()
    return tuple(Counter(counted_costs(lambda one=piece: one, shape)) for piece, shape in zip(pieces, chain.shapes))  # type: ignore[misc]


@lru_cache(maxsize=_KEPT)
def _cuts(chain: Chain) -> tuple[Cut, ...]:
    search = _Search(chain.source)
    if not chain.names:
        return search.usual()
    cuts = [search.behind(name) for name in chain.names]
    if len({cut.leaves for cut in cuts}) < len(cuts):
        raise FieldError("cuts", f"must be different places, got {', '.join(chain.names)}")
    return tuple(sorted(cuts, key=lambda cut: search.place(cut.leaves)))


class _Search:
    """The places where a network can be cut.

    Args:
        source: The network.
    """

    def __init__(self, source: OfImages) -> None:
        self.source, self.traced = source, _traced(source)
        parts = smallest_parts(self.traced)
        order = [node for part in parts for node in part]
        self._places = {node.name: number for number, node in enumerate(order)}
        self._passages = {part[-1].name for part in parts[:-1]}
        self._scopes = [(node.name, str(node.meta.get("scope", ""))) for node in order]
        self._depths = {node: _modules_around(scope, behind) for (node, scope), (_, behind) in pairwise(self._scopes)}
        self._modules = dict.fromkeys(name for name, _ in self.traced.module.named_modules() if name)

    def place(self, node: str) -> int:
        """Return the place of a node in the order of the network."""
        return self._places[node]

    def usual(self) -> tuple[Cut, ...]:
        """Return the cut behind the last block of each size of feature maps but the smallest.

        Raises:
            FieldError: There is none.
        """
        if not self._possible():
            why = "has no feature maps that everything passes through and that are smaller than the image"
            raise FieldError("model", f"{self.source.name} {why}: it cannot be cut")
        last = {cut.halvings: cut for cut in self._between_blocks()}
        found = [cut for halvings, cut in last.items() if halvings < max(last)]
        if not found:
            raise FieldError("cuts", f"must be given for {self.source.name}; {self._listed()}")
        return tuple(found)

    def behind(self, name: str) -> Cut:
        """Return the cut behind a module.

        Raises:
            FieldError: There is no such module, it lies beside a shortcut, or what leaves it cannot be sent.
        """
        network = self.source.name
        last = self._last(name)
        if name not in self._modules or last is None:
            raise FieldError("cuts", f"must be modules of {network}, got {name!r}; {self._listed()}")
        if last == self._scopes[-1][0]:
            raise FieldError("cuts", f"must leave something for the server, nothing of {network} is behind {name!r}")
        if last not in self._passages:
            why = f"other values pass beside {name!r}, as by a shortcut, and one is sent"
            raise FieldError("cuts", f"must be where everything passes: {why}; {self._listed()}")
        cut = self._cut(name, last)
        if cut is None:
            allowed = "feature maps whose side is that of the images halved once or more often"
            gives = list(self.traced.shapes[last][1:])
            raise FieldError("cuts", f"must be behind {allowed}, {name!r} gives {gives}; {self._listed()}")
        return cut

    def _possible(self) -> list[Cut]:
        """Return all cuts, each behind the shortest name."""
        shortest: dict[str, str] = {}
        for name in sorted(self._modules, key=lambda name: (name.count("."), len(name))):
            last = self._last(name)
            if last in self._passages:
                shortest.setdefault(last, name)
        cuts = [cut for last, name in shortest.items() if (cut := self._cut(name, last)) is not None]
        return sorted(cuts, key=lambda cut: self.place(cut.leaves))

    def _between_blocks(self) -> list[Cut]:
        """Return the cuts that lie between modules of the network, or of a list in it; all where there are none."""
        possible = self._possible()
        return [cut for cut in possible if self._depths[cut.leaves] <= _LIST] or possible

    def _listed(self) -> str:
        """Return where the network can be cut, in words."""
        names = [cut.name for cut in self._between_blocks()]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"possible are {', '.join(names[:_SHOWN])}{more}" if names else "it can be cut nowhere"

    def _last(self, name: str) -> str | None:
        """Return the last operation of a module that depends on the image."""
        return next((node for node, scope in reversed(self._scopes) if is_inside(scope, name)), None)

    def _cut(self, name: str, leaves: str) -> Cut | None:
        """Return the cut at a node; None where its value is no feature map of the right size."""
        shape = self.traced.shapes[leaves][1:]
        if len(shape) != 3 or shape[1] != shape[2]:
            return None
        side, halvings = self.source.image_size, 0
        while side > shape[1]:
            side, halvings = (side + 1) // 2, halvings + 1
        is_halved = side == shape[1] > 1 and halvings > 0
        return Cut(name, leaves, (shape[0], side, side), halvings) if is_halved else None


def _modules_around(scope: str, other: str) -> int:
    """Return how many modules lie around two modules."""
    pairs = zip(scope.split("."), other.split("."))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
