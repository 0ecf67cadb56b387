"""AutoFormer: vision transformers with elastic width, depth, heads and feed-forward ratio.

Paper: Chen et al., AutoFormer, arXiv 2107.00651, table 1 and section 3; choices as in the released configurations.
Differs: the count of `tiny` is 1,056,964,608 by the released choices; the larger numbers that are quoted (order 1e13)
do not follow from them. Two published subnets of `tiny` and `small` were found with ratio 3, which the released choices
of `tiny` lack: `ratios` adds it. Queries, keys and values lie one behind the other; released weights interleave them.
A network has the mean over patches before its classifier, as the released training does. MACs are those of linear
layers and of all products of attention, those with relative positions included. `small_autoformer` is the same network
with other numbers, for images of 16 to 64 pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from search_spaces import costs
from search_spaces.architecture import Choice, Decision, InvalidArchitecture
from search_spaces.errors import FieldError
from search_spaces.families.transformer_decisions import transformer_decisions
from search_spaces.inputs import images
from search_spaces.limits import MOST_CHANNELS, MOST_LAYERS, MOST_OF_IMAGES, check_fields, check_most, rise
from search_spaces.places import Block, Place
from search_spaces.sizes import AnySize, JointSize, LayerSize, Size
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

Variant = Literal["tiny", "small", "base"]
VARIANTS: dict[str, tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...], tuple[int, ...]]] = {
    "tiny": ((192, 216, 240), (3.5, 4.0), (3, 4), (12, 13, 14)),
    "small": ((320, 384, 448), (3.0, 3.5, 4.0), (5, 6, 7), (12, 13, 14)),
    "base": ((528, 576, 624), (3.0, 3.5, 4.0), (9, 10), (14, 15, 16)),
}
"""Choices of embed, ratio, heads and depth."""
DISTANCE = 14
"""Largest distance between patches that has its own vector."""
_COLUMNS = ("hidden_dim", "depth", "mlp_ratio", "num_heads")
_MOST = {**dict.fromkeys(("embeds", "head_width"), MOST_CHANNELS), "depths": MOST_LAYERS, "heads": 1024, "ratios": 64}
_MOST |= {"patch": 1024, **MOST_OF_IMAGES}


@dataclass(frozen=True, kw_only=True)
class AutoFormer:
    """The numbers of one AutoFormer family."""

    embeds: tuple[int, ...]
    ratios: tuple[float, ...]
    heads: tuple[int, ...]
    depths: tuple[int, ...]
    head_width: int
    patch: int
    image_size: int
    channels: int
    classes: int
    drop_path: float

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits = [
            *((name, rise(getattr(self, name)), "numbers from 1 that rise") for name in ("embeds", "heads", "depths")),
            ("ratios", bool(self.ratios) and min(self.ratios) > 0, "numbers above 0"),
            *((name, getattr(self, name) >= 1, "at least 1") for name in ("head_width", "patch", "channels")),
            ("image_size", self._fits_patches, f"a multiple of patch = {self.patch}"),
            ("classes", self.classes >= 2, "at least 2"),
            ("drop_path", 0 <= self.drop_path < 1, "from 0 to below 1"),
        ]
        check_fields(self, limits)

    @property
    def _fits_patches(self) -> bool:
        return self.patch >= 1 and self.image_size >= self.patch and self.image_size % self.patch == 0

    @property
    def grid(self) -> int:
        """Patches of one side of an image."""
        return self.image_size // self.patch

    @property
    def length(self) -> int:
        """Places of the sequence, that of the class token included."""
        return 1 + self.grid**2

    def decisions(self) -> tuple[Decision, ...]:
        """Return width and depth, then ratio and heads of every layer."""
        return transformer_decisions(self.embeds, self.ratios, self.heads, self.depths)

    def hidden(self, embed: int, ratio: Choice) -> int:
        """Return the hidden units of a feed-forward."""
        return int(embed * float(ratio))

    # ---- the network ----------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        """Return the network of the largest architecture, with elastic leaves and fresh weights."""
        from search_spaces.networks.autoformer_network import AutoFormerHead, AutoFormerNetwork

        size, most = Size("embed", {embed: embed for embed in self.embeds}), max(self.depths)
        layers = []
        for layer in range(1, most + 1):
            hidden: dict[tuple[Choice, ...], int] = {
                (embed, ratio): self.hidden(embed, ratio) for embed in self.embeds for ratio in self.ratios
            }
            width: dict[Choice, int] = {heads: heads * self.head_width for heads in self.heads}
            rate = self.drop_path * (layer - 1) / max(most - 1, 1)
            ratio = JointSize(("embed", f"layer{layer}.ratio"), hidden)
            layers.append(self._layer(size, ratio, Size(f"layer{layer}.heads", width), rate))
        depth = Size("depth", {depth: depth for depth in self.depths})
        return AutoFormerNetwork(self._embedding(size), layers, depth, AutoFormerHead(size, self.classes))

    def _embedding(self, size: AnySize) -> nn.Module:
        from search_spaces.networks.autoformer_network import PatchEmbedding

        return PatchEmbedding(self.channels, self.patch, self.length - 1, size)

    def _layer(self, size: AnySize, hidden: LayerSize, width: AnySize, drop_path: float = 0.0) -> nn.Module:
        from search_spaces.networks.autoformer_network import encoder_layer

        return encoder_layer(
            *(size, hidden, width), grid=self.grid, head_width=self.head_width, most=DISTANCE, drop_path=drop_path
        )

    # ---- blocks ---------------------------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        """Return the places of embedding, layers and head."""
        places = [Place(("embed",), self._embedding_block)]
        for layer in range(1, max(self.depths) + 1):
            names = ("embed", "depth", f"layer{layer}.ratio", f"layer{layer}.heads")
            places.append(Place(names, partial(self._layer_block, layer)))
        return [*places, Place(("embed",), self._head_block)]

    def _embedding_block(self, embed: int) -> Block:
        inputs = self.channels * self.patch**2

        def count() -> Counter[str]:
            project = costs.on_sequence(costs.linear(inputs, embed), self.length - 1)
            return project + Counter(params=(1 + self.length) * embed)

        shape = (self.channels, self.image_size, self.image_size)
        return Block(f"patches {inputs}-{embed} p{self.patch}", shape, partial(_plain, self._embedding, embed), count)

    def _layer_block(self, layer: int, embed: int, depth: int, ratio: Choice, heads: int) -> Block | None:
        if layer > depth:
            return None
        hidden, width = self.hidden(embed, ratio), heads * self.head_width
        sizes = (embed, hidden, width)
        name = f"layer {embed} ffn {hidden} heads {heads}x{self.head_width}"
        return Block(name, (self.length, embed), partial(_plain, self._layer, *sizes), partial(self.count, *sizes))

    def count(self, embed: int, hidden: int, width: int) -> Counter[str]:
        """Return the params and MACs of a layer; positions count as often as keys and values."""
        linear = costs.linear(embed, 3 * width) + costs.linear(width, embed)
        linear += costs.linear(embed, hidden) + costs.linear(hidden, embed)
        attention = costs.attention(self.length, self.length, 2 * width)
        tables = Counter(params=4 * (2 * DISTANCE + 2) * self.head_width)
        return costs.on_sequence(linear, self.length) + attention + tables + costs.norm(embed) + costs.norm(embed)

    def _head_block(self, embed: int) -> Block:
        def build() -> nn.Module:
            from search_spaces.networks.autoformer_network import AutoFormerHead

            return _plain(AutoFormerHead, embed, self.classes)

        def count() -> Counter[str]:
            return costs.norm(embed) + costs.linear(embed, self.classes)

        return Block(f"head {embed}-{self.classes}", (self.length, embed), build, count)

    # ---- tables ---------------------------------------------------------------------------------------------------

    def parse(self, embed: str, depth: str, ratios: str, heads: str) -> dict[str, Choice]:
        """Return the decisions of a row: width, depth, and one ratio and number of heads for each layer.

        Raises:
            InvalidArchitecture: An entry is no number, or a list has another length than the depth.
        """
        values: dict[str, Choice] = {"embed": _numbers("hidden_dim", embed, 1)[0]}
        values["depth"] = layers = int(_numbers("depth", depth, 1)[0])
        for layer, ratio in enumerate(_numbers("mlp_ratio", ratios, layers), start=1):
            values[f"layer{layer}.ratio"] = ratio
        for layer, number in enumerate(_numbers("num_heads", heads, layers), start=1):
            values[f"layer{layer}.heads"] = number
        return values


def _plain(build: Callable[..., nn.Module], *sizes: int) -> nn.Module:
    from search_spaces.plain import plain

    return plain(partial(build, *sizes))


def _numbers(field: str, text: str, length: int) -> list[float]:
    """Return the numbers of a text, with blanks or commas between them, in brackets or not."""
    try:
        numbers = [float(entry) for entry in text.strip().strip("[]()").replace(",", " ").split()]
    except ValueError as error:
        raise InvalidArchitecture(f"{field} = {text!r} must be numbers with blanks between") from error
    if len(numbers) != length:
        raise InvalidArchitecture(f"{field} = {text!r} must have {length} entries, got {len(numbers)}")
    return numbers


def _space(name: str, config: AutoFormer) -> Space:
    return Space(
        name=name,
        decisions=config.decisions(),
        inputs=images(config.channels, config.image_size),
        build=config.build,
        places=config.places,
        formats={_COLUMNS: config.parse},
    )


def autoformer(
    *,
    variant: Variant = "tiny",
    ratios: Sequence[float] | None = None,
    image_size: int = 224,
    channels: int = 3,
    classes: int = 1000,
    drop_path: float = 0.1,
) -> Space:
    """Return one of the published spaces.

    Rows of tables name an architecture by the columns `hidden_dim`, `depth`, `mlp_ratio` and `num_heads`, the last two
    with one number for each layer, or as JSON.

    Args:
        variant: `tiny`, `small` or `base`.
        ratios: Feed-forward ratios instead of the published ones, such as (3, 3.5, 4) for `tiny`.
        image_size: Pixels of the square images, a multiple of 16.
        channels: Channels of an image.
        classes: Number of outputs.
        drop_path: Probability that a branch of the last layer is left out for an example in training.
    """
    if variant not in VARIANTS:
        raise FieldError("variant", f"must be one of {', '.join(VARIANTS)}, got {variant!r}")
    embeds, published, heads, depths = VARIANTS[variant]
    config = AutoFormer(
        embeds=embeds,
        ratios=published if ratios is None else tuple(sorted(float(ratio) for ratio in ratios)),
        heads=heads,
        depths=depths,
        head_width=64,
        patch=16,
        image_size=image_size,
        channels=channels,
        classes=classes,
        drop_path=drop_path,
    )
    return _space("autoformer", config)


def small_autoformer(
    *,
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
    patch: int = 4,
    embeds: Sequence[int] = (96, 144, 192),
    ratios: Sequence[float] = (2.0, 3.0, 4.0),
    heads: Sequence[int] = (2, 3, 4),
    depths: Sequence[int] = (4, 5, 6),
    head_width: int = 48,
    drop_path: float = 0.0,
) -> Space:
    """Return AutoFormer for small images: the published network with other numbers.

    Args:
        image_size: Pixels of the square images, a multiple of `patch`.
        channels: 1 for grey, 3 for colour.
        classes: Number of outputs.
        patch: Pixels of one side of a patch.
        embeds: Choices of the features of the sequence.
        ratios: Choices of the feed-forward ratio of each layer.
        heads: Choices of the number of heads of each layer.
        depths: Choices of the number of layers.
        head_width: Features of a head.
        drop_path: Probability that a branch of the last layer is left out for an example in training.
    """
    config = AutoFormer(
        embeds=tuple(sorted(embeds)),
        ratios=tuple(sorted(float(ratio) for ratio in ratios)),
        heads=tuple(sorted(heads)),
        depths=tuple(sorted(depths)),
        head_width=head_width,
        patch=patch,
        image_size=image_size,
        channels=channels,
        classes=classes,
        drop_path=drop_path,
    )
    return _space("small_autoformer", config)
