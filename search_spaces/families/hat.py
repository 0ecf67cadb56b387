"""HAT: transformers for translation with elastic width, feed-forward, heads, decoder depth and encoder layers read.

Paper: Wang et al., HAT, arXiv 2005.14187, section 3.1; choices as in the released `space0` (WMT) and `space1` (IWSLT).
Differs: the distinct architectures of `space0` are 417,846,678,672,384; choices of decoder layers that do not run are
not counted, as they are in the 2.4e15 raw genes. Source and target have vectors of tokens of their own, and the output
layer has those of the target; some released networks share all. Sinusoids of one rate stand side by side, so that
narrow networks have sine and cosine of each. `small_hat` is the same network with other numbers, for one processor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from search_spaces import costs
from search_spaces.architecture import Choice, Decision
from search_spaces.decoding_space import DecodingSpace
from search_spaces.errors import FieldError
from search_spaces.families.hat_genes import GENE, RELEASED, parse_gene, parse_released, scaled_features
from search_spaces.families.token_blocks import TokenBlocks
from search_spaces.inputs import Input
from search_spaces.limits import MOST_CHANNELS, MOST_LAYERS, check_fields, check_most, rise
from search_spaces.places import Block, Place
from search_spaces.sizes import Size

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.networks.hat_network import CrossSizes, LayerSizes

SPANS: Mapping[Choice, int] = {-1: 1, 1: 2, 2: 3}
"""Published name of a choice -> encoder layers that are read."""
Variant = Literal["space0", "space1"]
VARIANTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "space0": ((1024, 2048, 3072), (4, 8)),
    "space1": ((512, 1024, 2048), (2, 4)),
}
"""Choices of hidden units and of heads."""
_MOST = {
    **dict.fromkeys(("embeds", "hidden", "width"), MOST_CHANNELS),
    **dict.fromkeys(("encoder_layers", "depths"), MOST_LAYERS),
    **dict.fromkeys(("source_vocabulary", "target_vocabulary"), 10**6),
    **dict.fromkeys(("length", "longest"), 2**16),
    "heads": 1024,
}


@dataclass(frozen=True, kw_only=True)
class Hat:
    """The numbers of one HAT family.

    Attributes:
        written: Tokens that networks write one by one for a source; None for one pass over a source and a target.
    """

    embeds: tuple[int, ...]
    hidden: tuple[int, ...]
    heads: tuple[int, ...]
    width: int
    encoder_layers: int
    depths: tuple[int, ...]
    source_vocabulary: int
    target_vocabulary: int
    length: int
    longest: int
    dropout: float
    written: int | None = None

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        rising = ((name, rise(getattr(self, name)), "numbers from 1 that rise") for name in ("embeds", "hidden"))
        least = (("encoder_layers", 1), ("source_vocabulary", 2), ("target_vocabulary", 2), ("length", 1))
        limits = [
            *rising,
            ("depths", rise(self.depths), "numbers from 1 that rise"),
            ("heads", rise(self.heads) and not any(self.width % n for n in self.heads), f"parts of {self.width}"),
            *((name, getattr(self, name) >= most, f"at least {most}") for name, most in least),
            ("longest", self.longest >= self.length, f"at least length = {self.length}"),
            ("dropout", 0 <= self.dropout < 1, "from 0 to below 1"),
        ]
        check_fields(self, limits)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What the networks read."""
        return self.source.inputs if self.written is not None else (*self.source.inputs, *self.target.inputs)

    @property
    def spans(self) -> dict[Choice, int]:
        """Choices of encoder layers that a decoder layer reads."""
        return {name: span for name, span in SPANS.items() if span <= self.encoder_layers}

    @property
    def most_spans(self) -> int:
        """Encoder layers that can be read."""
        return max(self.spans.values())

    @property
    def source(self) -> TokenBlocks:
        """The vectors of what is read."""
        return self._tokens(self.source_vocabulary, "source_length")

    @property
    def target(self) -> TokenBlocks:
        """The vectors of what is written."""
        return self._tokens(self.target_vocabulary, "target_length")

    def _tokens(self, tokens: int, called: str) -> TokenBlocks:
        ends = (self.length, self.longest)
        return TokenBlocks(tokens, *ends, scaled=True, learned=False, dropout=self.dropout, called=called)

    def decisions(self) -> tuple[Decision, ...]:
        """Return those of the encoder, then those of the decoder."""
        decisions = [Decision("encoder.embed", self.embeds)]
        for layer in range(1, self.encoder_layers + 1):
            decisions.append(Decision(f"encoder.layer{layer}.hidden", self.hidden))
            decisions.append(Decision(f"encoder.layer{layer}.heads", self.heads))
        decisions += [Decision("decoder.embed", self.embeds), Decision("decoder.depth", self.depths)]
        for layer in range(1, max(self.depths) + 1):
            deep = tuple(depth for depth in self.depths if depth >= layer)
            parent, when = ("decoder.depth", deep) if len(deep) < len(self.depths) else (None, ())
            choices = {
                "hidden": self.hidden,
                "heads": self.heads,
                "cross_heads": self.heads,
                "reads": tuple(self.spans),
            }
            decisions += [Decision(f"decoder.layer{layer}.{n}", of, parent, when) for n, of in choices.items()]
        return tuple(decisions)

    # ---- the network ----------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        """Return the network of the largest architecture, with elastic leaves and fresh weights."""
        from search_spaces.elastic import ElasticStack
        from search_spaces.networks.decoding import Decoding
        from search_spaces.networks.hat_network import HatNetwork

        encoder, decoder = (_size(f"{side}.embed", self.embeds) for side in ("encoder", "decoder"))
        network = HatNetwork(
            self.source.build(encoder),
            self.target.build(decoder),
            [self._encoder_layer(self._sizes(f"encoder.layer{i + 1}", encoder)) for i in range(self.encoder_layers)],
            ElasticStack(
                [self._decoder_layer(*self._decoder_sizes(i + 1, decoder, encoder)) for i in range(max(self.depths))],
                _size("decoder.depth", self.depths),
            ),
            self.most_spans,
        )
        return network if self.written is None else Decoding(network, self.written)

    def _sizes(self, name: str, size: Size) -> LayerSizes:
        from search_spaces.networks.hat_network import LayerSizes

        return LayerSizes(size, _size(f"{name}.hidden", self.hidden), _size(f"{name}.heads", self.heads), self.width)

    def _decoder_sizes(self, layer: int, size: Size, encoder: Size) -> tuple[LayerSizes, CrossSizes]:
        from search_spaces.networks.hat_network import CrossSizes

        name = f"decoder.layer{layer}"
        heads, spans = _size(f"{name}.cross_heads", self.heads), Size(f"{name}.reads", self.spans)
        return self._sizes(name, size), CrossSizes(encoder, heads, spans, self.most_spans)

    def _encoder_layer(self, sizes: LayerSizes) -> nn.Module:
        from search_spaces.networks.hat_network import encoder_layer

        return encoder_layer(sizes, dropout=self.dropout)

    def _decoder_layer(self, sizes: LayerSizes, cross: CrossSizes) -> nn.Module:
        from search_spaces.networks.hat_network import decoder_layer

        return decoder_layer(sizes, cross, dropout=self.dropout)

    # ---- blocks ---------------------------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        """Return the places of inputs, layers and output."""
        places = [Place(("encoder.embed",), partial(self.source.enters, name="source"))]
        for layer in range(1, self.encoder_layers + 1):
            names = ("encoder.embed", f"encoder.layer{layer}.hidden", f"encoder.layer{layer}.heads")
            places.append(Place(names, self._encoder_block))
        enters, leaves = partial(self.target.enters, name="target"), self.target.leaves
        if self.written is not None:
            enters = partial(self.target.enters_singly, length=self.written)
            leaves = partial(self.target.leaves_singly, length=self.written)
        places.append(Place(("decoder.embed",), enters))
        for layer in range(1, max(self.depths) + 1):
            own = [f"decoder.layer{layer}.{name}" for name in ("hidden", "heads", "cross_heads", "reads")]
            followed = ("encoder.embed", "decoder.embed", "decoder.depth", *own)
            places.append(Place(followed, partial(self._decoder_block, layer)))
        return [*places, Place(("decoder.embed",), leaves)]

    def _encoder_block(self, size: int, hidden: int, heads: int) -> Block:
        def build() -> nn.Module:
            from search_spaces.networks.hat_network import LayerSizes
            from search_spaces.plain import plain

            return plain(lambda: self._encoder_layer(LayerSizes(size, hidden, heads, self.width)))

        name = f"encoder layer {size} ffn {hidden} heads {heads}"
        return Block(name, (self.length, size), build, partial(self._count_encoder, size, hidden))

    def _count_encoder(self, size: int, hidden: int) -> Counter[str]:
        return self._count_layer(size, hidden, self.length) + costs.attention(self.length, self.length, self.width)

    def _count_layer(self, size: int, hidden: int, length: int) -> Counter[str]:
        linear = costs.linear(size, 3 * self.width) + costs.linear(self.width, size)
        linear += costs.linear(size, hidden) + costs.linear(hidden, size)
        return costs.on_sequence(linear, length) + Counter(params=4 * size)

    def _decoder_block(self, layer: int, *values: Any) -> Block | None:
        """Return what stands in a layer of the decoder, by the decisions of its place."""
        encoder, size, depth, hidden, heads, cross, reads = values
        if layer > depth:
            return None
        span = self.spans[reads]
        keys = span * self.length
        rows = self.length if self.written is None else 1
        inputs = (Input((rows, size)), Input((keys, encoder)), Input((1, 1, keys), "bool"))

        def build() -> nn.Module:
            from search_spaces.networks.decoding import DecodingLayer
            from search_spaces.networks.hat_network import CrossSizes, LayerSizes
            from search_spaces.plain import plain

            sizes = LayerSizes(size, hidden, heads, self.width)
            made = plain(lambda: self._decoder_layer(sizes, CrossSizes(encoder, cross, 1, 1)))
            return made if self.written is None else DecodingLayer(made, self.written)

        name = f"decoder layer {size} ffn {hidden} heads {heads} reads {span}x{encoder} heads {cross}"
        name += "" if self.written is None else " one by one"
        count = partial(self._count_decoder, encoder, size, hidden, span)
        return Block(name, (self.written or self.length, size), build, count, inputs)

    def _count_decoder(self, encoder: int, size: int, hidden: int, span: int) -> Counter[str]:
        length, keys = self.written or self.length, span * self.length
        cross = costs.linear(size, self.width) + costs.linear(self.width, size)
        read = costs.linear(encoder, 2 * self.width)
        total = self._count_layer(size, hidden, length) + costs.on_sequence(cross, length)
        total += costs.on_sequence(read, keys) + costs.attention(length, keys, self.width)
        pairs = length**2 if self.written is None else length * (length + 1) // 2  # those of it and what was written
        total += costs.attention(1, pairs, self.width)
        return total + Counter(params=2 * size)


