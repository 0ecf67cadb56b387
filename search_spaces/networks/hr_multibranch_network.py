"""The networks of several resolutions, see `search_spaces.families.hr_multibranch`."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks import ConvNormAct, PixelMean
from search_spaces.elastic import Branch, ElasticBatchNorm2d, ElasticBranches, MaskedConv2d, MaskedLinear, Size


class Fuse(nn.Module):
    """Feature maps of neighbouring resolutions, brought to each other's size and added; one more by halving the last.

    Args:
        blocks: For each output, block by the number of the input that it reads.
        further: Block that makes the next lower resolution from the last output; None for none.
    """

    def __init__(self, blocks: Sequence[Mapping[int, nn.Module]], further: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleDict({f"from{i}": block for i, block in of.items()}) for of in blocks)
        self.sources = [tuple(of) for of in blocks]
        self.activations = nn.ModuleList(nn.ReLU() for _ in blocks)
        self.further = further

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        fused = []
        for number, (sources, blocks) in enumerate(zip(self.sources, self.blocks)):
            total: Tensor | None = None
            for source, block in zip(sources, blocks.children()):
                out = block(maps[source])
                if source > number:
                    out = F.interpolate(out, size=maps[number].shape[2:])
                total = out if total is None else total + out
            fused.append(self.activations[number](total))
        if self.further is not None:
            fused.append(self.further(fused[-1]))
        return fused


class Parallel(nn.Module):
    """Blocks in a row for each resolution."""

    def __init__(self, rows: Sequence[Sequence[nn.Module]]) -> None:
        super().__init__()
        self.rows = nn.ModuleList(nn.Sequential(*row) for row in rows)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [row(one) for row, one in zip(self.rows, maps)]


class ClassHead(nn.Module):
    """Feature maps, the largest first -> logits [B, classes]: more channels, then down to the lowest resolution."""

    def __init__(
        self, increase: Sequence[nn.Module], down: Sequence[nn.Module], last: nn.Module, classifier: nn.Module
    ) -> None:
        super().__init__()
        self.increase, self.down = nn.ModuleList(increase), nn.ModuleList(down)
        self.last, self.mean, self.dropout, self.classifier = last, PixelMean(), nn.Dropout(0.2), classifier

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.increase[0](maps[0])
        for number, down in enumerate(self.down, start=1):
            x = self.increase[number](maps[number]) + down(x)
        return self.classifier(self.dropout(self.mean(self.last(x))))

    def blocks(self) -> list[nn.Module]:
        """Return the modules that give feature maps, as they run."""
        pairs = zip(self.increase[1:], self.down)
        return [self.increase[0], *(block for pair in pairs for block in pair), self.last]


class DenseHead(nn.Module):
    """Feature maps, the largest first -> logits [B, classes, H, W] of every pixel of the image."""

    def __init__(self, mix: nn.Module, classifier: nn.Module, scale: int) -> None:
        super().__init__()
        self.mix, self.classifier, self.scale = mix, classifier, scale

    def forward(self, maps: list[Tensor]) -> Tensor:
        size = maps[0].shape[2:]
        others = [F.interpolate(one, size=size, mode="bilinear", align_corners=False) for one in maps[1:]]
        logits = self.classifier(self.mix(torch.cat([maps[0], *others], dim=1)))
        if self.scale == 1:
            return logits
        return F.interpolate(logits, scale_factor=self.scale, mode="bilinear", align_corners=False)

    def blocks(self) -> list[nn.Module]:
        """Return the modules that give feature maps, as they run."""
        return [self.mix]


class HRNetwork(nn.Module):
    """Stem, stages of several resolutions, head; images [B, C, H, W] -> what the head gives."""

    def __init__(self, stem: nn.Module, stages: Sequence[nn.Module], head: ClassHead | DenseHead) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.stem(x)]
        for stage in self.stages:
            maps = stage(maps)
        return self.head(maps)

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive feature maps, as they run."""
        found = [self.stem]
        for stage in self.stages:
            if isinstance(stage, Fuse):
                found += [block for of in stage.blocks for block in of.children()]
                found += [] if stage.further is None else [stage.further]
            elif isinstance(stage, Parallel):
                found += [block for row in stage.rows for block in row.children()]
        return [*found, *self.head.blocks()]


# ---- parts ----------------------------------------------------------------------------------------------------------


def convolved(in_width: int, width: int, kernel: int, *, stride: int = 1) -> ConvNormAct:
    """Return a masked convolution with norm and ReLU."""
    conv = MaskedConv2d(in_width, width, kernel=kernel, stride=stride)
    return _with_relu(ConvNormAct(conv, ElasticBatchNorm2d(width)))


def stem(widths: Sequence[tuple[int, int, int]]) -> nn.Sequential:
    """Return the first convolutions; `widths` are the channels in and out and the stride of each."""
    return nn.Sequential(*(convolved(before, after, 3, stride=stride) for before, after, stride in widths))


def branch(width: int, out_width: int, channels: int, decision: str, *, kernel: int, stride: int) -> Branch:
    """Return a path with up to so many channels inside, the number of which a decision says."""
    size = Size(decision, {number: number for number in range(channels + 1)})
    depthwise = MaskedConv2d(size, size, kernel=kernel, stride=stride, depthwise=True)
    return Branch(
        _with_relu(ConvNormAct(MaskedConv2d(width, size), ElasticBatchNorm2d(size))),
        _with_relu(ConvNormAct(depthwise, ElasticBatchNorm2d(size))),
        MaskedConv2d(size, out_width),
    )


def block(decision: str, paths: Mapping[str, Branch], width: int, shortcut: nn.Module) -> ElasticBranches:
    """Return a block with these paths by the decisions that say their channels."""
    return ElasticBranches(decision, paths, ElasticBatchNorm2d(width), shortcut)


def shortcut(in_width: int, width: int, *, stride: int, groups: int) -> nn.Module:
    """Return what stands beside the paths of a block that changes the shape."""
    return MaskedConv2d(in_width, width, stride=stride, groups=groups)


def class_head(
    increase: Sequence[nn.Module], down: Sequence[nn.Module], in_width: int, width: int, classes: int
) -> ClassHead:
    """Return the head of a classifier; `width` are its channels in front of the last layer."""
    return ClassHead(increase, down, convolved(in_width, width, 1), MaskedLinear(width, classes))


def dense_head(mix: nn.Module, width: int, classes: int, scale: int) -> DenseHead:
    """Return the head that says a class of every pixel; `scale` is the stride of the stem."""
    return DenseHead(mix, MaskedConv2d(width, classes, bias=True), scale)


@torch.no_grad()
def initialise(network: HRNetwork) -> HRNetwork:
    """Draw all weights as MnasNet does, so that those of all layers are of a size that one threshold can compare.

    A normal distribution by the numbers that leave a weight, 2 / fan-out; a kernel of a depthwise convolution has its
    own pixels alone. Linear layers are uniform up to the root of 1 / outputs.
    """
    for layer in network.modules():
        if isinstance(layer, MaskedConv2d):
            pixels = layer.weight[0, 0].numel()
            fan_out = pixels if layer.depthwise else pixels * len(layer.weight)
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / fan_out))
        elif isinstance(layer, MaskedLinear):
            most = math.sqrt(1 / len(layer.weight))
            nn.init.uniform_(layer.weight, -most, most)
    return network


def _with_relu(block: ConvNormAct) -> ConvNormAct:
    block.act = nn.ReLU()
    return block
