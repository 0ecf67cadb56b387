"""Plain pieces that transformers are made of; their leaves may be elastic or not.

Nothing here knows of architectures, so an extracted subnet made of these is ordinary torch code. Sequences are
[B, T, D]: batch, length, features.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks import HiddenChannels


def sinusoids(length: int, width: int) -> Tensor:
    """Return the vectors [length, width] of Vaswani et al., arXiv 1706.03762, section 3.5: features 2i and 2i + 1 are
    sine and cosine of one frequency."""
    place = torch.arange(length, dtype=torch.float32, device="cpu")[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32, device="cpu") * (-math.log(10000.0) / width))
    waves = torch.stack([torch.sin(place * rates), torch.cos(place * rates)], dim=2)
    return waves.flatten(1)[:, :width]


class TokenEmbedding(nn.Embedding):
    """Vectors of tokens [B, T] -> [B, T, D], and the scores of all tokens by the same vectors.

    Args:
        tokens: Number of tokens.
        width: Features.
        scale: Factor of the vectors where they are looked up.
    """

    def __init__(
        self, tokens: int, width: int, scale: float = 1.0, *, device: torch.device | str | None = None
    ) -> None:
        super().__init__(tokens, width, device=device)
        self.scale = scale

    def reset_parameters(self) -> None:
        """Draw vectors of length one on average, so that scores are neither flat nor sharp at first."""
        nn.init.normal_(self.weight, 0, self.embedding_dim**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        vectors = super().forward(tokens)
        return vectors if self.scale == 1.0 else vectors * self.scale

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores of all tokens, [..., D] -> [..., tokens]."""
        return F.linear(x, self.weight)


class Positions(nn.Module):
    """The sum of a sequence and vectors of its positions, [B, T, D] -> [B, T, D].

    Args:
        length: Largest length.
        width: Features.
        learned: Whether vectors are weights; otherwise they are sinusoids.
    """

    weight: Tensor

    def __init__(self, length: int, width: int, *, learned: bool) -> None:
        super().__init__()
        if learned:
            self.weight = nn.Parameter(torch.empty(length, width))
        else:
            self.register_buffer("weight", torch.empty(length, width), persistent=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the vectors, or compute them."""
        if isinstance(self.weight, nn.Parameter):
            nn.init.trunc_normal_(self.weight, std=0.02)
        else:
            self.weight.copy_(sinusoids(*self.weight.shape))

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        check_length(start + x.shape[1], len(self.weight))
        return x + self.weight[start : start + x.shape[1]]


def check_length(length: int, longest: int) -> None:
    """Refuse a sequence for which there are no positions.

    Raises:
        ValueError: It is too long.
    """
    if not torch.compiler.is_compiling() and length > longest:
        raise ValueError(f"a sequence of {length} tokens is longer than the limit of {longest} (`longest`)")


class Patches(nn.Module):
    """Square patches of images, row by row: [B, C, H, W] -> [B, T, C * size * size]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        rows, columns = height // self.size, width // self.size
        x = x.reshape(batch, channels, rows, self.size, columns, self.size)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels * self.size**2)

    def extra_repr(self) -> str:
        return str(self.size)


class ClassToken(nn.Module):
    """A learned vector before the first of a sequence, [B, T, D] -> [B, 1 + T, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vector."""
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.weight.expand(x.shape[0], 1, -1), x], dim=1)


