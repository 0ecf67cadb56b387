"""Golden numbers of the proxies from statistics: name -> what computes it, the number, its tolerance, its source."""

from collections.abc import Callable
from math import log, pi, sqrt

import numpy as np
import torch
from torch import Tensor, nn

from proxies import Batch, Passes
from proxies.az_nas import Expressivity, Progressivity, Trainability
from proxies.linear_regions import LinearRegions
from proxies.meco import MeCo
from proxies.nasi import Nasi
from proxies.ntk import Ntk
from proxies.swap import Swap
from proxies.zen import Zen, ZenRunning
from proxies.zico import ZiCo
from service.job import proxies as job_proxies
from tests.proxies.networks import classified

BITS = torch.tensor([[1, 1, 0, 0, 1], [0, 0, 1, 0, 1], [1, 1, 1, 0, 1]], dtype=torch.bool)


class Fixed(nn.Module):
    """Gives the same map [1, C, 2, 2] for every image."""

    def __init__(self, *channels: list[float]) -> None:
        super().__init__()
        self.register_buffer("map", torch.tensor(channels).reshape(1, -1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.map


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


def normalised_noise() -> Passes:
    """One convolution of one channel w: F(x) = x / 1 against (x + x') / sqrt(2)."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=1e-12), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Passes(model, classified(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.long)))


def zen_running_less_its_scale() -> float:
    """One draw without its variance: running, .81 of 1, .09 of w^2 (from x) and .1 of 2 w^2 (from x + x')."""
    passes = normalised_noise()
    weight = float(torch.empty(1, 1, 1, 1).normal_(generator=passes.generator("zen")))
    value = ZenRunning(repeats=1, batch=256, gamma=1.0)(passes).value
    return value - log(0.81 + 0.29 * weight**2) / 2


def zico(*gradients: list[float]) -> float:
    """One linear layer whose output is its loss: these gradients of two parts of one example each."""
    model = nn.Linear(3, 1, bias=False)
    return ZiCo()(Passes(model, Batch((torch.tensor(gradients),), lambda output, rows: output[:, 0]))).value


def meco(*channels: list[float]) -> float:
    """A map of two channels, seen as output of a module and of the container around it."""
    model = nn.Sequential(nn.Sequential(Fixed(*channels)), nn.Flatten(), nn.Linear(8, 2))
    return MeCo()(Passes(model, classified(torch.zeros(1, 3, 4, 4), torch.zeros(1, dtype=torch.long)))).value


def swap() -> float:
    """Inputs with these signs, straight into a ReLU."""
    passes = Passes(nn.Sequential(nn.ReLU(), nn.Linear(5, 2)), classified(2.0 * BITS - 1, torch.tensor([0, 1, 0])))
    return Swap()(passes).value


def linear_regions() -> float:
    """Pictures 1 x 3 x 3 whose first five pixels have these signs; a weight of one channel turns all of them alike."""
    pictures = torch.ones(3, 1, 3, 3)
    pictures.flatten(1)[:, :5] = 2.0 * BITS - 1
    model = nn.Sequential(nn.Conv2d(1, 7, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    model(pictures)
    return LinearRegions()(Passes(model, classified(pictures, torch.tensor([0, 1, 0])))).value


def aggregate(name: str, population: list[Passes]) -> np.ndarray:
    """What `nas score` says of a population."""
    proxies = job_proxies.make_all([name], {})
    columns = {
        part: np.array([proxy(passes).value for passes in population], dtype=float) for part, proxy in proxies.items()
    }
    return job_proxies.with_aggregates([name], columns, proxies)[name]


def az_nas() -> float:
    """Three networks of 6 multiply-accumulates each; F_0 has one channel, one, and two.

    Entropies: log 2 then log 3 (growth from 0); of shares 4:1:1; log 2 down to 0. Singular values: 1, 2 and 3.
    """

    def joined(factor: float, old: Tensor, new: Tensor) -> Tensor:
        return torch.cat([factor * old, new], 1)

    deep = branches(
        lambda x, f: x[:, :1],
        lambda x, f: joined(-1, f, x[:, 1:2]),
        lambda x, f: joined(-1, f, x[:, 2:]),
    )
    wide = branches(lambda x, f: x[:, :1], lambda x, f: joined(2, f, x[:, 1:]))
    narrowing = branches(lambda x, f: x[:, :2], lambda x, f: 3 * f[:, :1])
    return float(aggregate("az_nas", [deep, wide, narrowing])[0])


class Powers(nn.Module):
    """One linear layer on a power of the image; beside it a ReLU of the image above a threshold, which adds nothing."""

    def __init__(self, power: float, threshold: float) -> None:
        super().__init__()
        self.power, self.threshold = power, threshold
        self.linear = nn.Linear(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        patterns = torch.relu(x - self.threshold)
        return self.linear(x.flatten(1) ** self.power) + 0 * patterns.sum()


def te_nas() -> float:
    """Orthogonal images of norms 3, 2 and 1. Condition numbers 9, 3 and 81; regions 3, 2 and 1."""
    images = torch.zeros(3, 1, 3, 3)
    for place, norm in enumerate((3.0, 2.0, 1.0)):
        images[place].view(-1)[place] = norm
    population = [
        Passes(Powers(power, threshold), classified(images, torch.tensor([0, 1, 0])))
        for power, threshold in ((1.0, 0.0), (0.5, 2.5), (2.0, -1.0))
    ]
    return float(aggregate("te_nas", population)[1])


CARD = "card of zero-cost proxies, cheap check"
NOISE = log(64 * sqrt(((1 - sqrt(0.5)) ** 2 + 0.5) * 2 / pi))
GOLDEN: dict[str, tuple[Callable[[], float], float, float, str]] = {
    "zen": (
        lambda: Zen(repeats=1000, batch=8, gamma=1.0)(normalised_noise()).value,
        NOISE - (0.5772156649 + log(2)) / 2,
        0.1,
        "own: log E sum|F - F'| + E log|w| of a normal weight, in closed form",
    ),
    "zen_running": (zen_running_less_its_scale, NOISE, 0.02, "own: log E sum|F - F'| of the same, in closed form"),
    "zico": (
        lambda: zico([1.0, 2.0, 0.0], [3.0, 2.0, 0.0]) + zico([1.0, 2.0, 0.0], [5.0, 2.0, 0.0]),
        0.693147 + log(3 / 2),
        1e-6,
        f"{CARD} 3; own: mean 3 over a deviation of 2, which is not its own square",
    ),
    "swap": (swap, 4, 0, f"{CARD} 4"),
    "linear_regions": (linear_regions, 3, 0, f"{CARD} 4"),
    "meco": (
        lambda: (
            meco([1.0, 1.0, -1.0, -1.0], [1.0, 0.0, -1.0, 0.0]) + meco([1.0, 2.0, 4.0, 0.0], [-1.0, -2.0, -4.0, 0.0])
        ),
        2 - sqrt(2),
        1e-6,
        f"own: two channels that correlate by sqrt(1/2), counted for a module and its container; {CARD} 8: opposites 0",
    ),
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
    "az_nas": (
        az_nas,
        2 * log(2 / 3),
        1e-6,
        "AZ-NAS, arXiv 2403.19232: own network, best of three in expressivity and trainability, second in "
        "progressivity, level in MACs",
    ),
    "te_nas": (
        te_nas,
        5,
        0,
        "TE-NAS, arXiv 2102.11535: own network, best of three in condition number, second in regions",
    ),
}
