"""The recipe for a pretrained network on photos: it is whole, and asks for nothing but the photos and the weights."""

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from service.job.loading import load_job


def test_the_recipe_adapts_a_pretrained_network_and_then_trains_its_subnets(tmp_path):
    pixels = np.random.default_rng(0)
    for number in range(24):
        place = tmp_path / "pictures" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(place / f"{number}.png")
    weights = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=7).state_dict(), weights)
    sets = [f"space.options.checkpoint={weights}", "space.options.pretrained=false", "space.options.model=test_resnet"]
    said: list[str] = []
    job = load_job("pretrained", [*sets, "data.image_size=32"], data=str(tmp_path / "pictures"), warn=said.append)
    assert (job.train.schedule, job.train.sampler, job.train.adapt.order) == ("adapted", "sandwich", "auto")
    assert job.data.image_size == 32
    assert not [line for line in said if line.startswith("train.schedule")]
    load_job("pretrained", [*sets, "data.image_size=32", "train.schedule=whole", "train.adapt={}"],
             data=str(tmp_path / "pictures"), warn=said.append)  # fmt: skip
    assert [line for line in said if line.startswith("train.schedule: whole trains other sizes")]
