"""Second derivatives against torch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from proxies.passes import Passes
from tests.proxies import networks
from tests.proxies.networks import classified


def plain_hessian_gradient(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    passes = Passes(model, classified(images, labels))
    weights = list(passes.weights.values())
    loss = F.cross_entropy(passes.model(*passes.batch.inputs), labels)
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    product = torch.stack([(g.detach() * g).sum() for g in gradients]).sum()
    return list(torch.autograd.grad(product, weights))


@pytest.mark.parametrize("name", ["plain", "strided", "residual", "perceptron"])
def test_hessian_times_gradient_equals_that_of_torch(name: str) -> None:
    model = networks.network(name).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    images, labels = networks.batch()
    expected = plain_hessian_gradient(model, images.double(), labels)
    found = Passes(model, classified(images, labels), needs=frozenset({"second_order"})).hessian_gradient
    for e, f in zip(expected, found.values(), strict=True):
        assert e.abs().max() > 1e-8
        torch.testing.assert_close(f, e, rtol=1e-8, atol=1e-12)


def test_first_gradients_and_input_gradients_are_the_same() -> None:
    model = networks.network("residual").double()
    batch = classified(*networks.batch())
    first, second = Passes(model, batch), Passes(model, batch, needs=frozenset({"second_order"}))
    torch.testing.assert_close(second.weight_gradients, first.weight_gradients)
    torch.testing.assert_close(second.input_gradients, first.input_gradients)
