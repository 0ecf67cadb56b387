"""The network of ParZC: a mixer architecture with Bayesian linear layers.

Paper: Dong et al., ParZC, AAAI 2025, arXiv 2402.02105, section 3; the released regressor.
Differs: noise comes from a generator argument; without one, weights are their means and nothing is dropped (the
released network redraws its weights in evaluation too, so that its scores are random). `mix_segments` is ours.
"""

import math

import torch
from torch import nn
from torch.nn import functional

SEGMENTS = 16
SEGMENT_SIZE = 16
INITIAL_RHO = -5.0


class BayesianLinear(nn.Module):
    """Linear without bias; each weight is normal with mean `mu` and standard deviation log(1 + exp(rho))."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.empty(out_features, in_features))
        self.rho = nn.Parameter(torch.full((out_features, in_features), INITIAL_RHO))
        nn.init.kaiming_uniform_(self.mu, a=math.sqrt(5))

    def forward(self, x: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Map x [..., in] to [..., out], with weights drawn once for all rows, or their means without a generator."""
        if generator is None:
            return functional.linear(x, self.mu)
        noise = torch.randn(self.mu.shape, generator=generator, device=self.mu.device)
        return functional.linear(x, self.mu + functional.softplus(self.rho) * noise)


class FeedForward(nn.Module):
    """x + dropout(W2 dropout(gelu(W1 layer_norm(x)))); optionally across segments instead of channels."""

    def __init__(self, width: int, hidden: int, dropout: float, *, across_segments: bool = False) -> None:
        super().__init__()
        features = SEGMENTS if across_segments else width
        self.norm = nn.LayerNorm(width)
        self.expand, self.contract = nn.Linear(features, hidden), nn.Linear(hidden, features)
        self.dropout, self.across_segments = dropout, across_segments

    def forward(self, x: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Map x [B, segments, width] to the same."""
        rate = self.dropout if self.training and generator is not None else 0.0
        y = self.norm(x)
        y = y.transpose(1, 2) if self.across_segments else y
        y = dropped(functional.gelu(self.expand(y)), rate, generator)
        y = dropped(self.contract(y), rate, generator)
        return x + (y.transpose(1, 2) if self.across_segments else y)


class MABN(nn.Module):
    """Node-wise statistics [B, F] to scores [B].

    Args:
        features: F.
        width: Channels of each of the 16 segments.
        depth: Mixer blocks.
        dropout: Rate, in the feed-forwards and the regressor.
        mix_segments: The first feed-forward of each block acts across segments, as in MLP-Mixer.
    """

    def __init__(
        self, features: int, *, width: int = 512, depth: int = 4, dropout: float = 0.1, mix_segments: bool = False
    ) -> None:
        super().__init__()
        self.project = nn.Linear(features, SEGMENTS * SEGMENT_SIZE)
        self.embed = BayesianLinear(SEGMENT_SIZE, width)
        blocks: list[nn.Module] = []
        for _ in range(depth):
            first_hidden = 4 * (SEGMENTS if mix_segments else width)
            blocks.append(FeedForward(width, first_hidden, dropout, across_segments=mix_segments))
            blocks.append(FeedForward(width, width // 2, dropout))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.head = BayesianLinear(width, width)
        self.hidden = nn.Linear(width, width // 2, bias=False)
        self.score = nn.Linear(width // 2, 1, bias=False)
        self.dropout = dropout

    def forward(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return scores [B]; a generator draws the weights and, in training, what is dropped."""
        rate = self.dropout if self.training and generator is not None else 0.0
        y = self.embed(self.project(x).unflatten(1, (SEGMENTS, SEGMENT_SIZE)), generator)
        for block in self.blocks:
            y = block(y, generator)
        y = self.head(self.norm(y).mean(1), generator)
        return self.score(dropped(self.hidden(y), rate, generator)).squeeze(1)


def dropped(x: torch.Tensor, rate: float, generator: torch.Generator | None) -> torch.Tensor:
    """Return the values with dropout, its rate rounded to 1 / 65536.

    One 64-bit draw serves four values, since draws, not products, cost.

    Torch's own takes no generator, and is 15% of a whole training step of this network on a CPU.
    """
    if rate == 0:
        return x
    words = torch.empty(x.numel() // 4 + 1, dtype=torch.int64, device=x.device)
    words.random_(-(2**63), None, generator=generator)
    keep = words.view(torch.int16)[: x.numel()].view(x.shape) >= round(rate * 2**16) - 2**15
    return x * (keep.to(x.dtype) / (1 - rate))
