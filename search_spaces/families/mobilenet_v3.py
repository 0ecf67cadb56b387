"""Once-for-All MobileNetV3: elastic kernel size, width (expand ratio), depth and resolution.

Paper: Once-for-All, arXiv 1908.09791, section 3 and appendix A.
Differs: nothing known for `ofa_mobilenet_v3`. `small_mobilenet_v3` is the same network with other numbers, for images
of 8 to 64 pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import isqrt
from typing import cast

import numpy as np
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.blocks import (
    ACTIVATIONS,
    ConvNormAct,
    InvertedResidual,
    PixelMean,
    SqueezeExcite,
    inverted_residual_cost,
)
from search_spaces.elastic import (
    AnySize,
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticDepth,
    ElasticLinear,
    ElasticResize,
    Size,
)
from search_spaces.errors import FieldError
from search_spaces.inputs import images
from search_spaces.places import Block, Place
from search_spaces.plain import plain
from search_spaces.sizes import make_divisible, strided
from search_spaces.space import Columns, Space


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
        for field in ("strides", "depths", "activations", "squeeze_excite"):
            if len(getattr(self, field)) != stages:
                raise FieldError(field, f"needs one entry for each of {stages} stages, got {getattr(self, field)}")
        limits: list[tuple[str, bool, str]] = [
            ("channels", self.channels >= 1, "at least 1"),
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
        """Resolution, then for each stage its depth and the kernel size and expand ratio of its blocks."""
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
        """Channels that enter a block; stages and blocks count from 1."""
        if block > 1:
            return self.stage_widths[stage - 1]
        return self.stage_widths[stage - 2] if stage > 1 else self.first_width

    def middle_width(self, stage: int, block: int, expand: Choice) -> int:
        """Channels inside a block."""
        return make_divisible(round(self.in_width(stage, block) * float(expand)))

    def parse_lists(self, ks: str, e: str, d: str, resolution: str = "") -> dict[str, Choice]:
        """The decisions of the published lists, each written as numbers with blanks between: kernel sizes and expand
        ratios of all blocks, stage by stage, and the depth of each stage; the largest resolution unless given.

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

    # ---- the network ----------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        """The network of the largest architecture, with elastic leaves and fresh weights."""
        return MobileNetV3Network(self)

    def places(self) -> list[Place]:
        """Stem, first block, the blocks of all stages, head."""
        places = [Place(("resolution",), self._stem_block), Place(("resolution",), self._first_block)]
        for stage, depths in enumerate(self.depths, start=1):
            for block in range(1, max(depths) + 1):
                names = (f"stage{stage}.block{block}.kernel", f"stage{stage}.block{block}.expand")
                decisions = ("resolution", f"stage{stage}.depth", *names)
                places.append(Place(decisions, partial(self._stage_block, (stage, block))))
        return [*places, Place(("resolution",), self._head_block)]

    def _stem_block(self, resolution: int) -> Block:
        arguments = (self.channels, self.stem_width, 3, self.stem_stride, "h_swish")
        name = "stem {}-{} k{} s{} {}".format(*arguments)
        return Block(name, (self.channels, resolution, resolution), lambda: plain(lambda: _conv_norm_act(*arguments)))

    def _first_block(self, resolution: int) -> Block:
        size = strided(resolution, self.stem_stride)
        name = f"first {self.stem_width}-{self.first_width}"
        return Block(name, (self.stem_width, size, size), lambda: plain(lambda: _first(self)))

    def _stage_block(
        self, place: tuple[int, int], resolution: int, depth: int, kernel: int, expand: Choice
    ) -> Block | None:
        stage, block = place
        if block > depth:
            return None
        widths = (self.in_width(stage, block), self.middle_width(stage, block, expand), self.stage_widths[stage - 1])
        stride = self.strides[stage - 1] if block == 1 else 1
        squeeze, activation = self.squeeze_excite[stage - 1], self.activations[stage - 1]
        size = isqrt(self._pixels(stage, block, resolution)[0])
        name = f"mb {'-'.join(map(str, widths))} k{kernel} s{stride} {activation}{' se' if squeeze else ''}"
        build = partial(
            _inverted_residual,
            *widths,
            kernel=kernel,
            stride=stride,
            activation=activation,
            hidden=make_divisible(widths[1] // 4) if squeeze else None,
            expands=True,
        )
        return Block(name, (widths[0], size, size), lambda: plain(build))

    def _head_block(self, resolution: int) -> Block:
        size = isqrt(self._pixels(len(self.strides), 2, resolution)[1])
        widths = (self.stage_widths[-1], self.last_width, self.feature_width, self.classes)

        def build() -> nn.Module:
            last, feature, classifier = _head(self)
            return nn.Sequential(last, PixelMean(keepdim=True), feature, nn.Flatten(), classifier)

        return Block(f"head {'-'.join(map(str, widths))}", (widths[0], size, size), lambda: plain(build))

    def _block(self, stage: int, block: int) -> InvertedResidual:
        name = f"stage{stage}.block{block}"
        in_width, out_width = self.in_width(stage, block), self.stage_widths[stage - 1]
        middle = Size(f"{name}.expand", {e: self.middle_width(stage, block, e) for e in self.expands})
        hidden = Size(f"{name}.expand", {e: make_divisible(m // 4) for e, m in middle.values.items()})
        stride = self.strides[stage - 1] if block == 1 else 1
        return _inverted_residual(
            in_width,
            middle,
            out_width,
            kernel=Size(f"{name}.kernel", {k: k for k in self.kernels}),
            stride=stride,
            activation=self.activations[stage - 1],
            hidden=hidden if self.squeeze_excite[stage - 1] else None,
            expands=True,
        )

    # ---- exact cost -----------------------------------------------------------------------------------------------

    def cost(self, columns: Columns) -> dict[str, np.ndarray]:
        """Exact costs: parameters with batch-norm weights and biases; MACs of convolutions and linear layers."""
        resolutions = columns["resolution"]
        params = np.full(len(resolutions), self._fixed_cost(self.resolutions[0])[0], dtype=np.int64)
        macs = np.zeros(len(resolutions), dtype=np.int64)
        for resolution in np.unique(resolutions):
            macs[resolutions == resolution] = self._fixed_cost(int(resolution))[1]
        for (stage, block), (block_params, block_macs) in self._block_costs.items():
            name = f"stage{stage}.block{block}"
            runs = columns[f"stage{stage}.depth"] >= block
            kernel = np.searchsorted(self.kernels, columns[f"{name}.kernel"])
            expand = np.searchsorted(self.expands, columns[f"{name}.expand"])
            size = np.searchsorted(self.resolutions, resolutions)
            params += np.where(runs, block_params[kernel, expand], 0)
            macs += np.where(runs, block_macs[size, kernel, expand], 0)
        return {"params": params, "macs": macs}

    @cached_property
    def _block_costs(self) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
        """(stage, block) -> parameters [kernels, expands] and MACs [resolutions, kernels, expands]."""
        tables = {}
        for stage, depths in enumerate(self.depths, start=1):
            for block in range(1, max(depths) + 1):
                cells = np.array(
                    [
                        [[self._block_cost(stage, block, k, e, r) for e in self.expands] for k in self.kernels]
                        for r in self.resolutions
                    ],
                    dtype=np.int64,
                )
                tables[stage, block] = (cells[0, :, :, 0], cells[:, :, :, 1])
        return tables

    def _block_cost(self, stage: int, block: int, kernel: int, expand: int, resolution: int) -> tuple[int, int]:
        pixels = self._pixels(stage, block, resolution)
        middle = self.middle_width(stage, block, expand)
        squeeze = make_divisible(middle // 4) if self.squeeze_excite[stage - 1] else 0
        widths = (self.in_width(stage, block), middle, self.stage_widths[stage - 1])
        return inverted_residual_cost(widths, pixels, kernel=kernel, squeeze=squeeze, expands=True)

    def _pixels(self, stage: int, block: int, resolution: int) -> tuple[int, int]:
        """Pixels of the square images that enter and leave a block."""
        size = strided(resolution, self.stem_stride)
        for stride in self.strides[: stage - 1]:
            size = strided(size, stride)
        after = strided(size, self.strides[stage - 1])
        return (size * size if block == 1 else after * after), after * after

    def _fixed_cost(self, resolution: int) -> tuple[int, int]:
        """Parameters and MACs of what every architecture has: stem, first block and head."""
        stem = strided(resolution, self.stem_stride) ** 2
        last = self._pixels(len(self.strides), 2, resolution)[1]
        widths = (self.stem_width, self.stem_width, self.first_width)
        first = inverted_residual_cost(widths, (stem, stem), kernel=3, squeeze=0, expands=False)
        stem_weights = 9 * self.channels * self.stem_width
        head_weights = self.stage_widths[-1] * self.last_width
        feature_weights = self.last_width * self.feature_width
        classifier = self.feature_width * self.classes
        params = stem_weights + 2 * self.stem_width + first[0] + head_weights + 2 * self.last_width
        params += feature_weights + classifier + self.classes
        return params, stem_weights * stem + first[1] + head_weights * last + feature_weights + classifier


class MobileNetV3Network(nn.Module):
    """Resize, stem, first block, stages, head; images [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, config: MobileNetV3) -> None:
        super().__init__()
        self.resize = ElasticResize(Size("resolution", {r: r for r in config.resolutions}))
        self.stem = _conv_norm_act(config.channels, config.stem_width, 3, config.stem_stride, "h_swish")
        self.first = _first(config)
        self.stages = nn.Sequential(
            *(
                ElasticDepth(
                    (config._block(s, b) for b in range(1, max(depths) + 1)),
                    Size(f"stage{s}.depth", {d: d for d in depths}),
                )
                for s, depths in enumerate(config.depths, start=1)
            )
        )
        self.last, self.feature, classifier = _head(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.stages(self.first(self.stem(self.resize(x)))))
        x = self.feature(x.mean((2, 3), keepdim=True)).flatten(1)
        return self.classifier(self.dropout(x))

    def blocks(self) -> list[nn.Module]:
        """The modules whose outputs are the successive feature maps: stem and the blocks that run."""
        stages = cast(Iterable[Iterable[nn.Module]], self.stages)
        return [self.stem, self.first, *(block for stage in stages for block in stage)]


def _first(config: MobileNetV3) -> InvertedResidual:
    """The fixed block after the stem."""
    return _inverted_residual(
        config.stem_width,
        config.stem_width,
        config.first_width,
        kernel=3,
        stride=1,
        activation="relu",
        hidden=None,
        expands=False,
    )


def _head(config: MobileNetV3) -> tuple[ConvNormAct, ConvNormAct, ElasticLinear]:
    """What follows the stages: a convolution before the mean over pixels, one behind it, the classifier."""
    last = _conv_norm_act(config.stage_widths[-1], config.last_width, 1, 1, "h_swish")
    feature = ConvNormAct(ElasticConv2d(config.last_width, config.feature_width), None, "h_swish")
    return last, feature, ElasticLinear(config.feature_width, config.classes)


def _numbers(field: str, text: str, length: int) -> list[int]:
    """Whole numbers with blanks between."""
    try:
        numbers = [int(entry) for entry in text.split()]
    except ValueError as error:
        raise InvalidArchitecture(f"{field} = {text!r} must be whole numbers with blanks between") from error
    if len(numbers) != length:
        raise InvalidArchitecture(f"{field} = {text!r} must have {length} entries, got {len(numbers)}")
    return numbers


def _conv_norm_act(
    in_size: AnySize,
    out_size: AnySize,
    kernel: AnySize,
    stride: int,
    activation: str | None,
    *,
    depthwise: bool = False,
) -> ConvNormAct:
    conv = ElasticConv2d(in_size, out_size, kernel=kernel, stride=stride, depthwise=depthwise)
    return ConvNormAct(conv, ElasticBatchNorm2d(out_size), activation)


def _inverted_residual(
    in_width: int,
    middle: AnySize,
    out_width: int,
    *,
    kernel: AnySize,
    stride: int,
    activation: str,
    hidden: AnySize | None,
    expands: bool,
) -> InvertedResidual:
    squeeze_excite = None
    if hidden is not None:
        squeeze_excite = SqueezeExcite(
            ElasticConv2d(middle, hidden, bias=True), ElasticConv2d(hidden, middle, bias=True)
        )
    return InvertedResidual(
        _conv_norm_act(in_width, middle, 1, 1, activation) if expands else None,
        _conv_norm_act(middle, middle, kernel, stride, activation, depthwise=True),
        squeeze_excite,
        _conv_norm_act(middle, out_width, 1, 1, None),
        shortcut=stride == 1 and in_width == out_width,
    )


def _space(name: str, config: MobileNetV3) -> Space:
    return Space(
        name=name,
        decisions=config.decisions(),
        inputs=images(config.channels, config.resolutions[-1], follows="resolution"),
        classes=config.classes,
        build=config.build,
        cost=config.cost,
        places=config.places,
        formats={("ks", "e", "d", "resolution"): config.parse_lists, ("ks", "e", "d"): config.parse_lists},
    )


def _per_stage(value: Sequence, stages: int) -> tuple:
    """One entry a stage, from a list of entries or from one entry that all stages share."""
    shared = not any(isinstance(entry, Sequence) for entry in value)
    entries = [value] * stages if shared else value
    return tuple(tuple(sorted(entry)) for entry in entries)


def ofa_mobilenet_v3(
    *, width: float = 1.0, classes: int = 1000, resolutions: Sequence[int] = (224,), channels: int = 3
) -> Space:
    """The published Once-for-All space: 2.18e19 architectures for each resolution.

    Args:
        width: Width multiplier; published supernets have 1.0 and 1.2.
        classes: Number of outputs.
        resolutions: Image sizes in pixels; published are the multiples of 4 from 128 to 224.
        channels: Channels of an image.
    """
    if width <= 0:
        raise FieldError("width", f"must be more than 0, got {width}")
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
    """MobileNetV3 for small images: the Once-for-All network with other numbers.

    Args:
        image_size: Pixels of the square images, 8 to 64.
        channels: 1 for grey, 3 for colour.
        classes: Number of outputs.
        stem_width, stem_stride, first_width: Of the stem and of the first, fixed block.
        stage_widths: Output channels of each stage; their number is the number of stages.
        strides: Stride of the first block of each stage.
        depths: Depth choices, shared by all stages or one list for each.
        kernels: Kernel sizes of the depthwise convolutions.
        expands: Expand ratios.
        squeeze_excite: Whether each stage has squeeze-excite; by default every stage but the first.
        activations: `relu` or `h_swish` for each stage; by default ReLU in the first half.
        last_width, feature_width: Channels of the head before and after pooling.
        dropout: Before the classifier.
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
    """The architecture that published code writes as lists: kernel sizes and expand ratios of the blocks, stage by
    stage with four entries each, and the depth of each stage."""
    blocks = len(ks) // len(d)
    values: dict[str, Choice] = {"resolution": resolution or space.largest()["resolution"]}
    for s, depth in enumerate(d):
        values[f"stage{s + 1}.depth"] = depth
        for b in range(depth):
            values[f"stage{s + 1}.block{b + 1}.kernel"] = ks[s * blocks + b]
            values[f"stage{s + 1}.block{b + 1}.expand"] = e[s * blocks + b]
    return space.architecture(values)