class DropPath(nn.Module):
    """Leave out a residual branch for some examples while training (stochastic depth, arXiv 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        return x * F.dropout(x.new_ones(x.shape[0], *[1] * (x.dim() - 1)), self.rate)

    def extra_repr(self) -> str:
        return str(self.rate)


# ---- attention ------------------------------------------------------------------------------------------------------


class Attend(nn.Module):
    """Attention of several heads: queries [B, T, Q], keys and values [B, S, Q] -> [B, T, Q].

    Give the number of heads, or their width where the number follows from what arrives.
    """

    def __init__(self, *, heads: int | None = None, head_width: int | None = None) -> None:
        super().__init__()
        if (heads is None) == (head_width is None):
            raise ValueError("give the number of heads or their width")
        self.heads, self.head_width = heads, head_width

    def split(self, x: Tensor) -> Tensor:
        """Return features by head, [B, T, Q] -> [B, heads, T, Q / heads]."""
        if self.head_width is not None:
            return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """Return what the queries read.

        Args:
            query, key, value: Sequences.
            mask: Which keys may be read, booleans [B, 1, 1, S] or [B, 1, T, S]; None for all.
            causal: Whether a query reads no key behind its own place; without `mask`.
        """
        read = F.scaled_dot_product_attention(
            self.split(query), self.split(key), self.split(value), attn_mask=mask, is_causal=causal
        )
        return read.transpose(1, 2).flatten(2)

    def extra_repr(self) -> str:
        return f"heads={self.heads}" if self.head_width is None else f"head_width={self.head_width}"


class RelativeAttend(Attend):
    """Attention between the patches of a grid, with vectors of relative positions of keys and of values.

    Paper: Chen et al., AutoFormer, arXiv 2107.00651; Shaw et al., arXiv 1803.02155.
    Differs: nothing known. All heads share the vectors; distances beyond the tables count as the last ones. The first
    place is the class token, whose distance to all is entry 0.

    Args:
        head_width: Features of a head.
        grid: Rows and columns of the grid.
        most: Largest distance that has its own vector.
    """

    index: Tensor

    def __init__(self, head_width: int, grid: tuple[int, int], *, most: int = 14) -> None:
        super().__init__(head_width=head_width)
        self.grid, self.most = grid, most
        tables = (nn.Parameter(torch.empty(2 * most + 2, head_width)) for _ in range(4))
        self.rows_of_keys, self.columns_of_keys, self.rows_of_values, self.columns_of_values = tables
        self.register_buffer("index", torch.empty(2, *[1 + grid[0] * grid[1]] * 2, dtype=torch.long), persistent=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the vectors; look up which of them belong to which two places."""
        for table in self.parameters():
            nn.init.trunc_normal_(table, std=0.02)
        place = torch.arange(self.grid[0] * self.grid[1], device="cpu")
        self.index.zero_()
        for axis, at in enumerate((place // self.grid[1], place % self.grid[1])):
            distance = (at[None, :] - at[:, None]).clamp(-self.most, self.most)
            self.index[axis, 1:, 1:] = distance + self.most + 1

    def _vectors(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the vectors of all pairs of places [T, T, head width]."""
        return F.embedding(self.index[0], rows) + F.embedding(self.index[1], columns)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        query, key, value = self.split(query), self.split(key), self.split(value)
        query = query * query.shape[-1] ** -0.5
        of_keys = self._vectors(self.rows_of_keys, self.columns_of_keys)
        of_values = self._vectors(self.rows_of_values, self.columns_of_values)
        scores = query @ key.transpose(-2, -1) + torch.einsum("bhtd,tsd->bhts", query, of_keys)
        weights = scores.softmax(dim=-1)
        read = weights @ value + torch.einsum("bhts,tsd->bhtd", weights, of_values)
        return read.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, [B, T, D] -> [B, T, D]; one layer gives queries, keys and values.

    Args:
        qkv: Gives queries, keys and values, one behind the other.
        attend: Reads values by queries and keys.
        out: Brings what was read back to the features of the sequence.
    """

    def __init__(self, qkv: nn.Module, attend: nn.Module, out: nn.Module) -> None:
        super().__init__()
        self.qkv, self.attend, self.out = qkv, attend, out

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values."""
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        return query, key, value

    def forward(self, x: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        return self.out(self.attend(*self.projected(x), mask, causal=causal))


class CrossAttention(nn.Module):
    """Attention of a sequence [B, T, D] to another [B, S, E] -> [B, T, D].

    Args:
        query, key, value: Layers that give queries, keys and values; they may have widths of their own.
        attend: Reads values by queries and keys.
        out: Brings what was read back to the features of the sequence.
    """

    def __init__(self, query: nn.Module, key: nn.Module, value: nn.Module, attend: nn.Module, out: nn.Module) -> None:
        super().__init__()
        self.query, self.key, self.value, self.attend, self.out = query, key, value, attend, out

    def read(self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what a sequence reads from keys and values [B, S, Q] that are known already."""
        return self.out(self.attend(self.query(x), key, value, mask))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.read(x, self.key(memory), self.value(memory), mask)


class Span(nn.Module):
    """How many of the last layers of an encoder are read, whose outputs stand one behind the other.

    Args:
        number: Layers that are read.
        most: Layers that there are.
    """

    def __init__(self, number: int, most: int) -> None:
        super().__init__()
        self.number, self.most = number, most

    def parts(self, length: int) -> list[tuple[slice, Tensor | float | None]]:
        """Return the places that are read of so many, and the weight of what is read there; None for one alone."""
        return [(slice(length // self.most * self.number), None)]

    def extra_repr(self) -> str:
        return f"{self.number} of {self.most}"


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, [..., D] -> [..., D]."""

    def __init__(self, expand: nn.Module, activation: nn.Module, contract: nn.Module) -> None:
        super().__init__()
        self.expand, self.activation, self.contract = expand, activation, contract

    def forward(self, x: Tensor) -> Tensor:
        return self.contract(self.activation(self.expand(x)))

    def hidden_channels(self) -> list[HiddenChannels]:
        """Return the hidden units; permuting them leaves the function unchanged."""
        expand, contract = cast(nn.Linear, self.expand), cast(nn.Linear, self.contract)
        carriers: list[tuple[Tensor, int]] = [(expand.weight, 0), (contract.weight, 1)]
        if expand.bias is not None:
            carriers.append((expand.bias, 0))
        return [HiddenChannels(contract, carriers)]


class Stack(nn.Sequential):
    """Blocks in sequence that all receive what is given beside the sequence."""

    def forward(self, x: Tensor, *beside: object) -> Tensor:
        for block in self:
            x = block(x, *beside)
        return x
