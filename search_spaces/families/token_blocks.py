"""Blocks at both ends of networks that read tokens and score them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from search_spaces.inputs import Input
from search_spaces.places import Block

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.elastic import AnySize
    from search_spaces.networks.token_input import TokenInput


@dataclass(frozen=True)
class TokenBlocks:
    """The vectors of tokens of one language, and the scores of tokens by the same vectors.

    Attributes:
        tokens: Number of tokens.
        length: Length of the sequences that costs are of.
        longest: Largest length.
        scaled: Whether vectors are multiplied by the root of the number of features.
        learned: Whether vectors of positions are weights; otherwise they are sinusoids.
        dropout: Dropout behind the vectors.
        called: Name of the length in files of networks.
    """

    tokens: int
    length: int
    longest: int
    scaled: bool
    learned: bool
    dropout: float
    called: str = "length"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What the networks read."""
        return (Input((self.length,), "int64", values=self.tokens, lengths={0: self.called}),)

    def build(self, size: AnySize) -> TokenInput:
        """Return the elastic module."""
        from search_spaces.networks.token_input import token_input

        return token_input(
            self.tokens, size, self.longest, scaled=self.scaled, learned=self.learned, dropout=self.dropout
        )

    def enters(self, size: int, name: str = "tokens") -> Block:
        """Return the block of the vectors."""
        build, count = partial(_plain, self, size), partial(self._count_vectors, size)
        return Block(f"{name} {self.tokens}-{size}", (self.length,), build, count, self.inputs)

    def leaves(self, size: int) -> Block:
        """Return the block of the scores; its weights are those of the vectors."""
        build, count = partial(_scores, size, self.tokens), partial(self._count_scores, size, self.length)
        return Block(f"scores {size}-{self.tokens}", (self.length, size), build, count)

    def enters_singly(self, size: int, *, length: int) -> Block:
        """Return the block of the vectors of so many tokens that come one by one."""
        build, count = partial(_decoding_input, self, size), partial(self._count_vectors, size)
        inputs = (Input((length,), "int64", values=self.tokens),)
        return Block(f"tokens {self.tokens}-{size} one by one", (length,), build, count, inputs)

    def leaves_singly(self, size: int, *, length: int) -> Block:
        """Return the block of the scores of so many tokens that are written one by one."""
        build, count = partial(_decoding_scores, size, self.tokens), partial(self._count_scores, size, length)
        return Block(f"scores {size}-{self.tokens} one by one", (length, size), build, count)

    def _count_vectors(self, size: int) -> Counter[str]:
        return Counter(params=(self.tokens + (self.longest if self.learned else 0)) * size)

    def _count_scores(self, size: int, length: int) -> Counter[str]:
        return Counter(macs=self.tokens * size * length)


def _plain(blocks: TokenBlocks, size: int) -> nn.Module:
    from search_spaces.plain import plain

    return plain(lambda: blocks.build(size))


def _scores(size: int, tokens: int) -> nn.Module:
    from torch import nn

    return nn.Linear(size, tokens, bias=False)


def _decoding_input(blocks: TokenBlocks, size: int) -> nn.Module:
    from search_spaces.networks.decoding import DecodingInput

    return DecodingInput(_plain(blocks, size))


def _decoding_scores(size: int, tokens: int) -> nn.Module:
    from search_spaces.networks.decoding import DecodingScores

    return DecodingScores(size, tokens)
