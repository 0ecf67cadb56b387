"""Trainings on CUDA: captured passes, and no step in which the host waits for the device."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from search_spaces import Space
from search_spaces.families.darts import darts
from search_spaces.families.nasbench201 import nasbench201
from supernets import Classification, Processes, Supernet, TrainConfig, phases
from supernets.device import computing
from supernets.streams import STEP
from supernets.training.capture.capturing import Capturing, capturing
from supernets.training.example_importance import ExampleImportance
from supernets.training.steps.step import Moment
from supernets.training.steps.supernet import SupernetStep
from tests.supernets.helpers import tiny_mobilenet

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
BATCH = 32


def cells(**options: Any) -> Space:
    return nasbench201(width=8, cells=1, image_size=16, channels=1, classes=4, **options)


class Trained:
    """A supernet on CUDA that is trained by steps on the same images, from the same weights."""

    def __init__(self, space: Space, capture: str, **settings: Any) -> None:
        self.device = torch.device("cuda")
        config = TrainConfig(**{"capture": capture, "lr": 0.02, "batch_size": BATCH, **settings})
        self.lr = config.lr
        torch.manual_seed(0)
        self.supernet = Supernet(space).to(self.device)
        self.said: list[str] = []
        self.captured = capturing(self.supernet, config, lambda event: self.said.append(event["message"]))
        self.step = SupernetStep(
            supernet=self.supernet,
            phases=phases(space, config),
            config=config,
            task=Classification(4, class_weights=[1.0, 2.0, 1.0, 0.5]),
            examples=self._importance() if config.examples == "importance" else None,
            capturing=self.captured,
        )
        self.step.begin_phase(0)
        generator = torch.Generator().manual_seed(0)
        side = space.example(space.largest(), 1)[0].shape[-1]
        images = torch.randn(BATCH, 1, side, side, generator=generator).contiguous(memory_format=torch.channels_last)
        self.batch = images.to(self.device), (torch.arange(BATCH) % 4).to(self.device)
        self.number = 0

    def _importance(self) -> ExampleImportance:
        return ExampleImportance(
            count=BATCH, batch_size=BATCH, seed=0, weighted=True, processes=Processes(), device=self.device
        )

    def take(self, steps: int) -> Tensor:
        """Take steps and return the last loss."""
        with computing(self.device):
            for _ in range(steps):
                generator = STEP.generator(0, self.number)
                torch.manual_seed(int(generator.integers(2**62)))
                moment = Moment(step=self.number, epoch=0, batch=0, lr=self.lr, progress=0.1, generator=generator)
                loss = self.step(self.batch, moment)
                self.number += 1
        return loss

    def weights(self) -> Mapping[str, Tensor]:
        return {name: tensor.float().cpu() for name, tensor in self.supernet.state_dict().items()}


@contextmanager
def no_wait() -> Iterator[None]:
    """Make every moment an error at which the host waits for the device."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


SETTINGS: list[tuple[str, Space, dict[str, Any]]] = [
    ("cells", cells(), {}),
    ("cells-fp32", cells(), {"bf16": False}),
    ("fair", cells(), {"sampler": "fair"}),
    ("path_adaptive", cells(), {"sampler": "path_adaptive", "examples": "importance", "example_weights": True}),
    ("darts", darts(width=4, cells=3, image_size=16, channels=1, classes=4), {}),
    ("sandwich", tiny_mobilenet(), {"sampler": "sandwich", "ema_decay": 0.9}),
    ("shift", tiny_mobilenet(), {"sampler": "shift"}),
    ("adamw", tiny_mobilenet(dropout=0.2), {"optimizer": "adamw", "lr": 1e-4}),
]
ids = [name for name, _, _ in SETTINGS]


@pytest.mark.parametrize(("space", "settings"), [one[1:] for one in SETTINGS], ids=ids)
def test_captured_passes_give_the_weights_of_plain_ones(space: Space, settings: dict[str, Any]) -> None:
    plain, captured = Trained(space, "off", **settings), Trained(space, "on", **settings)
    losses = [one.take(12) for one in (plain, captured)]
    found = captured.captured
    assert isinstance(found, Capturing)
    assert found.captures.replayed > found.captures.run / 4
    torch.testing.assert_close(losses[1], losses[0], rtol=0.02, atol=0.02)
    mine, theirs = captured.weights(), plain.weights()
    for name in theirs:
        torch.testing.assert_close(
            mine[name], theirs[name], rtol=0.05, atol=5e-3, msg=lambda text, name=name: name + text
        )


@pytest.mark.parametrize("capture", ["off", "on"])
@pytest.mark.parametrize(("space", "settings"), [one[1:] for one in SETTINGS], ids=ids)
def test_the_host_never_waits_in_a_step(space: Space, settings: dict[str, Any], capture: str) -> None:
    one = Trained(space, capture, **settings)
    one.take(40)  # passes are recorded at their second use, and that waits
    if one.captured is not None:
        one.captured.captures.budget = 0  # record no further one
    with no_wait():
        one.take(5)


def test_passes_stay_within_their_memory() -> None:
    one = Trained(cells(), "on", capture_gb=0.002)
    one.take(40)
    assert one.captured is not None
    assert one.captured.captures.held <= 0.002 * 2**30


def test_the_trial_says_what_it_found() -> None:
    one = Trained(cells(), "auto")
    one.take(300)
    (said,) = one.said
    assert said.startswith(("capture on: a step takes", "capture off: a step takes"))
