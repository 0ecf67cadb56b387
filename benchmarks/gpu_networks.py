"""The supernets that `benchmarks.gpu` trains and judges, and how much bfloat16 changes the accuracy of candidates."""

from collections.abc import Sequence

import numpy as np
import torch

from nas.data import DataConfig, load_data
from nas.objectives import Quality
from nas.subnets import Subnets
from search_spaces import Space
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from supernets import Classification, Supernet, TrainConfig, phases, train

_CALIBRATION, _BATCH = 1000, 200


def spaces() -> dict[str, tuple[Space, int]]:
    """Return the space of the recipe `cifar10` and NAS-Bench-201 in its published size, each with its batch size."""
    widths = {"stem_width": 24, "first_width": 24, "stage_widths": (32, 64, 128), "depths": (1, 2), "kernels": (3, 5)}
    narrow = {"stem_stride": 2, "strides": (1, 2, 2), "expands": (2, 3, 4), "last_width": 192, "feature_width": 256}
    return {
        "cifar10": (small_mobilenet_v3(image_size=32, **widths, **narrow), 128),
        "nasbench201": (nasbench201(width=16, cells=5, image_size=32), 256),
    }


def changes_in_bfloat16(device: torch.device, *, epochs: float, candidates: int) -> Sequence[float]:
    """Return by how many points the accuracy of each candidate changes where it is calibrated and judged in bfloat16.

    The supernet is trained on handwritten digits.

    Args:
        device: The device; on a CPU nothing changes.
        epochs: Passes over the training examples.
        candidates: Random architectures.
    """
    data, task = load_data(DataConfig(), device=device), Classification(10)
    space = small_mobilenet_v3(image_size=8, channels=1, classes=10, stem_width=16, first_width=16)
    config = TrainConfig(epochs=epochs, batch_size=64)
    supernet = train(Supernet(space).to(device), phases(space, config), data.train, config, task=task)
    calibration = [images for images, _ in data.train.batches(_BATCH, epoch=0, seed=0)][: _CALIBRATION // _BATCH]
    generator = np.random.default_rng(0)
    chosen = [space.sample(generator) for _ in range(candidates)]
    found = []
    for bf16 in (False, True):
        subnets = Subnets(supernet, lambda: calibration, bf16=bf16)
        quality = Quality(task, subnets, lambda _: data.validation.sequential(10_000), bf16=bf16)
        found.append([quality.evaluate(one).value for one in chosen])
    return [abs(one - other) for one, other in zip(*found, strict=True)]