def _size(decision: str, numbers: Sequence[int]) -> Size:
    return Size(decision, {number: number for number in numbers})


def _space(name: str, config: Hat) -> DecodingSpace:
    return DecodingSpace(
        name=name,
        decisions=config.decisions(),
        inputs=config.inputs,
        build=config.build,
        places=config.places,
        formats={RELEASED: parse_released, (GENE,): parse_gene},
        traits=partial(scaled_features, config.decisions()),
        decoding=partial(_decoding, name, config),
    )


def _decoding(name: str, config: Hat, length: int) -> DecodingSpace:
    if not 1 <= length <= config.longest:
        raise FieldError("decode", f"must be from 1 to longest, which is {config.longest}, got {length}")
    return _space(name, replace(config, written=length))


def hat(
    *,
    variant: Variant = "space0",
    source_vocabulary: int = 32_768,
    target_vocabulary: int = 32_768,
    length: int = 30,
    longest: int = 1024,
    dropout: float = 0.3,
) -> DecodingSpace:
    """Return one of the published spaces: an encoder of 6 layers and a decoder of 1 to 6.

    Rows of tables name an architecture by the keys of the released files, by a `gene` of 40 numbers, or as JSON.

    Args:
        variant: `space0` for the WMT tasks or `space1` for IWSLT, which is smaller.
        source_vocabulary: Number of tokens of the language that is read.
        target_vocabulary: Number of tokens of the language that is written.
        length: Tokens of the sentences, on both sides, for which costs are counted and latency is measured.
        longest: Largest number of tokens of a sentence.
        dropout: Dropout behind every part of a layer.
    """
    if variant not in VARIANTS:
        raise FieldError("variant", f"must be one of {', '.join(VARIANTS)}, got {variant!r}")
    hidden, heads = VARIANTS[variant]
    config = Hat(
        embeds=(512, 640),
        hidden=hidden,
        heads=heads,
        width=512,
        encoder_layers=6,
        depths=(1, 2, 3, 4, 5, 6),
        source_vocabulary=source_vocabulary,
        target_vocabulary=target_vocabulary,
        length=length,
        longest=longest,
        dropout=dropout,
    )
    return _space("hat", config)


