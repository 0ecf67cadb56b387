"""Proxies whose released settings are not those of the networks here: what separates them, on NAS-Bench-201."""

import pytest
import torch
from torch import Tensor, nn

from proxies import Batch, Passes
from proxies.logsynflow import LogSynFlow
from proxies.meco import MeCo
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import parse_cell
from search_spaces.networks.cell_modules import ReLUConvNorm
from search_spaces.networks.nasbench201_network import NASBench201Network
from tests.proxies.networks import classified

PUBLISHED_LOGSYNFLOW = {"x331122": 3_743_380.0, "x321304": 2_241_050.0}
"""By FreeREA, for CIFAR-10."""


def network(cell: str, **options: int) -> NASBench201Network:
    space = nasbench201(**options)
    torch.manual_seed(0)
    return space.subnet(space.architecture(parse_cell(cell)))


def batch() -> Batch:
    return classified(torch.zeros(2, 3, 32, 32), torch.tensor([0, 1]))


@pytest.mark.parametrize("cell", PUBLISHED_LOGSYNFLOW)
def test_logsynflow_gives_the_published_scores_with_fan_out_weights_and_a_third_with_those_of_pytorch(
    cell: str,
) -> None:
    model = network(cell)
    plain = LogSynFlow()(Passes(model, batch())).value
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    fan_out = LogSynFlow()(Passes(model, batch())).value
    assert PUBLISHED_LOGSYNFLOW[cell] / fan_out == pytest.approx(1.03, abs=0.04)
    assert plain / PUBLISHED_LOGSYNFLOW[cell] == pytest.approx(0.33, abs=0.1)


class Holding(nn.Module):
    """An operation as the released code holds it: in a module of its own."""

    def __init__(self, op: nn.Module) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class ReleasedTree(nn.Module):
    """The same network with the containers of the released one: cells in a list, pooling outside of the last part."""

    def __init__(self, model: NASBench201Network) -> None:
        super().__init__()
        self.stem, self.cells, self.classifier = model.stem, nn.ModuleList(model.cells), model.classifier
        self.lastact, self.pooling = nn.Sequential(*list(model.last)[:2]), model.last[2]
        for parent in list(self.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, ReLUConvNorm):
                    setattr(parent, name, Holding(child))

    def forward(self, x: Tensor) -> Tensor:
        out = self.stem(x)
        for cell in self.cells:
            out = cell(out)
        return self.classifier(self.pooling(self.lastact(out)).flatten(1))


def test_meco_counts_an_output_once_for_every_module_that_ends_with_it() -> None:
    model = network("x333333", cells=1, width=4)
    ours = MeCo()(Passes(model, batch())).value
    leaves = MeCo(leaves_only=True)(Passes(model, batch())).value
    released = ReleasedTree(model)
    assert MeCo(leaves_only=True)(Passes(released, batch())).value == pytest.approx(leaves, rel=1e-6)
    assert 1.05 < MeCo()(Passes(released, batch())).value / ours < 1.5
