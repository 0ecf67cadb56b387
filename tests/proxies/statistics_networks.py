"""Networks and settings for the proxies from statistics of features, gradients and activations."""

import torch
from torch import nn

from proxies import Passes
from proxies.az_nas import Expressivity, Progressivity, Trainability
from proxies.linear_regions import LinearRegions
from proxies.meco import MeCo
from proxies.nasi import Nasi
from proxies.ntk import Ntk
from proxies.swap import Swap
from proxies.zen import Zen
from proxies.zico import ZiCo
from tests.proxies.networks import classified


class Residual(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(channels, out, 1, stride)

    def forward(self, x):
        return self.body(x) + self.skip(x)


def plain():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, 1, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def residual():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)),
        Residual(8, 8, 1),
        Residual(8, 16, 2),
        Residual(16, 16, 1),
        nn.Sequential(nn.BatchNorm2d(16), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def depthwise():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 5, 1, 2, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 12, 1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.ReLU(), nn.Linear(12, 5))


CNNS = {"plain": plain, "residual": residual, "depthwise": depthwise}
NETWORKS = CNNS | {"mlp": mlp}
BEFORE_POOLING = {"plain": 5, "residual": 4, "depthwise": 8}
PROXIES = {
    "zen": Zen(repeats=2, batch=4),
    "zico": ZiCo(),
    "meco": MeCo(size=16),
    "swap": Swap(),
    "ntk": Ntk(samples=4),
    "ntk_sample": Ntk(samples=4, normalisation="sample"),
    "nasi": Nasi(),
    "linear_regions": LinearRegions(inputs=100),
    "az_expressivity": Expressivity(batch=8),
    "az_progressivity": Progressivity(batch=8),
    "az_trainability": Trainability(batch=8),
}


def network(name):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return NETWORKS[name]().train()


def passes_of(name, images, labels):
    return Passes(network(name), classified(images, labels))
