"""Every way of training runs on the device, learns, and stays on it."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from search_spaces import Space
from service import catalogue
from supernets import Partition, SplitConfig, Supernet, TrainConfig, phases, train, train_few_shot
from tests.conformance.test_samplers import OPTIONS, SPACES
from tests.supernets.helpers import Images
from tests.supernets.training.test_few_shot import chain

pytestmark = pytest.mark.gpu


def images(device: torch.device) -> Images:
    found = Images()
    found.images, found.labels = found.images.to(device), found.labels.to(device)
    return found


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"epochs": 2, "batch_size": 24, "lr": 0.02, "checkpoint_every_s": 0, **changes})


def trained(space: Space, settings: TrainConfig, device: torch.device, **options: Any) -> tuple[Supernet, list[dict]]:
    torch.manual_seed(0)
    events: list[dict] = []
    supernet = Supernet(space).to(device)
    found = train(
        supernet, phases(space, settings), images(device), settings, seed=1, observer=events.append, **options
    )
    return found, events


def assert_trained(supernet: torch.nn.Module, space: Space, events: list[dict], device: torch.device) -> None:
    torch.manual_seed(0)
    before = Supernet(space).state_dict()
    after = supernet.state_dict()
    assert {tensor.device.type for tensor in after.values()} == {device.type}
    assert all(bool(torch.isfinite(tensor).all()) for tensor in after.values())
    assert sum(not torch.equal(after[name].cpu(), tensor) for name, tensor in before.items()) > len(before) / 4
    losses = [event["loss"] for event in events if "loss" in event]
    assert losses
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("sampler", list(catalogue.SAMPLERS))
def test_steps_of_every_sampler(sampler: str, space: str, bf16: bool, accelerator: torch.device) -> None:
    settings = config(sampler=sampler, sampler_options=OPTIONS.get(sampler, {}), bf16=bf16, epochs=1)
    assert_trained(*of(SPACES[space], settings, accelerator))


def of(space: Space, settings: TrainConfig, device: torch.device) -> tuple[Any, ...]:
    supernet, events = trained(space, settings, device)
    return supernet, space, events, device


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "progressive_shrinking", "epochs": 6},
        {"sampler": "sandwich", "ema_decay": 0.9},
        {"sampler": "path_adaptive", "examples": "importance", "example_weights": True, "subnets_per_step": 2},
    ],
    ids=["progressive shrinking", "average of weights", "importance of examples"],
)
def test_schedules(settings: dict[str, Any], accelerator: torch.device) -> None:
    assert_trained(*of(SPACES["small_mobilenet_v3"], config(**settings), accelerator))


def test_splits(accelerator: torch.device) -> None:
    settings, space = config(epochs=30, batch_size=16, warmup_fraction=0.0), chain()
    torch.manual_seed(0)
    partition = train_few_shot(
        Supernet(space).to(accelerator),
        lambda part, epochs: phases(part, replace(settings, epochs=epochs)),
        images(accelerator),
        settings,
        SplitConfig(rounds=2, repeats=1),
        seed=3,
    )
    assert isinstance(partition, Partition)
    assert len(partition.leaves) == 4
    assert {p.device.type for p in partition.parameters()} == {accelerator.type}


@pytest.mark.parametrize("sampler", ["uniform", "path_adaptive"])
def test_the_first_steps_are_those_of_the_cpu(sampler: str, accelerator: torch.device) -> None:
    """Without momentum weights are sums of gradients: equal weights mean equal gradients."""
    settings = config(sampler=sampler, epochs=1, momentum=0.0, clip_norm=None, capture="off", bf16=False)
    space = SPACES["nasbench201"]
    there, _ = trained(space, settings, accelerator)
    here, _ = trained(space, settings, torch.device("cpu"))
    pairs = zip(there.state_dict().values(), here.state_dict().values(), strict=True)
    assert max(float((a.cpu().double() - b.double()).abs().max()) for a, b in pairs) <= 2e-3


@pytest.mark.parametrize("space", SPACES)
def test_captured_passes_give_the_same_weights(space: str, accelerator: torch.device) -> None:
    """On the CPU nothing is captured, and both are the same."""
    settings = config(sampler="uniform", epochs=6, momentum=0.0, clip_norm=None, bf16=False)
    plain, captured = (trained(SPACES[space], replace(settings, capture=way), accelerator)[0] for way in ("off", "on"))
    pairs = zip(plain.state_dict().values(), captured.state_dict().values(), strict=True)
    assert max(float((a.double() - b.double()).abs().max()) for a, b in pairs) <= 2e-3
