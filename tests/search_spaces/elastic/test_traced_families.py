"""Elastic networks of real models: the untouched network is the oracle."""

import tempfile
from copy import deepcopy
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from nas.export.onnx import runtime
from nas.hardware.onnx_model import onnx_bytes
from proxies import Batch, score
from proxies.az_nas import Expressivity
from search_spaces.elastic.traced import ElasticGraph
from search_spaces.tracing import trace
from supernets.calibration import calibrate
from tests.search_spaces.elastic.traced_networks import elastic, settings

QUICK = ("test_resnet", "test_vit", "test_convnext")
"""Models that were made for tests, with fewer than a million weights."""
SLOW = (
    "test_byobnet",
    "test_efficientnet",
    "test_mambaout",
    "test_nfnet",
    "coat_lite_tiny",
    "efficientvit_b0",
    "efficientvit_m0",
    "focalnet_tiny_srf",
    "hieradet_small",
    "mobilenetv3_small_050",
    "swin_tiny_patch4_window7_224",
    "tf_efficientnet_lite0",
    "tresnet_m",
)
"""Among them those whose faults were found first: tiles, selectors, shared and blurring weights, own precision."""


@torch.no_grad()
def scrambled(model: nn.Module) -> nn.Module:
    """Return the model with noise on what starts as a constant: scales and heads of zero would hide faults."""
    for parameter in model.parameters():
        if parameter.dim() < 2 or float(parameter.std()) < 1e-3:
            parameter.add_(0.1 * torch.randn_like(parameter))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(0.1 * torch.randn_like(buffer))
    return model


def made(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = scrambled(timm.create_model(name, num_classes=10).eval())
    side = model.default_cfg["input_size"][1]
    return model, torch.randn(2, 3, side, side)


def agrees(name: str) -> ElasticGraph:
    """Compare the elastic network of a model with the model, and extracted networks with active ones."""
    original, x = made(name)
    given = trace(deepcopy(original), (x[:1],))
    network = elastic(given)
    with torch.no_grad():
        assert torch.equal(network(x), original(x))
        assert float(original(x).std()) > 0
        outputs = []
        for model in (network.train(), original.train()):
            torch.manual_seed(1)
            outputs.append(model(x))
        assert torch.equal(*outputs)
        theirs = original.state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in network.state_dict().items() if key in theirs)
        network.eval()
        for setting in settings(given, 6):
            network.activate(setting)
            active, plain = network(x), network.extract()
            scale = float(active.abs().max().clamp(min=1e-6))
            assert float((plain(x) - active).abs().max()) / scale <= 1e-5
            assert float((plain(x[:1]) - active[:1]).abs().max()) / scale <= 1e-4
    return network


@pytest.mark.parametrize("name", QUICK)
def test_a_model_and_its_elastic_network_agree(name: str):
    agrees(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_many_models_and_their_elastic_networks_agree(name: str):
    agrees(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, "mobilenetv3_small_050", "hieradet_small", "efficientvit_b0"])
def test_extracted_models_survive_onnx_and_torch_export(name: str):
    model, x = made(name)
    given = trace(model, (x[:1],))
    network = elastic(given)
    network.activate(settings(given, 3)[2])
    with torch.no_grad():
        plain = calibrate(network.extract(), [x])
        expected = plain(x)
        shapes = ({0: torch.export.Dim("batch")},)
        program = torch.export.export(plain, (torch.cat([x, x]),), dynamic_shapes=shapes, strict=False)
        torch.testing.assert_close(program.module()(x), expected, rtol=1e-3, atol=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(onnx_bytes(plain, (x,), dynamic_batch=True))
        run = runtime(path)
        for batch in (1, 2):
            torch.testing.assert_close(run(x[:batch]), expected[:batch], rtol=1e-3, atol=1e-3)


def test_proxies_see_the_parts_of_an_extracted_model():
    model, x = made("test_resnet")
    given = trace(model, (x[:1],))
    plain = elastic(given).extract()
    kinds = {type(module) for module in plain.modules()}
    assert {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Linear} <= kinds
    seen: list[str] = []
    for path in ("layer1.0", "layer4.0"):
        plain.get_submodule(path).register_forward_hook(lambda *_, path=path: seen.append(path))
    plain(x)
    assert seen == ["layer1.0", "layer4.0"]
    batch = Batch((torch.randn(4, 3, 64, 64),), lambda output, rows: output[rows].square().mean(1))
    ours, theirs = (score(one, batch, {"az": Expressivity()})["az"].value for one in (plain, model))
    assert ours == pytest.approx(theirs, rel=1e-4)
