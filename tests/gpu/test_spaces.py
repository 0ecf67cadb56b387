"""Extracted networks of every space equal their active supernet, as trained and as judged on the device."""

import numpy as np
import pytest
import torch

from search_spaces import Space
from supernets import Supernet
from supernets.device import computing, judging
from tests.conformance.test_spaces import SUPERNETS, VECTORS, made
from tests.supernets.helpers import scrambled

pytestmark = pytest.mark.gpu


def on(device: torch.device, space: Space) -> tuple[Supernet, torch.Tensor]:
    supernet = scrambled(Supernet(space)).eval().to(device)
    x = torch.randn(2, *space.inputs[0].shape).to(device)
    if x.dim() == 4:
        x, supernet = (one.to(memory_format=torch.channels_last) for one in (x, supernet))
    return supernet, x


@pytest.mark.parametrize("name", [*SUPERNETS, VECTORS])
def test_extracted_subnet_equals_active_supernet(name: str, accelerator: torch.device) -> None:
    space = made(name)
    supernet, x = on(accelerator, space)
    for architecture in (space.smallest(), space.sample(np.random.default_rng(7)), space.largest()):
        subnet = supernet.extract(architecture)
        with torch.no_grad(), computing(accelerator):
            active = supernet(x)
            plain = subnet(x)
        with torch.no_grad(), judging(subnet):
            judged = subnet(x)
        scale = max(1.0, float(active.abs().max()))
        assert float((plain - active).abs().max()) <= 1e-4 * scale
        assert float((judged - active).abs().max()) <= 1e-4 * scale


@pytest.mark.parametrize("name", [*SUPERNETS, VECTORS])
def test_the_device_computes_what_the_cpu_computes(name: str, accelerator: torch.device) -> None:
    space = made(name)
    supernet, x = on(accelerator, space)
    supernet.activate(space.sample(np.random.default_rng(3)))
    with torch.no_grad(), computing(accelerator):
        there = supernet(x).cpu()
        here = supernet.cpu()(x.cpu())
    assert float((there - here).abs().max()) <= 1e-3 * max(1.0, float(here.abs().max()))
