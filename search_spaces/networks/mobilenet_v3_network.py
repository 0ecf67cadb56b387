"""The networks of the Once-for-All MobileNetV3 family."""

from collections.abc import Iterable, Sequence
from typing import cast

from torch import Tensor, nn

from search_spaces.blocks import ConvNormAct, InvertedResidual, PixelMean, SqueezeExcite
from search_spaces.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticDepth, ElasticLinear, ElasticResize
from search_spaces.sizes import AnySize, Bottleneck


def conv_norm_act(
    in_size: AnySize,
    out_size: AnySize,
    kernel: AnySize,
    stride: int,
    activation: str | None,
    *,
    depthwise: bool = False,
) -> ConvNormAct:
    """Return an elastic convolution with its norm and its activation, if any."""
    conv = ElasticConv2d(in_size, out_size, kernel=kernel, stride=stride, depthwise=depthwise)
    return ConvNormAct(conv, ElasticBatchNorm2d(out_size), activation)


def inverted_residual(sizes: Bottleneck) -> InvertedResidual:
    """Return an elastic block of these sizes."""
    squeeze_excite = None
    middle, activation = sizes.middle, sizes.activation
    if sizes.squeeze != 0:
        squeeze_excite = SqueezeExcite(
            ElasticConv2d(middle, sizes.squeeze, bias=True), ElasticConv2d(sizes.squeeze, middle, bias=True)
        )
    return InvertedResidual(
        conv_norm_act(sizes.in_width, middle, 1, 1, activation) if sizes.expands else None,
        conv_norm_act(middle, middle, sizes.kernel, sizes.stride, activation, depthwise=True),
        squeeze_excite,
        conv_norm_act(middle, sizes.out_width, 1, 1, None),
        shortcut=sizes.stride == 1 and sizes.in_width == sizes.out_width,
    )


def head_modules(widths: Sequence[int]) -> tuple[ConvNormAct, ConvNormAct, ElasticLinear]:
    """Return what follows the stages: a convolution before the mean over pixels, one behind it, the classifier.

    Args:
        widths: Channels that enter, those after each convolution, and classes.
    """
    before, last, feature, classes = widths
    return (
        conv_norm_act(before, last, 1, 1, "h_swish"),
        ConvNormAct(ElasticConv2d(last, feature), None, "h_swish"),
        ElasticLinear(feature, classes),
    )


def head(widths: Sequence[int]) -> nn.Module:
    """Return the head as one module, from feature maps to logits."""
    last, feature, classifier = head_modules(widths)
    return nn.Sequential(last, PixelMean(keepdim=True), feature, nn.Flatten(), classifier)


class MobileNetV3Network(nn.Module):
    """Resize, stem, first block, stages, head; images [B, C, H, W] -> logits [B, classes].

    Args:
        resolution: Pixels of one side that images are brought to.
        stem: Channels that enter and leave the stem, its kernel and its stride.
        first: The fixed block behind it.
        stages: Blocks and depth of each stage.
        head: Channels that enter the head, those after each of its convolutions, and classes.
        dropout: Dropout before the classifier.
    """

    def __init__(
        self,
        resolution: AnySize,
        stem: tuple[int, int, int, int],
        first: Bottleneck,
        stages: Sequence[tuple[Sequence[Bottleneck], AnySize]],
        head: Sequence[int],
        *,
        dropout: float,
    ) -> None:
        super().__init__()
        self.resize = ElasticResize(resolution)
        self.stem = conv_norm_act(*stem, "h_swish")
        self.first = inverted_residual(first)
        self.stages = nn.Sequential(
            *(ElasticDepth((inverted_residual(block) for block in blocks), depth) for blocks, depth in stages)
        )
        self.last, self.feature, classifier = head_modules(head)
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.stages(self.first(self.stem(self.resize(x)))))
        x = self.feature(x.mean((2, 3), keepdim=True)).flatten(1)
        return self.classifier(self.dropout(x))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive feature maps: stem and the blocks that run."""
        stages = cast(Iterable[Iterable[nn.Module]], self.stages)
        return [self.stem, self.first, *(block for stage in stages for block in stage)]
