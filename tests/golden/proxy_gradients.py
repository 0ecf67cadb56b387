"""Golden numbers of the proxies from gradients, weights, signs and sizes: name -> what computes it, the number, its
tolerance, its source."""

from collections.abc import Callable
from math import log, sqrt

import torch
from torch import Tensor, nn

from proxies import Passes
from proxies.epe_nas import EpeNas
from proxies.fisher import Fisher
from proxies.grad_norm import GradNorm
from proxies.gradsign import GradSign
from proxies.grasp import Grasp
from proxies.jacov import Jacov
from proxies.l2_norm import L2Norm
from proxies.logsynflow import LogSynFlow
from proxies.nwot import Nwot
from proxies.plain import Plain
from proxies.size import Layers, Macs, Params
from proxies.snip import Snip
from proxies.synflow import SynFlow
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import parse_cell
from tests.proxies.networks import classified


def linear(*rows: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows, dtype=torch.float64))
    return layer


def softmax() -> Passes:
    """Two logits ln 3 and 0 of one image 1, so probabilities 3/4 and 1/4, gradient -1/4 and 1/4 for class 0."""
    return Passes(linear([log(3)], [0.0]), classified(torch.ones(1, 1), torch.tensor([0])))


def paths() -> Passes:
    """|W1| = [[1, 2], [.5, 1]], |w2| = [3, 1]."""
    model = nn.Sequential(linear([1.0, -2.0], [-0.5, 1.0]), nn.BatchNorm1d(2), nn.ReLU(), linear([-3.0, 1.0])).double()
    return Passes(model, classified(torch.randn(2, 2), torch.tensor([0, 0])))


class Squares(nn.Module):
    """Gradient of the logits with respect to the image: the image."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = linear([1.0] * 3, [0.0] * 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x * x / 2)


def half_correlated() -> Passes:
    return Passes(Squares(), classified(torch.tensor([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]]), torch.tensor([1, 1])))


def codes() -> Passes:
    """ReLU codes 1011, 1101 and 0010."""
    images = 2.0 * torch.tensor([[1, 0, 1, 1], [1, 1, 0, 1], [0, 0, 1, 0]]) - 1
    return Passes(nn.Sequential(nn.ReLU(), nn.Linear(4, 2)), classified(images, torch.tensor([0, 1, 0])))


def signs() -> Passes:
    """Gradients (1, -2, 0, 3), (2, -1, .5, -3), (.1, 1, -1, -2) of class 1, their opposites of class 0."""
    gradients = torch.tensor([[1, -2, 0, 3], [2, -1, 0.5, -3], [0.1, 1, -1, -2]])
    return Passes(linear([0.0] * 4, [0.0] * 4), classified(2 * gradients, torch.zeros(3, dtype=torch.long)))


def cell_of_the_card() -> Passes:
    """A NAS-Bench-201 cell with two 3x3, two 1x1 convolutions and two skips, published as number 534."""
    space = nasbench201()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *space.inputs[0].shape, generator=generator)
    return Passes(space.subnet(space.architecture(parse_cell("x331122"))), classified(images, torch.tensor([0, 1])))


CARD = "card of zero-cost proxies, cheap check"
CLOSED = "own: closed form for two logits of one image, probabilities 3/4 and 1/4"
GOLDEN: dict[str, tuple[Callable[[], float], float, float, str]] = {
    "params": (
        lambda: Params()(cell_of_the_card()).value,
        615_386,
        0,
        f"NAS-Bench-Suite-Zero, arXiv 2210.03230, NAS-Bench-201 number 534: 0.615386 M; {CARD} 10",
    ),
    "macs": (lambda: Macs()(cell_of_the_card()).value, 86_426_240, 0, f"{CARD} 10, counted by hand"),
    "layers": (
        lambda: Layers()(cell_of_the_card()).value,
        68,
        0,
        "own: stem, 15 cells of 4, 2 residual blocks of 3, classifier",
    ),
    "plain": (lambda: Plain()(softmax()).value, -log(3) / 4, 1e-9, CLOSED),
    "grad_norm": (lambda: GradNorm()(softmax()).value, sqrt(2) / 4, 1e-9, CLOSED),
    "l2_norm": (lambda: L2Norm()(paths()).value, 2.5 + sqrt(10), 1e-6, "own: norms of the matrices of check 5"),
    "snip": (lambda: Snip()(softmax()).value, log(3) / 4, 1e-9, CLOSED),
    "grasp": (lambda: Grasp()(softmax()).value, log(3) * 3 / 32, 1e-9, f"{CLOSED}; H = 3/16 [[1, -1], [-1, 1]]"),
    "synflow": (lambda: SynFlow()(paths()).value, log(21), 1e-9, f"{CARD} 5: R = 10.5 in each of two layers"),
    "logsynflow": (
        lambda: LogSynFlow()(paths()).value,
        3 * log(4) + 1.5 * log(2) + 3 * log(4) + log(2.5),
        1e-9,
        "own: gradients [[3, 3], [1, 1]] and [3, 1.5] of the network of check 5",
    ),
    "fisher": (lambda: Fisher()(softmax()).value, (log(3) / 4) ** 2 / 2, 1e-9, CLOSED),
    "jacov": (lambda: Jacov()(half_correlated()).value, -2.378967, 1e-6, f"{CARD} 2"),
    "epe_nas": (
        lambda: EpeNas()(half_correlated()).value,
        -2 * (log(1.00001) + log(0.50001)),
        1e-5,
        "own: one class of two samples whose gradients correlate by one half",
    ),
    "nwot": (lambda: Nwot()(codes()).value, 3.4657359, 1e-6, f"{CARD} 1: ln 32"),
    "gradsign": (
        lambda: GradSign()(signs()).value,
        10,
        0,
        "own: signs of three samples sum to 3, 1, 0 and 1 in absolute value, for either class",
    ),
}
