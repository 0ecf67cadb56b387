"""Small networks that write, for tests of tasks with tokens."""

from dataclasses import dataclass

import torch
from torch import nn

from supernets.tasks.token_ids import PADDING

VOCABULARY = 12


@dataclass
class Hidden:
    """Hidden states [B, F] of rows."""

    state: torch.Tensor

    def select(self, rows):
        return Hidden(self.state[rows])


class Recurrent(nn.Module):
    """A recurrent translator that remembers what it has written."""

    def __init__(self, features=16, vocabulary=VOCABULARY, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(vocabulary, features)
            self.cell = nn.GRUCell(features, features)
            self.head = nn.Linear(features, vocabulary)
            nn.init.normal_(self.head.weight, std=1.0)

    def encode(self, source):
        there = (source != PADDING)[..., None]
        return Hidden((self.embedding(source) * there).sum(1) / there.sum(1))

    def decode(self, tokens, state):
        state.state = self.cell(self.embedding(tokens), state.state)
        return self.head(state.state)

    def forward(self, source, written):
        state = self.encode(source)
        return torch.stack([self.decode(tokens, state) for tokens in written.T], dim=1)


class Forgetful(nn.Module):
    """The same network, which can only be called as a whole."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, source, written):
        return self.network(source, written)


def pairs(count=9, *, longest=7, seed=0):
    """Return a batch to translate: sources, targets from their beginning on, and targets to their end."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(2):
        lengths = torch.randint(1, longest, (count, 1), generator=generator)
        lengths[0] = longest - 1
        tokens = torch.randint(4, VOCABULARY, (count, longest), generator=generator)
        places = torch.arange(longest)
        tokens[places == lengths] = 2
        tokens[places > lengths] = PADDING
        rows.append(tokens)
    source, target = rows
    before = torch.cat([torch.ones(count, 1, dtype=torch.int64), target[:, :-1]], dim=1)
    return source, before.masked_fill(before == 2, PADDING), target


def texts(row):
    """Return a word for each token up to the end."""
    words = []
    for token in row:
        if token == 2:
            break
        if token > 3:
            words.append(f"w{token}")
    return " ".join(words)
