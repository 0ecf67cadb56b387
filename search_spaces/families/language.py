"""Language models whose width, heads, feed-forward and depth are nested: every network is the first part of a larger.

Paper: Valipour et al., SortedNet, arXiv 2309.00255 (depth and width by prefixes; all depths share the last norm and the
output layer); Devvrit et al., MatFormer, arXiv 2310.07707 (prefixes of the hidden units of the feed-forward, layer by
layer).
Differs: the published networks nest one or two of these dimensions of pretrained models, in a few sizes; here all four
are free, and networks are small. Vectors of tokens and positions are learned, and score the tokens as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from search_spaces import costs
from search_spaces.architecture import Choice, Decision, InvalidArchitecture
from search_spaces.families.token_blocks import TokenBlocks
from search_spaces.families.transformer_decisions import transformer_decisions
from search_spaces.limits import MOST_CHANNELS, MOST_LAYERS, check_fields, check_most, rise
from search_spaces.places import Block, Place
from search_spaces.sizes import AnySize, JointSize, LayerSize, Size
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

_MOST = {
    **dict.fromkeys(("embeds", "head_width"), MOST_CHANNELS),
    **{"heads": 1024, "ratios": 64, "depths": MOST_LAYERS, "vocabulary": 10**6},
    **dict.fromkeys(("length", "longest"), 2**16),
}


@dataclass(frozen=True, kw_only=True)
class Language:
    """The numbers of one family of language models."""

    embeds: tuple[int, ...]
    ratios: tuple[float, ...]
    heads: tuple[int, ...]
    depths: tuple[int, ...]
    head_width: int
    vocabulary: int
    length: int
    longest: int
    dropout: float

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits = [
            *((name, rise(getattr(self, name)), "numbers from 1 that rise") for name in ("embeds", "heads", "depths")),
            ("ratios", bool(self.ratios) and min(self.ratios) > 0, "numbers above 0"),
            ("head_width", self.head_width >= 1, "at least 1"),
            ("vocabulary", self.vocabulary >= 2, "at least 2"),
            ("length", self.length >= 1, "at least 1"),
            ("longest", self.longest >= self.length, f"at least length = {self.length}"),
            ("dropout", 0 <= self.dropout < 1, "from 0 to below 1"),
        ]
        check_fields(self, limits)

    @property
    def tokens(self) -> TokenBlocks:
        """The vectors of tokens."""
        ends = (self.vocabulary, self.length, self.longest)
        return TokenBlocks(*ends, scaled=False, learned=True, dropout=self.dropout)

    def decisions(self) -> tuple[Decision, ...]:
        """Return width and depth, then ratio and heads of every layer."""
        return transformer_decisions(self.embeds, self.ratios, self.heads, self.depths)

    # ---- the network ----------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        """Return the network of the largest architecture, with elastic leaves and fresh weights."""
        from search_spaces.elastic import ElasticDepth, ElasticLayerNorm
        from search_spaces.networks.language_network import LanguageNetwork

        size = Size("embed", {embed: embed for embed in self.embeds})
        hidden: dict[tuple[Choice, ...], int] = {
            (embed, ratio): int(embed * ratio) for embed in self.embeds for ratio in self.ratios
        }
        widths: dict[Choice, int] = {heads: heads * self.head_width for heads in self.heads}
        names = [f"layer{layer}" for layer in range(1, max(self.depths) + 1)]
        layers = [
            self._layer(size, JointSize(("embed", f"{name}.ratio"), hidden), Size(f"{name}.heads", widths))
            for name in names
        ]
        depth = ElasticDepth(layers, Size("depth", {depth: depth for depth in self.depths}))
        return LanguageNetwork(self.tokens.build(size), depth, ElasticLayerNorm(size))

    def _layer(self, size: AnySize, hidden: LayerSize, width: AnySize) -> nn.Module:
        from search_spaces.networks.language_network import causal_layer

        return causal_layer(size, hidden, width, head_width=self.head_width, dropout=self.dropout)

    # ---- blocks ---------------------------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        """Return the places of input, layers, norm and output."""
        places = [Place(("embed",), self.tokens.enters)]
        for layer in range(1, max(self.depths) + 1):
            names = ("embed", "depth", f"layer{layer}.ratio", f"layer{layer}.heads")
            places.append(Place(names, partial(self._layer_block, layer)))
        return [*places, Place(("embed",), self._norm_block), Place(("embed",), self.tokens.leaves)]

    def _layer_block(self, layer: int, embed: int, depth: int, ratio: float, heads: int) -> Block | None:
        if layer > depth:
            return None
        sizes = (embed, int(embed * ratio), heads * self.head_width)
        name = f"layer {embed} ffn {sizes[1]} heads {heads}x{self.head_width}"
        return Block(name, (self.length, embed), partial(self._plain, *sizes), partial(self.count, *sizes))

    def _plain(self, *sizes: int) -> nn.Module:
        from search_spaces.plain import plain

        return plain(partial(self._layer, *sizes))

    def _norm_block(self, embed: int) -> Block:
        def build() -> nn.Module:
            from torch import nn

            return nn.LayerNorm(embed)

        return Block(f"norm {embed}", (self.length, embed), build, partial(costs.norm, embed))

    def count(self, embed: int, hidden: int, width: int) -> Counter[str]:
        """Return the params and MACs of a layer; products with places that are not read count as well."""
        linear = costs.linear(embed, 3 * width) + costs.linear(width, embed)
        linear += costs.linear(embed, hidden) + costs.linear(hidden, embed)
        attention = costs.attention(self.length, self.length, width)
        return costs.on_sequence(linear, self.length) + attention + costs.norm(embed) + costs.norm(embed)

    # ---- tables ---------------------------------------------------------------------------------------------------

    def parse(self, embed: str, ratios: str, heads: str) -> dict[str, Choice]:
        """Return the decisions of a row: width, and one ratio and number of heads for each layer that runs.

        Raises:
            InvalidArchitecture: An entry is no number, or the lists differ in length.
        """
        try:
            width, every, numbers = int(embed), [float(one) for one in ratios.split()], [int(n) for n in heads.split()]
        except ValueError as error:
            text = f"embed = {embed!r}, ratios = {ratios!r} and heads = {heads!r}"
            raise InvalidArchitecture(f"{text} must be numbers with blanks between") from error
        if len(every) != len(numbers):
            raise InvalidArchitecture(f"ratios and heads must be as many, got {len(every)} and {len(numbers)}")
        values: dict[str, Choice] = {"embed": width, "depth": len(every)}
        for layer, (ratio, number) in enumerate(zip(every, numbers), start=1):
            values |= {f"layer{layer}.ratio": ratio, f"layer{layer}.heads": number}
        return values


def language(
    *,
    vocabulary: int = 8192,
    length: int = 64,
    longest: int = 256,
    embeds: Sequence[int] = (128, 192, 256),
    ratios: Sequence[float] = (1.0, 2.0, 4.0),
    heads: Sequence[int] = (2, 3, 4),
    depths: Sequence[int] = (2, 3, 4, 5, 6),
    head_width: int = 64,
    dropout: float = 0.1,
) -> Space:
    """Return language models that predict the next token, in nested sizes.

    Rows of tables name an architecture by `embed`, `ratios` and `heads`, the last two with one number for each layer
    and blanks between, or as JSON.

    Args:
        vocabulary: Number of tokens.
        length: Tokens of the sequences for which costs are counted and latency is measured.
        longest: Largest number of tokens of a sequence.
        embeds: Choices of the features of the sequence.
        ratios: Choices of the feed-forward ratio of each layer.
        heads: Choices of the number of heads of each layer.
        depths: Choices of the number of layers.
        head_width: Features of a head.
        dropout: Dropout behind the vectors of tokens and every part of a layer.
    """
    config = Language(
        embeds=tuple(sorted(embeds)),
        ratios=tuple(sorted(float(ratio) for ratio in ratios)),
        heads=tuple(sorted(heads)),
        depths=tuple(sorted(depths)),
        head_width=head_width,
        vocabulary=vocabulary,
        length=length,
        longest=longest,
        dropout=dropout,
    )
    return Space(
        name="language",
        decisions=config.decisions(),
        inputs=config.tokens.inputs,
        build=config.build,
        places=config.places,
        formats={("embed", "ratios", "heads"): config.parse},
    )
