"""Images that lie on the device, and images that are streamed to it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data import DataConfig, load_data
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from supernets import Supernet, TrainConfig, calibrate, phases, train
from supernets.tasks import Classification
from tests.nas.data.pictures import SIZE, write_folder

pytestmark = pytest.mark.gpu

SPACE = small_mobilenet_v3(image_size=SIZE, classes=2, stage_widths=(8, 16), strides=(1, 2), depths=(1, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("pictures"), {"a": 40, "b": 40})


def loaded(folder: Path, device: torch.device, *, in_memory: bool):
    config = DataConfig(source="folder", path=str(folder), in_memory=in_memory, workers=0 if in_memory else 2)
    return load_data(config, device=device)


@pytest.mark.integration
@pytest.mark.parametrize("in_memory", [True, False], ids=["on the device", "streamed"])
def test_batches_are_on_the_device_and_those_of_the_cpu(
    folder: Path, in_memory: bool, accelerator: torch.device
) -> None:
    there, here = (loaded(folder, device, in_memory=in_memory) for device in (accelerator, torch.device("cpu")))
    for part in ("train", "validation", "test"):
        found = list(getattr(there, part).sequential(8))
        expected = list(getattr(here, part).sequential(8))
        assert len(found) == len(expected) > 0
        for (x, y), (other, labels) in zip(found, expected):
            assert x.device.type == y.device.type == accelerator.type
            assert torch.equal(y.cpu(), labels)
            assert torch.allclose(x.cpu(), other, atol=1e-5)
    x, y = next(iter(there.train.batches(8, epoch=0, seed=0)))
    assert x.device.type == y.device.type == accelerator.type
    assert x.shape == (8, 3, SIZE, SIZE)
    assert bool(torch.isfinite(x).all())


@pytest.mark.integration
@pytest.mark.parametrize("in_memory", [True, False], ids=["on the device", "streamed"])
def test_a_training_and_an_evaluation_read_them(folder: Path, in_memory: bool, accelerator: torch.device) -> None:
    data = loaded(folder, accelerator, in_memory=in_memory)
    settings = TrainConfig(epochs=2, batch_size=16, lr=0.05, sampler="uniform")
    torch.manual_seed(0)
    supernet = train(Supernet(SPACE).to(accelerator), phases(SPACE, settings), data.train, settings, seed=0)
    subnet = supernet.extract(SPACE.sample(np.random.default_rng(0)))
    calibrate(subnet, (batch[:1] for batch in data.train.sequential(16)))
    estimate = Classification().evaluate(subnet.eval(), data.validation.sequential(16))
    assert 0 <= estimate.value <= 100