def small_hat(
    *,
    source_vocabulary: int = 8192,
    target_vocabulary: int = 8192,
    length: int = 16,
    longest: int = 256,
    embeds: Sequence[int] = (128, 192, 256),
    hidden: Sequence[int] = (256, 512, 768),
    heads: Sequence[int] = (2, 4),
    width: int = 192,
    encoder_layers: int = 3,
    depths: Sequence[int] = (1, 2, 3),
    dropout: float = 0.2,
) -> DecodingSpace:
    """Return HAT for one processor: the published network with other numbers.

    Args:
        source_vocabulary: Number of tokens of the language that is read.
        target_vocabulary: Number of tokens of the language that is written.
        length: Tokens of the sentences, on both sides, for which costs are counted and latency is measured.
        longest: Largest number of tokens of a sentence.
        embeds: Choices of the features of encoder and decoder.
        hidden: Choices of the hidden units of each layer.
        heads: Choices of the number of heads of each attention.
        width: Features of all heads of an attention together.
        encoder_layers: Layers of the encoder.
        depths: Choices of the layers of the decoder.
        dropout: Dropout behind every part of a layer.
    """
    config = Hat(
        embeds=tuple(sorted(embeds)),
        hidden=tuple(sorted(hidden)),
        heads=tuple(sorted(heads)),
        width=width,
        encoder_layers=encoder_layers,
        depths=tuple(sorted(depths)),
        source_vocabulary=source_vocabulary,
        target_vocabulary=target_vocabulary,
        length=length,
        longest=longest,
        dropout=dropout,
    )
    return _space("small_hat", config)
