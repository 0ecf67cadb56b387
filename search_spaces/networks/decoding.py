"""Networks and blocks as they write token by token; a number of tokens is written whatever they are."""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from search_spaces.networks.token_input import TokenInput

_FIRST = 1  # some token that is not padding


class _Writer(Protocol):
    """A network with a state; see `supernets.tasks.beam_search.Writer`."""

    def encode(self, source: Tensor) -> Any: ...

    def decode(self, tokens: Tensor, state: Any) -> Tensor: ...


class _Layer(Protocol):
    """A layer of a decoder with a state; see `search_spaces.networks.hat_network.DecoderLayer`."""

    def start(self, memory: Tensor, mask: Tensor) -> Any: ...

    def step(self, x: Tensor, cache: Any) -> Tensor: ...


class Decoding(nn.Module):
    """A network that writes a target of a stated length: source [B, S] -> scores of the last token, [B, tokens].

    Each token is the most likely one. None of them ends the target, so that all networks write equally many.

    Args:
        network: Network with `encode` and `decode`.
        length: Number of tokens.
    """

    def __init__(self, network: nn.Module, length: int) -> None:
        super().__init__()
        self.network, self.length = network, length

    def forward(self, source: Tensor) -> Tensor:
        writer = cast(_Writer, self.network)
        state, tokens = writer.encode(source), source.new_full((len(source),), _FIRST)
        scores = writer.decode(tokens, state)
        for _ in range(self.length - 1):
            scores = writer.decode(scores.argmax(-1), state)
        return scores


class DecodingInput(nn.Module):
    """Vectors of tokens that come one by one: [B, T] -> those of the last, [B, 1, D]."""

    def __init__(self, target: nn.Module) -> None:
        super().__init__()
        self.target = target

    def forward(self, tokens: Tensor) -> Tensor:
        made = [cast(TokenInput, self.target)(tokens[:, place, None], place) for place in range(tokens.shape[1])]
        return made[-1]


class DecodingLayer(nn.Module):
    """A layer of a decoder that runs once for each token: [B, 1, D] -> [B, 1, D].

    Args:
        layer: The layer.
        length: Number of tokens.
    """

    def __init__(self, layer: nn.Module, length: int) -> None:
        super().__init__()
        self.layer, self.length = layer, length

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        layer = cast(_Layer, self.layer)
        cache = layer.start(memory, mask)
        for _ in range(self.length):
            x = layer.step(x, cache)
        return x


class DecodingScores(nn.Module):
    """The most likely tokens of features [B, T, D] that come one by one, [B, T]."""

    def __init__(self, size: int, tokens: int) -> None:
        super().__init__()
        self.scores = nn.Linear(size, tokens, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.scores(x[:, place]).argmax(-1) for place in range(x.shape[1])], 1)
