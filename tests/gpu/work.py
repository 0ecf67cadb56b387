"""Work that the tests of this folder do in processes of their own."""

import os
from pathlib import Path

import torch

from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from supernets import Supernet, TrainConfig, phases, processes, train
from supernets.training import Processes
from tests.gpu.device import device, repeatable
from tests.supernets.helpers import Images, tiny_mobilenet

SPACE = small_mobilenet_v3(image_size=8, channels=1, classes=4, stage_widths=(8, 16), strides=(1, 2), dropout=0.0)
LONG = TrainConfig(epochs=40, batch_size=16, lr=0.05, checkpoint_every_s=0, subnets_per_step=2, bf16=False)
SHORT = TrainConfig(epochs=3, batch_size=24, lr=0.02, momentum=0.0, clip_norm=None, schedule="progressive_shrinking")


def images(on: torch.device) -> Images:
    """Return the images of tests on a device."""
    found = Images()
    found.images, found.labels = found.images.to(on), found.labels.to(on)
    return found


def long_training(folder: Path | None = None) -> Supernet:
    """Train with checkpoints after every look at the losses."""
    repeatable()
    torch.manual_seed(0)
    space = tiny_mobilenet(expands=(1, 2, 3), dropout=0.1)
    supernet = Supernet(space).to(device())
    return train(supernet, phases(space, LONG), images(device()), LONG, seed=3, folder=folder)


def train_until_killed(folder: str) -> None:
    """Do the same in a process of its own, and leave the weights in the folder."""
    torch.set_num_threads(1)
    long_training(Path(folder)).save(Path(folder) / "final.safetensors")


def train_together(siblings: Processes) -> Supernet:
    """Train in double precision, so that nothing but the last digits may differ."""
    torch.manual_seed(0)
    data = images(device())
    data.images = data.images.double()
    supernet = Supernet(SPACE).double().to(device())
    return train(supernet, phases(SPACE, SHORT), data, SHORT, seed=1, processes=siblings)


def train_as_one_of_two(rank: int, port: int, folder: str) -> None:
    """Train as one of two processes that share the device."""
    torch.set_num_threads(1)
    os.environ.update(
        {
            **{"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        }
    )
    with processes(device()) as siblings:
        supernet = train_together(siblings)
        torch.save({name: tensor.cpu() for name, tensor in supernet.state_dict().items()}, f"{folder}/rank{rank}.pt")
