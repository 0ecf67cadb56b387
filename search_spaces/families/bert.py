"""BERT whose layers have widths of their own, between linear layers that lead there and back.

Paper: Ganesan et al., SuperShaper, arXiv 2110.04711 (7 widths in each of 12 layers); the same space in Jawahar et al.,
Mixture-of-Supernets, ACL Findings 2024.
Differs: the structure is written from the papers, no code was read: whether anything passes beside a layer is not
known, and here nothing does. Every head keeps its own first features when a layer is narrower; the first features of
all heads together would mix heads. `small_bert` is the same network with other numbers, for one processor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from search_spaces import costs
from search_spaces.architecture import Choice, Decision, InvalidArchitecture
from search_spaces.families.token_blocks import TokenBlocks
from search_spaces.limits import MOST_CHANNELS, MOST_LAYERS, check_fields, check_most
from search_spaces.places import Block, Place, fixed
from search_spaces.sizes import AnySize, Size
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (120, 240, 360, 480, 540, 600, 768)
"""Published widths of a layer."""
_MOST = {
    **dict.fromkeys(("size", "widths", "hidden"), MOST_CHANNELS),
    **{"heads": 1024, "layers": MOST_LAYERS, "vocabulary": 10**6},
    **dict.fromkeys(("length", "longest"), 2**16),
}


@dataclass(frozen=True, kw_only=True)
class Bert:
    """The numbers of one BERT family."""

    size: int
    widths: tuple[int, ...]
    layers: int
    heads: int
    hidden: int
    vocabulary: int
    length: int
    longest: int
    dropout: float

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        rise = bool(self.widths) and list(self.widths) == sorted(set(self.widths))
        parts = rise and self.heads >= 1 and all(width >= 1 and width % self.heads == 0 for width in self.widths)
        limits = [
            *((name, getattr(self, name) >= 1, "at least 1") for name in ("size", "layers", "heads", "hidden")),
            ("widths", parts, f"multiples of heads = {self.heads} that rise"),
            ("vocabulary", self.vocabulary >= 2, "at least 2"),
            ("length", self.length >= 1, "at least 1"),
            ("longest", self.longest >= self.length, f"at least length = {self.length}"),
            ("dropout", 0 <= self.dropout < 1, "from 0 to below 1"),
        ]
        check_fields(self, limits)

    @property
    def tokens(self) -> TokenBlocks:
        """The vectors of tokens."""
        return TokenBlocks(self.vocabulary, self.length, self.longest, scaled=False, learned=True, dropout=0.0)

    @property
    def names(self) -> list[str]:
        """Names of the decisions."""
        return [f"layer{layer}.width" for layer in range(1, self.layers + 1)]

    # ---- the network ----------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        """Return the network of the largest architecture, with elastic leaves and fresh weights."""
        from search_spaces.networks.bert_network import BertNetwork, EmbeddingNorm, MaskedTokenHead

        layers = []
        for name in self.names:
            width = Size(name, {width: width for width in self.widths})
            head_width = Size(name, {width: width // self.heads for width in self.widths})
            layers.append(self._layer(width, head_width))
        norm = EmbeddingNorm(self.size, self.dropout)
        return BertNetwork(self.tokens.build(self.size), norm, layers, MaskedTokenHead(self.size))

    def _layer(self, width: AnySize, head_width: AnySize) -> nn.Module:
        from search_spaces.networks.bert_network import bottleneck_layer

        sizes = (self.size, width, head_width)
        return bottleneck_layer(*sizes, heads=self.heads, hidden=self.hidden, dropout=self.dropout)

    # ---- blocks ---------------------------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        """Return the places of input, layers, head and output."""
        places = [Place((name,), self._layer_block) for name in self.names]
        ends = (self.tokens.enters(self.size), self._norm_block()), (self._head_block(), self.tokens.leaves(self.size))
        first, last = ([fixed(block) for block in blocks] for blocks in ends)
        return [*first, *places, *last]

    def _layer_block(self, width: int) -> Block:
        def build() -> nn.Module:
            from search_spaces.plain import plain

            return plain(lambda: self._layer(width, width // self.heads))

        name = f"layer {self.size}-{width} heads {self.heads} ffn {self.hidden}"
        return Block(name, (self.length, self.size), build, partial(self.count, width))

    def count(self, width: int) -> Counter[str]:
        """Return the params and MACs of a layer."""
        linear = costs.linear(self.size, width) + costs.linear(width, self.size)
        linear += costs.linear(width, 3 * width) + costs.linear(width, width)
        linear += costs.linear(width, self.hidden) + costs.linear(self.hidden, width)
        attention = costs.attention(self.length, self.length, width)
        return costs.on_sequence(linear, self.length) + attention + costs.norm(width) + costs.norm(width)

    def _norm_block(self) -> Block:
        def build() -> nn.Module:
            from torch import nn

            return nn.LayerNorm(self.size)

        return Block(f"norm {self.size}", (self.length, self.size), build, partial(costs.norm, self.size))

    def _head_block(self) -> Block:
        def build() -> nn.Module:
            from search_spaces.networks.bert_network import MaskedTokenHead
            from search_spaces.plain import plain

            return plain(lambda: MaskedTokenHead(self.size))

        def count() -> Counter[str]:
            linear = costs.linear(self.size, self.size)
            return costs.on_sequence(linear, self.length) + costs.norm(self.size)

        return Block(f"head {self.size}", (self.length, self.size), build, count)

    # ---- other forms ----------------------------------------------------------------------------------------------

    def parse(self, widths: str) -> dict[str, Choice]:
        """Return the decisions of the widths of all layers, with blanks between.

        Raises:
            InvalidArchitecture: An entry is no whole number, or there are not as many as layers.
        """
        try:
            numbers = [int(width) for width in widths.split()]
        except ValueError as error:
            raise InvalidArchitecture(f"widths = {widths!r} must be whole numbers with blanks between") from error
        if len(numbers) != self.layers:
            raise InvalidArchitecture(f"widths = {widths!r} must have {self.layers} entries, got {len(numbers)}")
        return dict(zip(self.names, numbers))

    def traits(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the width of every layer [N, layers], from 0 for the least to 1 for the largest."""
        rows = np.stack([columns[name] for name in self.names], axis=1).astype(float)
        return (rows - self.widths[0]) / max(self.widths[-1] - self.widths[0], 1)


