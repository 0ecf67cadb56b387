"""Golden numbers of the proxies from statistics: name -> what computes it, the number, its tolerance, its source."""

from collections.abc import Callable
from math import log, pi, sqrt

import torch
from torch import Tensor, nn

from proxies import Passes
from proxies.aggregate import log_rank, rank_sum
from proxies.az_nas import Expressivity, Progressivity, Trainability
from proxies.linear_regions import distinct_rows
from proxies.meco import correlation
from proxies.nasi import Nasi
from proxies.ntk import Ntk
from proxies.swap import distinct_columns
from proxies.zen import Zen
from proxies.zico import inverse_variation
from tests.proxies.networks import classified

BITS = torch.tensor([[1, 1, 0, 0, 1], [0, 0, 1, 0, 1], [1, 1, 1, 0, 1]], dtype=torch.bool)


class Step(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        return self.function(x, feature)


class Branches(nn.Module):
    """Blocks that each read the image and what the one before made of it."""

    def __init__(self, *functions: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(Step(function) for function in functions)
        self.head = nn.Linear(3, 2)

    def blocks(self) -> list[nn.Module]:
        return list(self.steps)

    def forward(self, x: Tensor) -> Tensor:
        feature = x
        for step in self.steps:
            feature = step(x, feature)
        return self.head(x.mean((2, 3))) + feature.mean()


def branches(*functions: Callable[[Tensor, Tensor], Tensor]) -> Passes:
    return Passes(Branches(*functions), classified(torch.zeros(2, 3, 16, 16), torch.zeros(2, dtype=torch.long)))


def two_orthogonal_images() -> Passes:
    """One linear layer with two logits; its gradient for an image is that image twice."""
    images = torch.tensor([[0.0, 3.0, 0.0], [1.0, 0.0, 0.0]])
    return Passes(nn.Linear(3, 2), classified(images, torch.zeros(2, dtype=torch.long)))


def zen() -> float:
    """One convolution of one channel: F(x) = x / 1 against (x + x') / sqrt(2), and log |w| of one normal weight."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=1e-12), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    passes = Passes(model, classified(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.long)))
    return Zen(repeats=1000, batch=8, gamma=1.0)(passes).value


def zico() -> float:
    return float(inverse_variation([torch.tensor([1.0, 2.0, 0.0]), torch.tensor([3.0, 2.0, 0.0])]).log())


def meco() -> float:
    return float(torch.linalg.eigvalsh(correlation(torch.tensor([[1.0, 2.0, 4.0], [-1.0, -2.0, -4.0]])))[0])


CARD = "card of zero-cost proxies, cheap check"
ZEN = log(64 * sqrt(((1 - sqrt(0.5)) ** 2 + 0.5) * 2 / pi)) - (0.5772156649 + log(2)) / 2
GOLDEN: dict[str, tuple[Callable[[], float], float, float, str]] = {
    "zen": (zen, ZEN, 0.1, "own: log E sum|F - F'| + E log|w| of a normal weight, in closed form"),
    "zico": (zico, 0.693147, 1e-6, f"{CARD} 3"),
    "swap": (lambda: distinct_columns([BITS]), 4, 0, f"{CARD} 4"),
    "linear_regions": (lambda: len(distinct_rows([BITS])), 3, 0, f"{CARD} 4"),
    "meco": (meco, 0, 1e-6, f"{CARD} 8"),
    "ntk": (
        lambda: Ntk()(two_orthogonal_images()).value,
        9,
        1e-6,
        "own: kernel 2 x_i x_j of a linear layer with two logits, images of norms 3 and 1",
    ),
    "nasi": (lambda: Nasi()(two_orthogonal_images()).value, 20, 1e-6, "own: trace 2 (9 + 1) of the same kernel"),
    "az_expressivity": (
        lambda: Expressivity()(branches(lambda x, f: x, lambda x, f: 2 * f)).value,
        2 * log(3),
        1e-3,
        "own: two maps of three independent channels, log 3 each",
    ),
    "az_progressivity": (
        lambda: Progressivity()(branches(lambda x, f: x[:, :1], lambda x, f: x)).value,
        log(3),
        1e-3,
        "own: from one channel, entropy 0, to three independent ones",
    ),
    "az_trainability": (
        lambda: Trainability()(branches(lambda x, f: x, lambda x, f: -f)).value,
        0,
        1e-3,
        "AZ-NAS, arXiv 2403.19232: the maximum is 0, reached by a block that keeps gradients orthogonal",
    ),
    "az_nas": (lambda: log_rank([[1, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 4]])[1], -1.2685, 1e-4, f"{CARD} 6"),
    "te_nas": (lambda: rank_sum([[-3, -1, -2], [10, 30, 20]])[1], 6, 0, "TE-NAS, arXiv 2102.11535: best in both ranks"),
}
