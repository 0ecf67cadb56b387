"""The network of the AutoFormer family."""

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from search_spaces.elastic import (
    AnySize,
    ElasticClassToken,
    ElasticDepth,
    ElasticLayerNorm,
    ElasticLinear,
    ElasticPositions,
    LayerSize,
)
from search_spaces.networks.transformer_layers import PreNormLayer, feed_forward, layer_norms, self_attention
from search_spaces.transformer import DropPath, Patches, RelativeAttend

_EPS = 1e-6


class PatchEmbedding(nn.Module):
    """Patches of images as a sequence with class token and positions, [B, C, H, W] -> [B, 1 + T, D].

    Args:
        channels: Channels of an image.
        patch: Pixels of one side of a patch.
        length: Number of patches, a square.
        size: Features.
    """

    def __init__(self, channels: int, patch: int, length: int, size: AnySize) -> None:
        super().__init__()
        self.patches, self.project = Patches(patch), ElasticLinear(channels * patch**2, size)
        self.class_token = ElasticClassToken(size)
        self.positions = ElasticPositions(1 + length, size, learned=True)

        self.side = math.isqrt(length) * patch

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and x.shape[-2:] != (self.side, self.side):
            height, width = x.shape[-2:]
            raise ValueError(f"positions are those of {self.side} x {self.side} pixels, got {height} x {width}")
        return self.positions(self.class_token(self.project(self.patches(x))))


class PatchMean(nn.Module):
    """The mean over all places but the class token, [B, 1 + T, D] -> [B, D]."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:].mean(1)


class AutoFormerHead(nn.Sequential):
    """Norm, mean over patches, classifier."""

    def __init__(self, size: AnySize, classes: int) -> None:
        super().__init__(ElasticLayerNorm(size, eps=_EPS), PatchMean(), ElasticLinear(size, classes))


def encoder_layer(
    size: AnySize, hidden: LayerSize, width: AnySize, *, grid: int, head_width: int, most: int, drop_path: float
) -> PreNormLayer:
    """Return a layer of attention with relative positions.

    Args:
        size: Features of the sequence.
        hidden: Hidden units of the feed-forward.
        width: Features of all heads together.
        grid: Patches of one side of the image.
        head_width: Features of a head.
        most: Largest distance with a vector of its own.
        drop_path: Probability that a branch is left out for an example in training.
    """
    attend = RelativeAttend(head_width, (grid, grid), most=most)
    return PreNormLayer(
        self_attention(size, width, attend),
        feed_forward(size, hidden, nn.GELU),
        layer_norms(size, 2, eps=_EPS),
        DropPath(drop_path),
    )


class AutoFormerNetwork(nn.Module):
    """Patches, layers, head; images [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, embedding: nn.Module, layers: Iterable[nn.Module], depth: AnySize, head: nn.Module) -> None:
        super().__init__()
        self.embedding, self.layers, self.head = embedding, ElasticDepth(layers, depth), head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.embedding(x)))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive sequences [B, T, D]: the embedding and the layers."""
        return [self.embedding, *cast(Iterable[nn.Module], self.layers)]
