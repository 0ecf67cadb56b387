"""Networks of several resolutions side by side, whose blocks have parallel paths of kernels 3, 5 and 7.

Paper: SuperTickets, arXiv 2207.03677, and HR-NAS, arXiv 2106.06560, whose space it is: each path of each block keeps
any number of channels, and disappears without them.
Differs: no transformer paths. Norms have torch's momentum and epsilon. The last linear layer can be pruned as well.
Pixels of a dense prediction are those of the image; released are those that leave the stem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from search_spaces import costs
from search_spaces.architecture import Choice, InvalidArchitecture
from search_spaces.errors import FieldError
from search_spaces.families.hr_multibranch_blocks import MultiKernel, Stage, made_plain
from search_spaces.inputs import images
from search_spaces.limits import MOST_CHANNELS, MOST_LAYERS, MOST_OF_IMAGES, check_fields, check_most
from search_spaces.places import Block, Place, fixed
from search_spaces.sizes import strided
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.networks.hr_multibranch_network import ClassHead, DenseHead

Stages = Sequence[Sequence[Sequence[int]]]
HEADS = ("classes", "dense")


@dataclass(frozen=True)
class _Preset:
    """The sizes of a network where they are not given."""

    stem_widths: tuple[int, ...]
    stages: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    head_widths: tuple[int, ...]
    last_width: Mapping[str, int]
    stride: int
    expand: int


_LAST = ((2, 2, 3, 4), (18, 36, 72, 144))
PRESETS = {
    "small": _Preset((16,), (((1,), (16,)), ((1, 1), (16, 32))), (32, 64), {"classes": 128, "dense": 64}, 2, 2),
    "published": _Preset(
        stem_widths=(24, 24),
        stages=(((1,), (24,)), ((2, 2), (18, 36)), ((2, 2, 3), (18, 36, 72)), _LAST, _LAST),
        head_widths=(36, 72, 144, 320),
        last_width={"classes": 1600, "dense": 180},
        stride=4,
        expand=4,
    ),
}
_MOST = {"kernels": 15, "expand": 64, "last_width": MOST_CHANNELS}
_MOST_STAGES = 16
_STAGES_NEED = "pairs of blocks and channels of each resolution: 1 in the first stage, then as many or 1 more"


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """The numbers that no decision changes, see `hr_multibranch`."""

    stem_widths: tuple[int, ...]
    stages: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    head_widths: tuple[int, ...]
    last_width: int
    stride: int
    expand: int
    kernels: tuple[int, ...]
    head: str
    image_size: int
    channels: int
    classes: int

    def __post_init__(self) -> None:
        check_most(self, {**_MOST, **MOST_OF_IMAGES, "stem_widths": MOST_CHANNELS, "head_widths": MOST_CHANNELS})
        odd = bool(self.kernels) and all(kernel % 2 == 1 for kernel in self.kernels)
        odd = odd and len(set(self.kernels)) == len(self.kernels) and min(self.kernels) > 0
        limits: list[tuple[str, bool, str]] = [
            ("stride", self.stride in (1, 2, 4), "1, 2 or 4"),
            ("expand", self.expand >= 1, "at least 1"),
            ("kernels", odd, "different odd numbers"),
            ("channels", self.channels >= 1, "at least 1"),
            ("classes", self.classes >= 2, "at least 2"),
            ("last_width", self.last_width >= 1, "at least 1"),
            ("stem_widths", len(self.stem_widths) == self._stem_layers and min(self.stem_widths) > 0, self._stem_needs),
            ("stages", self._stages_fit(), _STAGES_NEED),
        ]
        check_fields(self, limits)
        resolutions = len(self.stages[-1][0])
        if len(self.head_widths) != resolutions or min(self.head_widths) < 1:
            raise FieldError("head_widths", f"must be {_numbers(resolutions)}, got {self.head_widths}")
        least = self.stride * 2 ** (resolutions - 1)
        if self.image_size < least or self.image_size % self.stride:
            allowed = f"at least {least} and divisible by {self.stride}"
            raise FieldError("image_size", f"must be {allowed}, got {self.image_size}")

    @property
    def _stem_layers(self) -> int:
        return 2 if self.stride == 4 else 1

    @property
    def _stem_needs(self) -> str:
        return f"{_numbers(self._stem_layers)} where the stride is {self.stride}"

    def _stages_fit(self) -> bool:
        before, most = 0, (MOST_LAYERS, MOST_CHANNELS)
        for stage in self.stages:
            if len(stage) != 2 or len(stage[0]) != len(stage[1]) or len(stage[0]) not in (max(before, 1), before + 1):
                return False
            if any(not 1 <= number <= limit for part, limit in zip(stage, most) for number in part):
                return False
            before = len(stage[0])
        return 1 <= len(self.stages) <= _MOST_STAGES

    # ---- blocks -----------------------------------------------------------------------------------------------------

    @property
    def sides(self) -> list[int]:
        """Pixels of one side of each resolution."""
        sides = [self.image_size // self.stride]
        while len(sides) < len(self.stages[-1][0]):
            sides.append(strided(sides[-1], 2))
        return sides

    def _block(self, name: str, widths: tuple[int, int], resolution: int, stride: int = 1) -> MultiKernel:
        channels, side = widths[0] * self.expand, self.sides[resolution]
        return MultiKernel(
            name=name,
            in_width=widths[0],
            width=widths[1],
            channels=channels,
            kernels=self.kernels,
            side=side,
            stride=stride,
        )

    def layout(self) -> list[Stage]:
        """Return the stages."""
        stages = list[Stage]()
        before: tuple[int, ...] = (self.stem_widths[-1],)
        for number, (depths, widths) in enumerate(self.stages, start=1):
            name, further = f"stage{number}", None
            fused = tuple(self._fused(f"{name}.fuse{to}", before, to, widths[to]) for to in range(len(before)))
            if len(widths) > len(before):
                further = self._block(f"{name}.further", (widths[-2], widths[-1]), len(before) - 1, 2)
            rows = tuple(
                tuple(self._block(f"{name}.row{i}.block{b}", (width, width), i) for b in range(1, depth + 1))
                for i, (depth, width) in enumerate(zip(depths, widths))
            )
            stages.append(Stage(fused=fused, further=further, rows=rows))
            before = widths
        return stages

    def _fused(self, name: str, before: Sequence[int], to: int, width: int) -> dict[int, MultiKernel]:
        """Return the blocks that bring neighbouring resolutions to one."""
        sources = [source for source in (to - 1, to, to + 1) if 0 <= source < len(before)]
        return {
            source: self._block(f"{name}from{source}", (before[source], width), source, 2 if source < to else 1)
            for source in sources
        }

    def head_blocks(self) -> list[MultiKernel]:
        """Return the blocks of the head as they run."""
        widths = self.stages[-1][1]
        if self.head == "dense":
            return [self._block("head.mix", (sum(widths), self.last_width), 0)]
        first, *others = (
            self._block(f"head.increase{i}", pair, i) for i, pair in enumerate(zip(widths, self.head_widths))
        )
        down = [
            self._block(f"head.down{i}", (self.head_widths[i], self.head_widths[i + 1]), i, 2)
            for i in range(len(others))
        ]
        return [first, *(block for pair in zip(others, down) for block in pair)]

    @property
    def blocks(self) -> list[MultiKernel]:
        """All blocks as they run."""
        return [*(block for stage in self.layout() for block in stage.blocks), *self.head_blocks()]

    # ---- networks ---------------------------------------------------------------------------------------------------

    def supernet(self) -> nn.Module:
        """Return the network whose blocks follow an architecture."""
        from search_spaces.networks.hr_multibranch_network import HRNetwork, initialise

        stages = [part for stage in self.layout() for part in stage.modules()]
        return initialise(HRNetwork(self._stem(), stages, self._head()))

    def _stem(self) -> nn.Module:
        from search_spaces.networks.hr_multibranch_network import stem

        return stem(self._stem_sizes)

    @property
    def _stem_sizes(self) -> list[tuple[int, int, int]]:
        """Channels in and out and the stride of each convolution of the stem."""
        strides = (2, 2) if self.stride == 4 else (self.stride,)
        return list(zip((self.channels, *self.stem_widths), self.stem_widths, strides))

    def _head(self) -> ClassHead | DenseHead:
        from search_spaces.networks import hr_multibranch_network as network

        modules = [block.module() for block in self.head_blocks()]
        if self.head == "dense":
            return network.dense_head(modules[0], self.last_width, self.classes, self.stride)
        increase, down = [modules[0], *modules[1::2]], modules[2::2]
        return network.class_head(increase, down, self.head_widths[-1], self.last_width, self.classes)

    def places(self) -> list[Place]:
        """Return the places of stem, blocks and the rest of the head."""
        places, side = list[Place](), self.image_size
        for before, after, stride in self._stem_sizes:
            build = partial(made_plain, partial(_convolved, before, after, 3, stride))
            shape, side = (before, side, side), strided(side, stride)
            count = partial(costs.conv_norm, before, after, 3, pixels=side**2)
            places.append(fixed(Block(f"stem {before}-{after} s{stride}", shape, build, count)))
        places += [place for block in self.blocks for place in block.places()]
        return [*places, *(fixed(block) for block in self._last_blocks())]

    def _last_blocks(self) -> list[Block]:
        width, side = self.last_width, self.sides[0]
        if self.head == "dense":
            build = partial(made_plain, partial(_pixel_classifier, width, self.classes))
            count = partial(costs.convolution, width, self.classes, pixels=side**2, bias=True)
            return [Block(f"pixels {width}-{self.classes}", (width, side, side), build, count)]
        before, side = self.head_widths[-1], self.sides[-1]
        build = partial(made_plain, partial(_convolved, before, width, 1, 1))
        count = partial(costs.conv_norm, before, width, pixels=side**2)
        last = Block(f"last {before}-{width}", (before, side, side), build, count)
        build, count = partial(_classifier, width, self.classes), partial(costs.linear, width, self.classes)
        return [last, Block(f"classes {width}-{self.classes}", (width, 1, 1), build, count)]

    # ---- strings ----------------------------------------------------------------------------------------------------

    def parse(self, paths: str) -> dict[str, Choice]:
        """Return the decisions of the channels of all paths, such as ``64-12-0 0-0-0``: one word a block.

        Raises:
            InvalidArchitecture: They are not as many words as there are blocks, or not as many numbers as paths.
        """
        blocks, words = self.blocks, paths.split()
        values: dict[str, Choice] = {}
        if len(words) != len(blocks):
            raise InvalidArchitecture(f"paths must be {len(blocks)} words such as 64-12-0, got {len(words)}")
        for block, word in zip(blocks, words):
            numbers = word.split("-")
            if len(numbers) != len(self.kernels) or not all(number.isdecimal() for number in numbers):
                raise InvalidArchitecture(f"paths of {block.name} must be {len(self.kernels)} numbers, got {word!r}")
            values[block.name] = int(any(int(number) for number in numbers))
            values |= {block.of(kernel): int(number) for kernel, number in zip(self.kernels, numbers)}
        return values


def _numbers(count: int) -> str:
    return "1 number of channels" if count == 1 else f"{count} numbers of channels"


def _convolved(in_width: int, width: int, kernel: int, stride: int) -> nn.Module:
    from search_spaces.networks.hr_multibranch_network import convolved

    return convolved(in_width, width, kernel, stride=stride)


def _classifier(width: int, classes: int) -> nn.Module:
    from torch import nn

    from search_spaces.blocks import PixelMean

    return nn.Sequential(PixelMean(), nn.Linear(width, classes))


def _pixel_classifier(width: int, classes: int) -> nn.Module:
    from torch import nn

    return nn.Conv2d(width, classes, 1)


def hr_multibranch(
    *,
    network: str = "small",
    stages: Stages | None = None,
    stem_widths: Sequence[int] | None = None,
    head_widths: Sequence[int] | None = None,
    last_width: int | None = None,
    stride: int | None = None,
    expand: int | None = None,
    kernels: Sequence[int] = (3, 5, 7),
    head: str = "classes",
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
) -> Space:
    """Return the space of the channels that each path of each block keeps.

    Args:
        network: Sizes of what is not given: `small`, for images of 32 pixels and one processor; or `published`.
        stages: Blocks and channels of each resolution, stage by stage, as pairs of lists: ``[[1, 1], [16, 32]]`` are
            two resolutions, the second with half the pixels.
        stem_widths: Channels of the convolutions of the stem: two where the stride is 4, else one.
        head_widths: Channels that the head of a classifier gives each resolution.
        last_width: Channels in front of the last layer; published is 1600 for classes and 180 for a dense prediction.
        stride: 1, 2 or 4: pixels of the image for one of the highest resolution; 2 for `small`, 4 for `published`.
        expand: Channels inside each path for each channel that enters; 2 for `small`, 4 for `published`.
        kernels: Kernels of the paths of each block.
        head: `classes`, or `dense` for a class of every pixel.
        image_size: Pixels of the square images.
        channels: Channels of an image.
        classes: Number of outputs.
    """
    if network not in PRESETS:
        raise FieldError("network", f"must be one of {', '.join(PRESETS)}, got {network!r}")
    if head not in HEADS:
        raise FieldError("head", f"must be one of {', '.join(HEADS)}, got {head!r}")
    preset = PRESETS[network]
    usual = preset.head_widths if stages is None else [2 * width for width in list(stages[-1])[-1]]
    skeleton = Skeleton(
        stages=tuple(tuple(tuple(part) for part in stage) for stage in stages or preset.stages),  # type: ignore[misc]
        stem_widths=tuple(stem_widths or preset.stem_widths),
        head_widths=tuple(head_widths or usual),
        last_width=preset.last_width[head] if last_width is None else last_width,
        stride=preset.stride if stride is None else stride,
        expand=preset.expand if expand is None else expand,
        kernels=tuple(kernels),
        head=head,
        image_size=image_size,
        channels=channels,
        classes=classes,
    )
    return Space(
        name="hr_multibranch",
        decisions=tuple(decision for block in skeleton.blocks for decision in block.decisions()),
        inputs=images(channels, image_size),
        build=skeleton.supernet,
        places=skeleton.places,
        formats={("paths",): skeleton.parse},
    )
