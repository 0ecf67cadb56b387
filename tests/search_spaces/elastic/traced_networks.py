"""Small networks that a trace must cope with, and spaces over what it finds."""

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.elastic import Size
from search_spaces.elastic.traced import ElasticGraph
from search_spaces.tracing import Traced


class Residual(nn.Module):
    """A block with a hidden width, a depthwise kernel of 5, operations in place and a shortcut."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.act = nn.ReLU(inplace=True)
        self.dw = nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.dw(self.act(self.bn1(self.conv1(x)))))
        y = self.conv2(y)
        y += x
        return y


class Convolutional(nn.Module):
    """Two residual blocks, a learned token that is expanded over the batch, dropout and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.Sequential(Residual(8, 12), Residual(8, 16))
        self.token = nn.Parameter(torch.randn(1, 8) * 0.5)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x)).mean((2, 3))
        x = x + self.token.expand(x.shape[0], -1)
        return self.head(self.drop(x))


class Attention(nn.Module):
    """Self-attention with fused projections, a table of positions and a buffer of indices."""

    def __init__(self, width: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width // heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = nn.Parameter(torch.randn(2 * tokens - 1, heads))
        places = torch.arange(tokens)
        self.register_buffer("index", places[:, None] - places[None] + tokens - 1, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, self.width).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(n, n, -1).permute(2, 0, 1)
        weights = (q @ k.transpose(-2, -1) * self.width**-0.5 + bias).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))


class DropPath(nn.Module):
    """Stochastic depth, which evaluation does not show."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * x.new_empty((len(x), 1, 1)).bernoulli_(1 - self.drop_prob).div_(1 - self.drop_prob)


class Encoder(nn.Module):
    """A transformer block."""

    def __init__(self, width: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, heads, tokens)
        self.norm2, self.fc1, self.act = nn.LayerNorm(width), nn.Linear(width, 24), nn.GELU()
        self.fc2, self.drop_path = nn.Linear(24, width), DropPath(0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    """Patches, a class token, two blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.blocks = nn.ModuleList(Encoder(12, 3, 17) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class Tiled(nn.Module):
    """Positions that are tiled with fewer repetitions than dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.window = nn.Parameter(torch.randn(1, 8, 2, 2))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.window.tile((2, 2)))
        return self.head(x.mean((2, 3)))


class Gated(nn.Module):
    """Slices of size 1 that select a gate out of a projection, as focal modulation does."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Conv2d(3, 2 * 8 + 3, 1)
        self.scales = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, groups=8) for _ in range(3))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        query, context, gates = self.f(x).split([8, 8, 3], 1)
        total = torch.zeros((), device=x.device)
        for place, scale in enumerate(self.scales):
            context = F.gelu(scale(context))
            total = total + context * gates[:, place : place + 1]
        return self.head((query * total).mean((2, 3)))


class Tied(nn.Module):
    """One parameter under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return self.head(F.relu(self.second(F.relu(self.first(x)))))


class Blurred(nn.Module):
    """A convolution by a buffer, one filter for every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.register_buffer("filter", torch.ones(8, 1, 3, 3) / 9, persistent=False)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(x)))
        x = F.conv2d(F.pad(x, (1, 1, 1, 1)), self.filter, stride=2, groups=x.shape[1])
        return self.head(x.mean((2, 3)))


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised over its fan-in."""

    def __init__(self, *sizes: int, **settings: Any) -> None:
        super().__init__(*sizes, **settings)
        self.gain = nn.Parameter(torch.full((self.out_channels, 1, 1, 1), 0.9))

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, weight=self.gain.view(-1), training=True, momentum=0.0)
        return F.conv2d(x, weight.reshape_as(self.weight), self.bias, self.stride, self.padding)


class StandardisedNetwork(nn.Module):
    """Two convolutions with weight standardisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = Standardised(3, 8, 3, padding=1), Standardised(8, 12, 3, padding=1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.silu(self.conv2(F.silu(self.conv1(x)))).mean((2, 3)))


class OwnPrecisions(nn.Module):
    """A convolution and a product outside of autocast, and a convolution in 16 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 5)
        self.conv, self.bn, self.narrow = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        with torch.autocast(x.device.type, enabled=False):
            x = F.relu(self.bn(self.conv(x.float())))
            x = (x @ x.transpose(-2, -1)) @ x
        with torch.autocast(x.device.type, torch.bfloat16):
            x = self.narrow(x)
        return self.head(x.float().mean((2, 3)))


def elastic(traced: Traced, **more: Any) -> ElasticGraph:
    """Return the elastic network of a trace in which everything follows a decision of its own."""
    groups = {
        group.name: Size(group.name, {part: max(1, group.size * part // 4) for part in (1, 2, 3, 4)})
        for group in traced.groups
    }
    blocks = {block.scope: (f"run {block.scope}", frozenset({1})) for block in traced.blocks}
    kernels = {one.node: Size(f"kernel {one.weight}", {3: 3, one.size: one.size}) for one in traced.kernels}
    return ElasticGraph(traced, groups=groups, blocks=blocks, kernels=kernels, **more)


def settings(traced: Traced, number: int) -> list[dict[str, Any]]:
    """Return random settings of such a network; the first one is the smallest without skipped blocks."""
    draw = random.Random(0)
    smallest: dict[str, Any] = {group.name: 1 for group in traced.groups}
    smallest |= {f"run {block.scope}": 1 for block in traced.blocks}
    smallest |= {f"kernel {one.weight}": 3 for one in traced.kernels}
    found = [smallest]
    for _ in range(number - 1):
        drawn: dict[str, Any] = {group.name: draw.choice((1, 2, 3, 4)) for group in traced.groups}
        drawn |= {f"run {block.scope}": draw.choice((0, 1)) for block in traced.blocks}
        drawn |= {f"kernel {one.weight}": draw.choice((3, one.size)) for one in traced.kernels}
        found.append(drawn)
    return found
