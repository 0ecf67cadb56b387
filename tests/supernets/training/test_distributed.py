"""Two processes train as one."""

import os
import socket
import time
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from nas.data.text.forms import Continued
from nas.data.text.text_data import TextData
from search_spaces import Space
from search_spaces.families.hr_multibranch import hr_multibranch
from search_spaces.families.language import language
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from supernets import ExpertsConfig, Supernet, TicketConfig, TrainConfig, phases, processes, train, with_experts
from supernets.tasks import Language
from tests.nas.data.text.test_token_batches import in_order, rows
from tests.service.run.text_spaces import readers
from tests.supernets.helpers import Images
from tests.supernets.training.test_tickets import without_dropout
from tests.supernets.transforms.test_tickets import TINY

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
SPACE = small_mobilenet_v3(image_size=8, channels=1, classes=4, stage_widths=(8, 16), strides=(1, 2), dropout=0.0)


SETTINGS = {
    "progressive shrinking": {"schedule": "progressive_shrinking", "epochs": 3},
    "PA&DA": {
        "sampler": "path_adaptive",
        "examples": "importance",
        "example_weights": True,
        "subnets_per_step": 2,
        "epochs": 5,
    },
    "tickets": {
        "tickets": TicketConfig(
            **{"sparsity": 0.5, "prune_step": 0.25, "prune_interval": 1, "removal_interval": 2, "least_macs": 0},
            **{"rho": 0.6, "rho_epochs": 1, "threshold": 0.95},
        ),
        "epochs": 4,
        "ema_decay": 0.5,
    },
    "text": {"sampler": "sandwich", "accumulate": 2, "epochs": 3},
    "text with experts": {"sampler": "sandwich", "epochs": 3},
    "text by importance": {"examples": "importance", "example_weights": True, "epochs": 3},
}


def space_of(settings: str) -> Space:
    if settings == "tickets":
        return hr_multibranch(**TINY)
    if settings == "text with experts":
        sizes = {"embeds": (4, 8), "ratios": (1, 2), "heads": (1, 2), "head_width": 4, "depths": (1, 2), "longest": 32}
        plain = language(vocabulary=90, length=6, dropout=0.0, **sizes)
        return with_experts(plain, ExpertsConfig(routing="neuron", hidden=4))
    return readers(vocabulary=90) if settings.startswith("text") else SPACE


def train_once(siblings, settings: str, folder: Path | None = None) -> Supernet:
    torch.manual_seed(0)
    config = TrainConfig(batch_size=24, lr=0.02, momentum=0.0, clip_norm=None, **SETTINGS[settings])
    if settings.startswith("text"):
        space, text = space_of(settings), TextData(in_order(rows(121)), Continued(), CPU)
        supernet = Supernet(space).double()
        return train(
            supernet, phases(space, config), text, config, task=Language(), seed=1, folder=folder, processes=siblings
        )
    space, images = space_of(settings), Images()
    images.images = images.images.double()  # so that nothing but rounding in the last digits is left to differ
    supernet = without_dropout(Supernet(space).double())
    return train(supernet, phases(space, config), images, config, seed=1, folder=folder, processes=siblings)


def worker(rank: int, port: int, folder: str, settings: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        {
            "RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "LOCAL_RANK": str(rank),
        }
    )
    with processes(CPU) as siblings:
        time.sleep(1.5 * rank)  # the second process comes late, when the first has saved its first checkpoint
        supernet = train_once(siblings, settings, Path(folder) / "train")
        torch.save(supernet.state_dict(), f"{folder}/rank{rank}.pt")


@pytest.mark.integration
@pytest.mark.parametrize("settings", SETTINGS)
def test_two_processes_equal_one_with_the_joined_batch(tmp_path, settings):
    """Weights after SGD without momentum are sums of gradients: equal weights mean equal gradients, through batch-norm
    statistics, teacher and all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, args=(port, str(tmp_path), settings), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    with processes(CPU) as alone:
        whole = train_once(alone, settings).state_dict()
    torch.manual_seed(0)
    initial = Supernet(space_of(settings)).state_dict()
    for name, tensor in whole.items():
        assert torch.equal(first[name], second[name]), f"{name} differs between the processes"
        assert torch.allclose(first[name], tensor, rtol=1e-7, atol=1e-9), name
    changed = sum(not torch.allclose(tensor.double(), initial[name].double()) for name, tensor in whole.items())
    assert changed > (len(whole) - 1 if settings.startswith("text") else 20)
