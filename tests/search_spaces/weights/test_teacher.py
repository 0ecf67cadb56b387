"""Models of timm as teachers: weights from a file, classes, and the scale of the images."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from search_spaces.errors import FieldError
from search_spaces.weights.teacher import OnOwnScale, check_timm_teacher, timm_teacher

MODEL = "test_resnet"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "five.safetensors"
    torch.manual_seed(1)
    network = timm.create_model(MODEL, num_classes=5).eval()
    save_file(network.state_dict(), path)
    return path, network


def test_weights_come_from_a_file(checkpoint):
    path, network = checkpoint
    images = torch.randn(2, 3, 32, 32)
    plain = timm_teacher(MODEL, classes=5, checkpoint=str(path))
    assert torch.equal(plain(images), network(images))
    mean, std = network.default_cfg["mean"], network.default_cfg["std"]
    other = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}
    scaled = timm_teacher(MODEL, classes=5, checkpoint=str(path), preprocessing=other)
    raw = torch.rand(2, 3, 32, 32)
    per_channel = [torch.tensor(one)[:, None, None] for one in (mean, std, other["mean"], other["std"])]
    own, here = (raw - per_channel[0]) / per_channel[1], (raw - per_channel[2]) / per_channel[3]
    assert torch.allclose(scaled(here), network(own), atol=1e-4)


def test_other_classes_are_one_line(checkpoint):
    path, _ = checkpoint
    with pytest.raises(FieldError, match=r"five.safetensors tells 5 classes apart, the data have 7"):
        timm_teacher(MODEL, classes=7, checkpoint=str(path))
    with pytest.raises(FieldError, match="tells 1000 classes apart, the data have 7"):
        check_timm_teacher(MODEL, classes=7, checkpoint=None)


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FieldError, match=r"the weights of .* are not on this machine.*train.teacher_checkpoint"):
        timm_teacher("resnet152d.ra2_in1k", classes=1000)


def test_weights_of_another_network_are_one_line(checkpoint):
    path, _ = checkpoint
    with pytest.raises(FieldError, match="holds the weights of another network"):
        timm_teacher("test_vit", classes=5, checkpoint=str(path))


def test_images_are_brought_to_the_size_that_a_teacher_needs():
    seen = []

    class Sees(nn.Module):
        def forward(self, images):
            seen.append(images.shape[-1])
            return images.mean((2, 3))

    scale = ([0.0] * 3, [1.0] * 3)
    OnOwnScale(Sees(), scale, scale, side=24)(torch.randn(2, 3, 16, 16))
    OnOwnScale(Sees(), scale, scale)(torch.randn(2, 3, 16, 16))
    assert seen == [24, 16]
