"""Both halves of a network as files."""

import json

import pytest
import torch
from torch import nn

from nas.export import Deployable, load_halves, write_halves, write_halves_onnx
from search_spaces import Space
from supernets import Supernet
from tests.search_spaces.split_networks import residual_space
from tests.supernets.helpers import scrambled

CUTS = [
    {"cut": "layer1", "width": 0.5, "bottleneck": 3, "bits": 2},
    {"cut": "layer2", "width": 1.0, "bottleneck": 1, "bits": 32},
    {"cut": "input"},
    {"cut": "none"},
]


def deployable(values, space: Space | None = None) -> Deployable:
    space = space or residual_space(bits=(2, 4, 8, 32))
    architecture = space.architecture(values)
    network = scrambled(Supernet(space)).eval().extract(architecture).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked.fill_(1)
    card = {"key": architecture.key, "architecture": architecture.to_json()}
    return Deployable(network=network, space=space, architecture=architecture, examples=examples(), card=card)


def examples() -> tuple[torch.Tensor, ...]:
    return (torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1)),)


@pytest.mark.parametrize("values", CUTS, ids=lambda values: values["cut"])
def test_weights_of_both_halves_give_the_network_back(values, tmp_path):
    whole = deployable(values)
    record = write_halves(whole, tmp_path / "halves.json")
    assert {path.name for path in tmp_path.iterdir()} == {
        "halves.json",
        "halves.device.safetensors",
        "halves.server.safetensors",
    }
    device, server, message, manifest = load_halves(tmp_path / "halves.json", space=whole.space)
    sent = device(*examples())
    assert torch.allclose(server(message.unpacked(message.packed(sent))), whole.expected, atol=1e-6)
    assert len(message.packed(sent)) == 4 * message.length == 4 * manifest["message"]["bytes"]
    assert record["sent_bytes"] == message.length
    if values["cut"].startswith("layer"):
        assert message.length == whole.space.costs([whole.architecture])["sent_bytes"][0]
    assert manifest["card"]["key"] == whole.architecture.key


@pytest.mark.parametrize("values", CUTS[::3], ids=lambda values: values["cut"])
def test_onnx_files_of_both_halves_give_what_the_network_gives(values, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    whole = deployable(values)
    record = write_halves_onnx(whole, tmp_path / "halves_onnx.json")
    assert record["relative_difference"] < 1e-3
    device, server, message, _ = load_halves(tmp_path / "halves_onnx.json")
    sent = device(*examples())
    assert sent.dtype == (torch.uint8 if values.get("bits") == 2 else torch.float32)
    assert torch.allclose(server(message.unpacked(message.packed(sent))), whole.expected, atol=1e-4)
    files = json.loads((tmp_path / "halves_onnx.json").read_text())["files"]
    assert all((tmp_path / file).is_file() for file in files.values())


def test_a_network_without_halves_is_exported_whole_only(tmp_path):
    space = Space(name="own", decisions=())
    architecture = space.architecture({})
    whole = Deployable(network=nn.Linear(3, 2), space=space, architecture=architecture, examples=(torch.ones(1, 3),))
    for write in (write_halves, write_halves_onnx):
        with pytest.raises((ValueError, ImportError), match=r"no halves, only networks of the space split|onnx"):
            write(whole, tmp_path / "halves.json")
