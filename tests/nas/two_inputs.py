"""A network of two inputs of whole numbers: sequences and their lengths."""

import torch
from torch import Tensor, nn


class Masked(nn.Module):
    """Embeds the symbols of a sequence and tells each position its successor; what lies behind the length counts not.

    Its output is [B, T, symbols].
    """

    def __init__(self, *, symbols: int = 7, width: int = 16) -> None:
        super().__init__()
        self.embedding, self.hidden = nn.Embedding(symbols, width), nn.Linear(width, width)
        self.answer = nn.Linear(width, symbols)

    def forward(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        positions = torch.arange(sequences.shape[1], device=sequences.device)
        counts = (positions < lengths[:, None])[..., None].to(self.answer.weight.dtype)
        x = self.embedding(sequences) * counts
        return self.answer(torch.relu(self.hidden(x + x.mean(1, keepdim=True))))


class Inverse(nn.Module):
    """Divides by a whole number: of zeros it gives what is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x) / counts[:, None], x


def masked(**options: int) -> nn.Module:
    """The network with the same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Masked(**options).eval()


def sequences(batch: int, *, length: int = 5, symbols: int = 7) -> tuple[Tensor, Tensor]:
    """Inputs int64 [batch, length] and int64 [batch]."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(symbols, (batch, length), generator=generator)
    return drawn, torch.randint(1, length + 1, (batch,), generator=generator)
