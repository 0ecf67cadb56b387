"""Every format gives the network back, in fresh processes that have only what the format promises to need."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.export import Deployable, load_network, write_exported_program, write_int8, write_onnx, write_safetensors
from search_spaces import Architecture, Decision, Space
from search_spaces.families.autoformer import small_autoformer
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3, small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import parse
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.families.proxyless import proxyless
from search_spaces.families.timm_elastic import timm
from supernets import Supernet, calibrate
from supernets.tasks import Classification

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")

SMALL = {"channels": 1, "stage_widths": (8, 12), "strides": (1, 2), "depths": (1, 2), "last_width": 16}
TINY = {"stem_width": 8, "first_width": 8, "stage_widths": (8, 16), "depths": (2, 2), "strides": (1, 2)}
MIXED = "|avg_pool_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
SPACES: dict[str, tuple[str, dict, Callable[[Space], Architecture], tuple[int, int]]] = {
    # the network works at 24 pixels and is fed images of 40
    "ofa_mobilenet_v3": (
        "search_spaces.families.mobilenet_v3:ofa_mobilenet_v3",
        {"width": 0.25, "classes": 4, "resolutions": (24, 40)},
        lambda space: space.smallest(),
        (40, 40),
    ),
    # grey, and not square
    "small_mobilenet_v3": (
        "search_spaces.families.mobilenet_v3:small_mobilenet_v3",
        {"image_size": 8, **SMALL},
        lambda space: space.sample(np.random.default_rng(1)),
        (8, 12),
    ),
    "nasbench201": (
        "search_spaces.families.nasbench201:nasbench201",
        {"width": 4, "cells": 1, "image_size": 8, "shared_affine": False},
        lambda space: space.architecture(parse(MIXED)),
        (8, 8),
    ),
    "nasbench_macro": (
        "search_spaces.families.nasbench_macro:nasbench_macro",
        {"width": 4, "head_width": 16, "image_size": 8},
        lambda space: space.sample(np.random.default_rng(0)),
        (8, 8),
    ),
    "proxyless": (
        "search_spaces.families.proxyless:proxyless",
        {**TINY, "stem_stride": 1, "head_width": 16, "image_size": 8, "classes": 10},
        lambda space: space.sample(np.random.default_rng(0)),
        (8, 8),
    ),
    "small_autoformer": (
        "search_spaces.families.autoformer:small_autoformer",
        {"image_size": 8, "embeds": (16, 24), "heads": (1, 2), "depths": (1, 2), "head_width": 8},
        lambda space: space.sample(np.random.default_rng(0)),
        (8, 8),
    ),
    # read off models of timm; the files must not need it
    "timm": (
        "search_spaces.families.timm_elastic:timm",
        {"model": "test_efficientnet", "classes": 4, "resolutions": (32, 48)},
        lambda space: space.sample(np.random.default_rng(1)),
        (48, 48),
    ),
    "timm attention": (
        "search_spaces.families.timm_elastic:timm",
        {"model": "test_vit", "classes": 4, "resolutions": (64,)},
        lambda space: space.sample(np.random.default_rng(1)),
        (64, 64),
    ),
}
_LISTED = (ofa_mobilenet_v3, small_mobilenet_v3, nasbench201, nasbench_macro, proxyless, small_autoformer, timm)
MAKERS = {function.__name__: function for function in _LISTED}
FILES = {"model.onnx": write_onnx, "model.pt2": write_exported_program, "model.safetensors": write_safetensors}
OURS = ("nas", "service", "search_spaces", "supernets", "proxies", "timm", "torchvision", "safetensors", "mlflow")
BLOCK = """
import sys, pathlib

