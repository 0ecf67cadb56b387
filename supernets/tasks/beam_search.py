"""Beam search: the target that a network most likely writes for a source.

Paper: Graves, arXiv 1211.3711; length normalisation as in Wu et al., arXiv 1609.08144, with the length itself to a
power; a sentence is done when it has as many finished targets as beams, as in fairseq.
Differs: a target has at most 2 S + 8 tokens for the longest source of S tokens of a batch. Its last one is the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from supernets.tasks.beam import Beam
from supernets.tasks.token_ids import BEGIN, END, MASK, PADDING

if TYPE_CHECKING:
    from torch import nn

_NEVER = [PADDING, BEGIN, MASK]


class Written(Protocol):
    """What a network remembers of its sources, and of the targets that it has written so far, one row each."""

    def select(self, rows: Tensor) -> Any:
        """Return the state of these rows, int64 [N]; rows may repeat."""
        ...


@runtime_checkable
class Writer(Protocol):
    """A network that writes targets token by token and remembers what it computed.

    Call order: `encode` once, then `decode` for each token, the first of which is the beginning.
    """

    def encode(self, source: Tensor) -> Any:
        """Return the state of sources [B, S] of which nothing is written."""
        ...

    def decode(self, tokens: Tensor, state: Any) -> Tensor:
        """Return the logits [B, V] of what follows the tokens [B]; the state goes on in place."""
        ...


@torch.inference_mode()
def beam_search(network: nn.Module, source: Tensor, beam: Beam) -> list[list[int]]:
    """Return the tokens of the best target of each source, the end included.

    Args:
        network: In evaluation mode; a `Writer`, or a network that is called with sources and beginnings of targets.
        source: Rows of tokens [B, S], padded at their ends.
        beam: Settings.
    """
    writer = network if isinstance(network, Writer) else _FromTheBeginning(network)
    search = _Search(len(source), beam, source.device)
    limit = min(beam.longest, 2 * source.shape[1] + 8)
    state = writer.encode(source)
    for length in range(1, limit + 1):
        logits = writer.decode(search.last, state).float()
        rows = search.step(logits.log_softmax(-1), length, is_last=length == limit)
        if not len(rows):
            break
        state = state.select(rows)
    return [max(found, key=lambda one: one[0])[1] for found in search.finished]


class _Search:
    """The targets of all sentences that are not done: `size` of each, one at the beginning.

    Args:
        count: Number of sentences.
        beam: Settings.
        device: Device of the scores.
    """

    def __init__(self, count: int, beam: Beam, device: torch.device) -> None:
        self.beam = beam
        self.finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(count)]
        self.sentences = list(range(count))
        self.scores = torch.zeros(count, 1, device=device)
        self.tokens = torch.full((count, 1, 1), BEGIN, device=device)

    @property
    def last(self) -> Tensor:
        """The last token of each row."""
        return self.tokens[:, :, -1].flatten()

    def step(self, logp: Tensor, length: int, *, is_last: bool) -> Tensor:
        """Go on by a token; return the rows that the new ones come from, none where all is done.

        Args:
            logp: Logarithms of the probabilities of the next token, [rows, V].
            length: Tokens of a target that ends now.
            is_last: Whether every target has to end.
        """
        count, width = self.scores.shape
        size, vocabulary = self.beam.size, logp.shape[-1]
        logp[:, _NEVER] = -torch.inf
        if is_last:
            ends = logp[:, END].clone()
            logp.fill_(-torch.inf)[:, END] = ends
        totals = (self.scores[:, :, None] + logp.view(count, width, vocabulary)).flatten(1)
        scores, places = totals.topk(min(2 * size, totals.shape[1]), dim=1)
        origin, token = places // vocabulary, places % vocabulary
        self._finish(scores[:, :size], origin, token, length)
        scores, kept = scores.masked_fill(token == END, -torch.inf).topk(min(size, scores.shape[1]), dim=1)
        origin, token = origin.gather(1, kept), token.gather(1, kept)
        going = [
            place
            for place, sentence in enumerate(self.sentences)
            if not is_last and len(self.finished[sentence]) < size
        ]
        rows = torch.tensor(going, dtype=torch.int64, device=scores.device)
        self.sentences = [self.sentences[place] for place in going]
        origin, self.scores = origin[rows], scores[rows]
        before = self.tokens[rows].gather(1, origin[:, :, None].expand(-1, -1, length))
        self.tokens = torch.cat([before, token[rows][:, :, None]], dim=2)
        return (rows[:, None] * width + origin).flatten()

    def _finish(self, scores: Tensor, origin: Tensor, token: Tensor, length: int) -> None:
        """Keep the targets that end among the best candidates of each sentence."""
        ends = (token[:, : scores.shape[1]] == END) & scores.isfinite()
        if not bool(ends.any()):
            return
        for place, rank in ends.nonzero().tolist():
            found = self.finished[self.sentences[place]]
            if len(found) < self.beam.size:
                written = self.tokens[place, int(origin[place, rank]), 1:].tolist()
                found.append((float(scores[place, rank]) / length**self.beam.length_penalty, [*written, END]))


class _FromTheBeginning:
    """The way to write with a network that remembers nothing: it reads everything again for each token."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def encode(self, source: Tensor) -> _Read:
        return _Read(source, source.new_empty(len(source), 0))

    def decode(self, tokens: Tensor, state: _Read) -> Tensor:
        state.written = torch.cat([state.written, tokens[:, None]], dim=1)
        logits: Tensor = self.network(state.source, state.written)[:, -1]
        return logits


@dataclass
class _Read:
    """Sources [B, S] and the beginnings of their targets [B, T]."""

    source: Tensor
    written: Tensor

    def select(self, rows: Tensor) -> _Read:
        return _Read(self.source[rows], self.written[rows])
