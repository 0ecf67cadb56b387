"""A search space of one's own: how many residual blocks, how wide each is, and its kernel.

    nas run examples/own_space.yaml

The network is written once, for the largest architecture, with elastic layers. Costs are counted on the network.
"""

from torch import Tensor, nn

from search_spaces import Decision, Space
from search_spaces.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticDepth, Size
from search_spaces.inputs import Input

STEM = 16


class Residual(nn.Module):
    """x + project(act(expand(x))); `width` channels between, and a kernel of its own."""

    def __init__(self, width: Size, kernel: Size) -> None:
        super().__init__()
        self.expand = ElasticConv2d(STEM, width, kernel=kernel)
        self.norm, self.act = ElasticBatchNorm2d(width), nn.ReLU()
        self.project, self.last = ElasticConv2d(width, STEM), ElasticBatchNorm2d(STEM)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(self.project(self.act(self.norm(self.expand(x)))))


class Network(nn.Module):
    """Images [B, channels, S, S] to logits [B, classes]."""

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, STEM, 3, padding=1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU())
        blocks = (
            Residual(Size(f"block{i}.width", {w: w for w in widths}), Size(f"block{i}.kernel", {1: 1, 3: 3}))
            for i in range(1, max(depths) + 1)
        )
        self.blocks = ElasticDepth(blocks, Size("depth", {d: d for d in depths}))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(STEM, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


def residual_networks(
    *,
    image_size: int = 8,
    channels: int = 1,
    classes: int = 10,
    widths: tuple[int, ...] = (8, 16, 32),
    depths: tuple[int, ...] = (1, 2, 3),
) -> Space:
    """Return the space.

    Args:
        image_size: Side of the images in pixels; a job gets it from its data, as it gets channels and classes.
        channels: Of the images.
        classes: Number of outputs.
        widths: Choices of the channels inside a block, ascending.
        depths: Choices of the number of blocks, ascending.
    """
    decisions = [Decision("depth", tuple(depths))]
    for block in range(1, max(depths) + 1):
        deep_enough = tuple(depth for depth in depths if depth >= block)
        parent, when = ("depth", deep_enough) if len(deep_enough) < len(depths) else (None, ())
        decisions.append(Decision(f"block{block}.width", tuple(widths), parent, when))
        decisions.append(Decision(f"block{block}.kernel", (1, 3), parent, when))
    return Space(
        name="residual_networks",
        decisions=tuple(decisions),
        inputs=(Input((channels, image_size, image_size)),),
        build=lambda: Network(channels, classes, tuple(widths), tuple(depths)),
    )
