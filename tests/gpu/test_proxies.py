"""Every proxy on the device, against the CPU and against itself."""

import pytest
import torch

from proxies import ScoreError, score
from service import catalogue
from service.job import proxies as job_proxies
from tests.conformance.test_proxies import Blocks
from tests.proxies import networks
from tests.proxies.networks import classified
from tests.proxies.test_gathered import MODELS

pytestmark = pytest.mark.gpu

DRAWN = {"zen", "zen_running", "meco", "linear_regions", "az_expressivity", "az_progressivity", "az_trainability"}
"""Proxies that draw numbers, which are others on each kind of device."""
COUNTED = {"swap": 0.02, "gradsign": 1e-3, "layers": 0.0}
"""How far counts may differ: the signs of numbers that are zero but for rounding."""


@pytest.fixture
def proxies() -> dict[str, object]:
    return {name: job_proxies.make(name, {}) for name in catalogue.PROXIES}


def test_every_proxy_gives_the_score_of_the_cpu(proxies, accelerator: torch.device) -> None:
    torch.manual_seed(0)
    model, (images, labels) = Blocks(), networks.batch(16)
    here = score(model, classified(images, labels), proxies)
    there = score(model.to(accelerator), classified(images, labels), proxies)
    again = score(model, classified(images, labels), proxies)
    for name, expected in here.items():
        found, repeated = there[name], again[name]
        assert not isinstance(found, ScoreError), f"{name}: {found}"
        assert not isinstance(expected, ScoreError), f"{name}: {expected}"
        assert not isinstance(repeated, ScoreError), f"{name}: {repeated}"
        assert repeated.value == pytest.approx(found.value, rel=1e-3), name
        tolerance = 0.5 if name in DRAWN else COUNTED.get(name, 5e-3)
        assert found.value == pytest.approx(expected.value, rel=tolerance, abs=1e-6), name


@pytest.mark.parametrize("name", ["residual", "nasbench201", "small_mobilenet_v3", "vit_tiny_patch16_224"])
def test_gathered_passes_equal_the_loop_on_the_device(name: str, accelerator: torch.device) -> None:
    """In double precision, both on the device."""
    model, batch = MODELS[name](name)
    model, batch = model.to(accelerator), batch.to(accelerator, torch.float64)
    exact = ("gradsign", "nasi", "ntk", "zico", "snip", "jacov", "swap", "synflow")
    some = {key: job_proxies.make(key, {}) for key in exact}
    loop, gathered = (score(model, batch, some, gathered=way) for way in (False, True))
    for key, expected in loop.items():
        found = gathered[key]
        if isinstance(expected, ScoreError) or isinstance(found, ScoreError):
            assert str(found) == str(expected), key
        else:
            assert found.value == pytest.approx(expected.value, rel=1e-5), key