class Without:
    \"\"\"A finder that does not find some packages, as if they were not installed.\"\"\"

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {names} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""
RUN_PT2 = """
import torch
for folder in sys.argv[1:]:
    folder = pathlib.Path(folder)
    inputs, expected = torch.load(folder / "example.pt")
    network = torch.export.load(folder / "model.pt2").module()
    for size in (1, 2, 5, 16):
        rows = torch.arange(size) % len(inputs)
        difference = (network(inputs[rows]) - expected[rows]).abs().max() / expected.abs().max()
        assert difference < 1e-4, (folder, size, difference)
    print(folder.name)
"""
RUN_ONNX = """
import numpy, onnxruntime
for folder in sys.argv[1:]:
    folder = pathlib.Path(folder)
    example = numpy.load(folder / "example.npz")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    for size in (1, 2, 5, 16):
        rows = numpy.arange(size) % len(example["input"])
        (logits,) = session.run(None, {"input": example["input"][rows]})
        expected = example["output"][rows]
        assert abs(logits - expected).max() < 1e-3 * abs(expected).max(), (folder, size)
    print(folder.name)
"""


def deployable(name: str) -> Deployable:
    function, options, choose, size = SPACES[name]
    space = MAKERS[name.partition(" ")[0]](**options)
    generator = torch.Generator().manual_seed(0)
    examples = torch.randn(6, space.inputs[0].shape[0], *size, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = calibrate(Supernet(space).extract(choose(space)), [examples])
    described = {"name": space.name, "function": function, "options": options}
    card = {"architecture": choose(space).to_json(), "space": described}
    return Deployable(network=network, space=space, architecture=choose(space), examples=(examples,), card=card)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> dict[str, tuple[Path, Deployable, dict[str, dict]]]:
    """Name of a space -> folder with all exact formats, what was exported, what each format says of itself."""
    made = {}
    for name in SPACES:
        folder, network = tmp_path_factory.mktemp("exports") / name.replace(" ", "_"), deployable(name)
        folder.mkdir()
        records = {file: write(network, folder / file) for file, write in FILES.items()}
        (folder / "card.json").write_text(json.dumps(network.card))
        np.savez(folder / "example.npz", input=network.examples[0].numpy(), output=network.expected.numpy())
        torch.save((network.examples[0], network.expected), folder / "example.pt")
        made[name] = (folder, network, records)
    return made


def in_fresh_process(code: str, blocked: tuple[str, ...], folders: list[Path]) -> list[str]:
    """Lines that code prints in a new interpreter in which some packages cannot be imported."""
    script = BLOCK.format(names=repr(set(blocked))) + code
    command = [sys.executable, "-I", "-W", "ignore", "-c", script, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.integration
def test_exported_programs_run_where_there_is_only_torch(exported):
    folders = [folder for folder, _, _ in exported.values()]
    assert in_fresh_process(RUN_PT2, (*OURS, "onnx", "onnxruntime"), folders) == [
        name.replace(" ", "_") for name in SPACES
    ]


@pytest.mark.integration
def test_onnx_files_run_where_there_is_only_onnxruntime(exported):
    folders = [folder for folder, _, _ in exported.values()]
    assert in_fresh_process(RUN_ONNX, (*OURS, "onnx", "torch"), folders) == [name.replace(" ", "_") for name in SPACES]


@pytest.mark.parametrize("name", SPACES)
def test_a_card_rebuilds_the_network(exported, name):
    folder, network, _ = exported[name]
    rebuilt = load_network(folder / "card.json")
    assert not rebuilt.training
    with torch.inference_mode():
        torch.testing.assert_close(rebuilt(*network.examples), network.expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_records_state_difference_and_tolerance(exported, name):
    for record in exported[name][2].values():
        assert record["relative_difference"] <= record["tolerance"] == 1e-3
        assert record["batch_sizes"] == [1, 3, 8]


@pytest.mark.parametrize("name", SPACES)
def test_files_carry_their_card_and_name_no_folder_of_this_machine(exported, name):
    import onnx

    folder, network, _ = exported[name]
    (carried,) = onnx.load(folder / "model.onnx").metadata_props
    assert json.loads(carried.value) == json.loads(json.dumps(network.card))
    files = {"card.json": ""}
    torch.export.load(folder / "model.pt2", extra_files=files)
    assert json.loads(files["card.json"]) == json.loads(carried.value)
    places = [str(Path(torch.__file__).parent).encode(), str(Path(__file__).parents[3]).encode()]
    assert not any(place in (folder / "model.onnx").read_bytes() for place in places)
    with zipfile.ZipFile(folder / "model.pt2") as archive:
        assert not any(place in archive.read(part) for part in archive.namelist() for place in places)


def test_int8_tells_the_accuracy_before_and_after(tmp_path):
    import onnx

    network = deployable("nasbench201")
    (images,), labels = network.examples, network.expected.argmax(1)
    network = replace(
        network,
        calibration=lambda: iter([(images[:3],), (images[3:],)]),
        task=Classification(),
        splits={"validation": lambda: iter([(images, labels)])},
    )
    record = write_int8(network, tmp_path / "model.int8.onnx")
    assert record["method"] == "static"
    assert record["calibration_images"] == 6
    accuracy = record["accuracy"]["validation"]
    assert accuracy["before_percent"] == 100
    assert accuracy["after_percent"] >= 50
    weights = {tensor.name: tensor for tensor in onnx.load(tmp_path / "model.int8.onnx").graph.initializer}
    eight_bits = [name for name, tensor in weights.items() if tensor.data_type == onnx.TensorProto.INT8]
    scales = [weights[name.replace("_quantized", "_scale")] for name in eight_bits if name.endswith("_quantized")]
    assert any(scale.dims and scale.dims[0] > 1 for scale in scales), "one scale a channel"


def plain_deployable(network: nn.Module, *examples: Tensor) -> Deployable:
    space = Space(name="one", decisions=(Decision("it", (1,)),), network=lambda architecture: network)
    return Deployable(network=network, space=space, architecture=space.architecture({"it": 1}), examples=examples)


def test_int8_of_a_network_without_convolutions_needs_no_calibration(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    record = write_int8(plain_deployable(network, torch.randn(4, 1, 4, 4)), tmp_path / "model.int8.onnx")
    assert record["method"] == "dynamic"


def test_int8_of_a_convolution_asks_for_calibration_batches(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 4))
    with pytest.raises(ValueError, match="needs calibration examples"):
        write_int8(plain_deployable(network, torch.randn(4, 1, 4, 4)), tmp_path / "model.int8.onnx")


def test_a_network_that_gives_nan_is_refused(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    nn.init.constant_(network[1].weight, torch.nan)
    with pytest.raises(ValueError, match="NaN or infinity"):
        write_safetensors(plain_deployable(network, torch.randn(2, 1, 2, 2)), tmp_path / "model.safetensors")


def test_an_uncalibrated_network_is_refused():
    with pytest.raises(ValueError, match="not calibrated"):
        plain_deployable(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), torch.randn(2, 1, 2, 2))


@pytest.mark.parametrize("wrong", [lambda logits: logits * 1.01, lambda logits: logits * torch.nan])
def test_a_file_with_another_output_is_refused(wrong):
    network = plain_deployable(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.randn(2, 1, 2, 2))
    assert network.agreement(network.network)["relative_difference"] < 1e-5  # processors round batches differently
    with pytest.raises(ValueError, match=r"differs from that of the network by .*, more than 0.001"):
        network.agreement(lambda images: wrong(network.network(images)))


def test_a_card_runs_no_code_but_that_of_search_spaces(exported, tmp_path):
    folder, network, _ = exported["nasbench201"]
    for function in ("os:system", "search_spaces.space:json", "search_spaces:os"):
        card = {**network.card, "space": {**network.card["space"], "function": function}}
        (tmp_path / "card.json").write_text(json.dumps(card))
        with pytest.raises(ValueError, match="give it as `space`"):
            load_network(tmp_path / "card.json")
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert isinstance(load_network(tmp_path / "card.json", space=network.space), nn.Module)
