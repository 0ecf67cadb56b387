"""Once-for-All MobileNetV3: elastic kernel size, width (expand ratio), depth and resolution.

Paper: Once-for-All, arXiv 1908.09791, section 3 and appendix A.
Differs: a network resizes images of the largest resolution to its own; the released code crops each image to the size
of its batch. `small_mobilenet_v3` is the same network with other numbers, for images of 8 to 64 pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from search_spaces import costs
from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.errors import FieldError
from search_spaces.inputs import images
from search_spaces.limits import MOST_CHANNELS, MOST_OF_IMAGES, MOST_PIXELS, check_most
from search_spaces.places import Block, Place
from search_spaces.sizes import ACTIVATIONS, Bottleneck, FixedBottleneck, Size, make_divisible, strided
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

_WIDTHS = ("stem_width", "first_width", "last_width", "feature_width")
_MOST = dict.fromkeys((*_WIDTHS, "stage_widths"), 4 * MOST_CHANNELS) | dict.fromkeys(("stem_stride", "strides"), 16)
_MOST |= {"depths": 32, "squeeze_excite": 1, "kernels": 63, "expands": 64, "resolutions": MOST_PIXELS}
_MOST |= {name: MOST_OF_IMAGES[name] for name in ("channels", "classes")}


@dataclass(frozen=True, kw_only=True)
class MobileNetV3:
    """The numbers of one MobileNetV3 family; every width is final (multiplied and rounded).

    `depths` holds the depth choices of each stage. Stage s has blocks 1..max(depths[s]); only the first block has the
    stride and changes the width.
    """

    channels: int
    classes: int
    resolutions: tuple[int, ...]
    stem_width: int
    stem_stride: int
    first_width: int
    stage_widths: tuple[int, ...]
    strides: tuple[int, ...]
    depths: tuple[tuple[int, ...], ...]
    activations: tuple[str, ...]
    squeeze_excite: tuple[bool, ...]
    kernels: tuple[int, ...]
    expands: tuple[int, ...]
    last_width: int
    feature_width: int
    dropout: float

    def __post_init__(self) -> None:
        stages = len(self.stage_widths)
        check_most(self, _MOST)
        for field in ("strides", "depths", "activations", "squeeze_excite"):
            if len(getattr(self, field)) != stages:
                raise FieldError(field, f"needs one entry for each of {stages} stages, got {getattr(self, field)}")
        limits: list[tuple[str, bool, str]] = [
            *((name, getattr(self, name) >= 1, "at least 1") for name in (*_WIDTHS, "stem_stride", "channels")),
            ("classes", self.classes >= 2, "at least 2"),
            ("resolutions", bool(self.resolutions) and min(self.resolutions) >= 8, "sizes of 8 pixels or more"),
            ("stage_widths", stages > 0 and min(self.stage_widths) >= 1, "at least one stage, widths of 1 or more"),
            ("strides", set(self.strides) <= {1, 2}, "1 or 2"),
            ("depths", all(choices and min(choices) >= 1 for choices in self.depths), "1 or more"),
            ("activations", set(self.activations) <= set(ACTIVATIONS), f"among {sorted(ACTIVATIONS)}"),
            ("kernels", bool(self.kernels) and all(k >= 1 and k % 2 for k in self.kernels), "odd"),
            ("expands", bool(self.expands) and min(self.expands) >= 1, "1 or more"),
            ("dropout", 0 <= self.dropout < 1, "from 0 to below 1"),
        ]
        for field, holds, allowed in limits:
            if not holds:
                raise FieldError(field, f"must be {allowed}, got {getattr(self, field)}")

    # ---- what can be chosen ---------------------------------------------------------------------------------------

    def decisions(self) -> tuple[Decision, ...]:
        """Return the decisions: resolution, then the depth of each stage and the kernels and expand ratios of its
        blocks.
        """
        decisions = [Decision("resolution", self.resolutions)]
        for s, depths in enumerate(self.depths, start=1):
            decisions.append(Decision(f"stage{s}.depth", depths))
            for b in range(1, max(depths) + 1):
                deep_enough = tuple(depth for depth in depths if depth >= b)
                conditional = len(deep_enough) < len(depths)
                parent, when = (f"stage{s}.depth", deep_enough) if conditional else (None, ())
                decisions.append(Decision(f"stage{s}.block{b}.kernel", self.kernels, parent, when))
                decisions.append(Decision(f"stage{s}.block{b}.expand", self.expands, parent, when))
        return tuple(decisions)

    def in_width(self, stage: int, block: int) -> int:
        """Return the channels that enter a block; stages and blocks count from 1."""
        if block > 1:
            return self.stage_widths[stage - 1]
        return self.stage_widths[stage - 2] if stage > 1 else self.first_width

    def parse_lists(self, ks: str, e: str, d: str, resolution: str = "") -> dict[str, Choice]:
        """Return the decisions of the published lists, each written as numbers with blanks between: kernel sizes and
        expand ratios of all blocks, stage by stage, and the depth of each stage; the largest resolution unless given.

        Raises:
            InvalidArchitecture: An entry is no number, or a list has the wrong length.
        """
        most = [max(depths) for depths in self.depths]
        kernels, expands = _numbers("ks", ks, sum(most)), _numbers("e", e, sum(most))
        depths = _numbers("d", d, len(most))
        pixels = _numbers("resolution", resolution, 1) if resolution else [self.resolutions[-1]]
        values: dict[str, Choice] = {"resolution": pixels[0]}
        for s, depth in enumerate(depths, start=1):
            values[f"stage{s}.depth"] = depth
            for b in range(1, min(depth, most[s - 1]) + 1):
                index = sum(most[: s - 1]) + b - 1
                values[f"stage{s}.block{b}.kernel"] = kernels[index]
                values[f"stage{s}.block{b}.expand"] = expands[index]
        return values

    # ---- sizes ----------------------------------------------------------------------------------------------------

    @property
    def stem(self) -> tuple[int, int, int, int]:
        """Channels that enter and leave the stem, its kernel and its stride."""
        return (self.channels, self.stem_width, 3, self.stem_stride)

    @property
    def first(self) -> FixedBottleneck:
        """The fixed block behind the stem."""
        return FixedBottleneck(self.stem_width, self.stem_width, self.first_width, expands=False)

    def bottleneck(self, stage: int, block: int) -> Bottleneck:
        """Return a block whose kernel and width follow decisions; stages and blocks count from 1."""
        name, in_width = f"stage{stage}.block{block}", self.in_width(stage, block)
        middle: dict[Choice, int] = {expand: make_divisible(round(in_width * float(expand))) for expand in self.expands}
        squeeze = Size(f"{name}.expand", {expand: make_divisible(m // 4) for expand, m in middle.items()})
        return Bottleneck(
            in_width=in_width,
            middle=Size(f"{name}.expand", middle),
            out_width=self.stage_widths[stage - 1],
            kernel=Size(f"{name}.kernel", {kernel: kernel for kernel in self.kernels}),
            stride=self.strides[stage - 1] if block == 1 else 1,
            activation=self.activations[stage - 1],
            squeeze=squeeze if self.squeeze_excite[stage - 1] else 0,
        )

    @property
    def head(self) -> tuple[int, int, int, int]:
        """Channels that enter the head, those after each of its convolutions, and classes."""
        return (self.stage_widths[-1], self.last_width, self.feature_width, self.classes)

    def stem_size(self, resolution: int) -> int:
        """Return the pixels of one side behind the stem."""
        return strided(resolution, self.stem_stride)

    def size(self, stage: int, block: int, resolution: int) -> int:
        """Return the pixels of one side of what enters a block; every stage counts as having a second block."""
        size = self.stem_size(resolution)
        for stride in self.strides[: stage - 1 if block == 1 else stage]:
            size = strided(size, stride)
        return size

    # ---- the network and its blocks -------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        """Return the network of the largest architecture, with elastic leaves and fresh weights."""
        from search_spaces.networks.mobilenet_v3_network import MobileNetV3Network

        stages = [
            (
                [self.bottleneck(stage, block) for block in range(1, max(depths) + 1)],
                Size(f"stage{stage}.depth", {depth: depth for depth in depths}),
            )
            for stage, depths in enumerate(self.depths, start=1)
        ]
        resolution = Size("resolution", {pixels: pixels for pixels in self.resolutions})
        return MobileNetV3Network(resolution, self.stem, self.first, stages, self.head, dropout=self.dropout)

    def places(self) -> list[Place]:
        """Return the places of stem, first block, blocks of all stages, and head."""
        places = [Place(("resolution",), self._stem_block), Place(("resolution",), self._first_block)]
        for stage, depths in enumerate(self.depths, start=1):
            for block in range(1, max(depths) + 1):
                stands = _StageBlock(self, stage, block, self.bottleneck(stage, block))
                names = (f"stage{stage}.block{block}.kernel", f"stage{stage}.block{block}.expand")
                places.append(Place(("resolution", f"stage{stage}.depth", *names), stands))
        return [*places, Place(("resolution",), self._head_block)]

    def _stem_block(self, resolution: int) -> Block:
        in_width, out_width, kernel, stride = self.stem
        name = f"stem {in_width}-{out_width} k{kernel} s{stride} h_swish"
        count = partial(costs.conv_norm, in_width, out_width, kernel, pixels=self.stem_size(resolution) ** 2)
        return Block(name, (in_width, resolution, resolution), partial(_plain_stem, self.stem), count)

    def _first_block(self, resolution: int) -> Block:
        size, first = self.stem_size(resolution), self.first
        shape = (first.in_width, size, size)
        name = f"first {first.in_width}-{first.out_width}"
        return Block(name, shape, partial(_plain_bottleneck, first), partial(first.count, size))

    def _head_block(self, resolution: int) -> Block:
        size, widths = self.size(len(self.strides), 2, resolution), self.head
        before, last, feature, classes = widths

        def count() -> Counter[str]:
            convolutions = costs.conv_norm(before, last, pixels=size**2) + costs.convolution(last, feature, pixels=1)
            return convolutions + costs.linear(feature, classes)

        return Block(f"head {'-'.join(map(str, widths))}", (before, size, size), partial(_plain_head, widths), count)


class _StageBlock:
    """The block that stands in one place of a stage, from resolution, depth, kernel size and expand ratio."""

    def __init__(self, config: MobileNetV3, stage: int, block: int, elastic: Bottleneck) -> None:
        self.config, self.stage, self.block, self.elastic = config, stage, block, elastic
        self.fixed, self.made = cache(self._fixed), cache(self._made)

    def __call__(self, resolution: int, depth: int, kernel: int, expand: Choice) -> Block | None:
        return None if self.block > depth else self.made(resolution, kernel, expand)

    def _fixed(self, kernel: int, expand: Choice) -> FixedBottleneck:
        name = f"stage{self.stage}.block{self.block}"
        return self.elastic.at({f"{name}.kernel": kernel, f"{name}.expand": expand})

    def _made(self, resolution: int, kernel: int, expand: Choice) -> Block:
        fixed = self.fixed(kernel, expand)
        size = self.config.size(self.stage, self.block, resolution)
        shape = (fixed.in_width, size, size)
        return Block(fixed.name, shape, partial(_plain_bottleneck, fixed), partial(fixed.count, size))


def _plain_stem(sizes: tuple[int, int, int, int]) -> nn.Module:
    from search_spaces.networks.mobilenet_v3_network import conv_norm_act
    from search_spaces.plain import plain

    return plain(lambda: conv_norm_act(*sizes, "h_swish"))


def _plain_bottleneck(sizes: FixedBottleneck) -> nn.Module:
    from search_spaces.networks.mobilenet_v3_network import inverted_residual
    from search_spaces.plain import plain

    return plain(lambda: inverted_residual(sizes))


def _plain_head(widths: tuple[int, int, int, int]) -> nn.Module:
    from search_spaces.networks.mobilenet_v3_network import head
    from search_spaces.plain import plain

    return plain(lambda: head(widths))


def _numbers(field: str, text: str, length: int) -> list[int]:
    """Return the whole numbers of a text with blanks between them."""
    try:
        numbers = [int(entry) for entry in text.split()]
    except ValueError as error:
        raise InvalidArchitecture(f"{field} = {text!r} must be whole numbers with blanks between") from error
    if len(numbers) != length:
        raise InvalidArchitecture(f"{field} = {text!r} must have {length} entries, got {len(numbers)}")
    return numbers


def _space(name: str, config: MobileNetV3) -> Space:
    return Space(
        name=name,
        decisions=config.decisions(),
        inputs=images(config.channels, config.resolutions[-1], follows="resolution"),
        build=config.build,
        places=config.places,
        formats={("ks", "e", "d", "resolution"): config.parse_lists, ("ks", "e", "d"): config.parse_lists},
    )


def _per_stage(value: Sequence, stages: int) -> tuple:
    """Return one entry a stage, from a list of entries or from one entry that all stages share."""
    shared = not any(isinstance(entry, Sequence) for entry in value)
    entries = [value] * stages if shared else value
    return tuple(tuple(sorted(entry)) for entry in entries)


def ofa_mobilenet_v3(
    *, width: float = 1.0, classes: int = 1000, resolutions: Sequence[int] = (224,), channels: int = 3
) -> Space:
    """Return the published Once-for-All space: 2.18e19 architectures for each resolution.

    Args:
        width: Width multiplier; published supernets have 1.0 and 1.2.
        classes: Number of outputs.
        resolutions: Image sizes in pixels; published are the multiples of 4 from 128 to 224.
        channels: Channels of an image.
    """
    if not 0 < width <= 64:
        raise FieldError("width", f"must be more than 0 and at most 64, got {width:g}")
    stem, first, *stages, last, feature = (
        make_divisible(base * width) for base in (16, 16, 24, 40, 80, 112, 160, 960, 1280)
    )
    return _space(
        "ofa_mobilenet_v3",
        MobileNetV3(
            channels=channels,
            classes=classes,
            resolutions=tuple(sorted(resolutions)),
            stem_width=stem,
            stem_stride=2,
            first_width=first,
            stage_widths=tuple(stages),
            strides=(2, 2, 2, 1, 2),
            depths=((2, 3, 4),) * 5,
            activations=("relu", "relu", "h_swish", "h_swish", "h_swish"),
            squeeze_excite=(False, True, False, True, True),
            kernels=(3, 5, 7),
            expands=(3, 4, 6),
            last_width=last,
            feature_width=feature,
            dropout=0.1,
        ),
    )


def small_mobilenet_v3(
    *,
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
    stem_width: int = 16,
    stem_stride: int = 1,
    first_width: int = 16,
    stage_widths: Sequence[int] = (24, 40, 80),
    strides: Sequence[int] = (2, 2, 2),
    depths: Sequence[int] | Sequence[Sequence[int]] = (1, 2, 3),
    kernels: Sequence[int] = (3, 5, 7),
    expands: Sequence[int] = (2, 3, 4),
    squeeze_excite: Sequence[bool] | None = None,
    activations: Sequence[str] | None = None,
    last_width: int = 160,
    feature_width: int = 256,
    dropout: float = 0.0,
) -> Space:
    """Return MobileNetV3 for small images: the Once-for-All network with other numbers.

    Args:
        image_size: Pixels of the square images, 8 to 64.
        channels: 1 for grey, 3 for colour.
        classes: Number of outputs.
        stem_width, stem_stride, first_width: Channels and stride of the stem, and channels of the first, fixed block.
        stage_widths: Output channels of each stage; their number is the number of stages.
        strides: Stride of the first block of each stage.
        depths: Depth choices, shared by all stages or one list for each.
        kernels: Kernel sizes of the depthwise convolutions.
        expands: Expand ratios.
        squeeze_excite: Whether each stage has squeeze-excite; by default every stage but the first.
        activations: `relu` or `h_swish` for each stage; by default ReLU in the first half.
        last_width, feature_width: Channels of the head before and after pooling.
        dropout: Dropout before the classifier.
    """
    if not 8 <= image_size <= 64:
        raise FieldError("image_size", f"must be from 8 to 64 pixels, got {image_size}; larger: ofa_mobilenet_v3")
    stages = len(stage_widths)
    return _space(
        "small_mobilenet_v3",
        MobileNetV3(
            channels=channels,
            classes=classes,
            resolutions=(image_size,),
            stem_width=stem_width,
            stem_stride=stem_stride,
            first_width=first_width,
            stage_widths=tuple(stage_widths),
            strides=tuple(strides),
            depths=_per_stage(depths, stages),
            activations=tuple(activations or ["relu" if s < stages / 2 else "h_swish" for s in range(stages)]),
            squeeze_excite=tuple(squeeze_excite if squeeze_excite is not None else [s > 0 for s in range(stages)]),
            kernels=tuple(sorted(kernels)),
            expands=tuple(sorted(expands)),
            last_width=last_width,
            feature_width=feature_width,
            dropout=dropout,
        ),
    )


def from_ofa_lists(
    space: Space, ks: Sequence[int], e: Sequence[int], d: Sequence[int], resolution: int | None = None
) -> Architecture:
    """Return the architecture that published code writes as lists: kernel sizes and expand ratios of the blocks, stage
    by stage with four entries each, and the depth of each stage."""
    blocks = len(ks) // len(d)
    values: dict[str, Choice] = {"resolution": resolution or space.largest()["resolution"]}
    for s, depth in enumerate(d):
        values[f"stage{s + 1}.depth"] = depth
        for b in range(depth):
            values[f"stage{s + 1}.block{b + 1}.kernel"] = ks[s * blocks + b]
            values[f"stage{s + 1}.block{b + 1}.expand"] = e[s * blocks + b]
    return space.architecture(values)