def _space(name: str, config: Bert) -> Space:
    return Space(
        name=name,
        decisions=tuple(Decision(decision, config.widths) for decision in config.names),
        inputs=config.tokens.inputs,
        build=config.build,
        places=config.places,
        formats={("widths",): config.parse},
        traits=config.traits,
    )


def bert(*, vocabulary: int = 30_522, length: int = 128, longest: int = 512, dropout: float = 0.1) -> Space:
    """Return the published space of 7^12 architectures.

    Rows of tables name an architecture by `widths`, one number for each layer with blanks between, or as JSON.

    Args:
        vocabulary: Number of tokens.
        length: Tokens of the sequences for which costs are counted and latency is measured.
        longest: Largest number of tokens of a sequence.
        dropout: Dropout behind the vectors of tokens and every part of a layer.
    """
    config = Bert(
        size=768,
        widths=WIDTHS,
        layers=12,
        heads=12,
        hidden=3072,
        vocabulary=vocabulary,
        length=length,
        longest=longest,
        dropout=dropout,
    )
    return _space("bert", config)


def small_bert(
    *,
    vocabulary: int = 8192,
    length: int = 64,
    longest: int = 256,
    size: int = 192,
    widths: Sequence[int] = (48, 96, 144, 192),
    layers: int = 4,
    heads: int = 4,
    hidden: int = 512,
    dropout: float = 0.1,
) -> Space:
    """Return BERT for one processor: the published network with other numbers.

    Args:
        vocabulary: Number of tokens.
        length: Tokens of the sequences for which costs are counted and latency is measured.
        longest: Largest number of tokens of a sequence.
        size: Features of the sequence between layers.
        widths: Choices of the width of each layer, multiples of `heads`.
        layers: Number of layers.
        heads: Number of heads of each layer.
        hidden: Hidden units of each layer.
        dropout: Dropout behind the vectors of tokens and every part of a layer.
    """
    config = Bert(
        size=size,
        widths=tuple(sorted(widths)),
        layers=layers,
        heads=heads,
        hidden=hidden,
        vocabulary=vocabulary,
        length=length,
        longest=longest,
        dropout=dropout,
    )
    return _space("small_bert", config)
