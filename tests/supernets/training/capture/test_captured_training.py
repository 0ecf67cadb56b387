"""A training with captured passes gives the weights of one without, bit for bit; a stand-in for CUDA records here.

Gradients that come to a captured pass are copied, so they lie in memory like its output. Those of a mean over pixels do
not by themselves, and kernels of the CPU then round in another way. So here they do in both trainings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search_spaces import Space
from search_spaces.families.nasbench201 import nasbench201
from supernets import Classification, LoopConfig, Run, Supernet, TrainConfig, phases, train_steps
from supernets.training.capture.capturing import Capturing
from supernets.training.capture.regions import regions
from supernets.training.steps.supernet import SupernetStep
from tests.supernets.helpers import Images, tiny_mobilenet
from tests.supernets.training.capture.stand_in import StandIn

_ROOM = 2**30


def cells() -> Space:
    return nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4)


def with_dense_gradient(module: nn.Module, inputs: object, output: Tensor) -> None:
    if output.requires_grad:
        output.register_hook(lambda slope: torch.empty_like(output).copy_(slope))


def step_of(space: Space, config: TrainConfig, capturing: Capturing | None, supernet: Supernet) -> SupernetStep:
    for region in regions(supernet):
        region.module.register_forward_hook(with_dense_gradient)
    task = Classification(label_smoothing=config.label_smoothing)
    return SupernetStep(supernet=supernet, phases=phases(space, config), config=config, task=task, capturing=capturing)


def trained(space: Space, capturing: bool, run: Run | None = None, **settings: Any) -> tuple[Mapping[str, Tensor], Any]:
    """Return the weights after a training, and what captured its passes."""
    config = TrainConfig(**{"batch_size": 16, "epochs": 2, "lr": 0.05, "warmup_fraction": 0.0, **settings})
    torch.manual_seed(0)
    supernet = Supernet(space)
    found = Capturing(supernet, StandIn(), budget=_ROOM, tried=False) if capturing else None
    step = step_of(space, config, found, supernet)
    loop = LoopConfig(batch_size=16, checkpoint_every_s=0.0)
    train_steps(step, step.phases, Images(96), loop, run or Run(seed=3))
    return supernet.state_dict(), found


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("space", "settings"),
    [
        (cells(), {}),
        (cells(), {"sampler": "path_adaptive", "optimizer": "adamw", "lr": 1e-3, "ema_decay": 0.9}),
        (tiny_mobilenet(), {"sampler": "sandwich"}),
        (tiny_mobilenet(), {"schedule": "progressive_shrinking", "epochs": 4}),
        (tiny_mobilenet(dropout=0.3), {"subnets_per_step": 3}),
    ],
    ids=["cells", "path_adaptive", "sandwich", "shrinking", "dropout"],
)
def test_captured_passes_change_no_bit_of_the_weights(space: Space, settings: dict[str, Any]) -> None:
    plain, _ = trained(space, False, **settings)
    captured, found = trained(space, True, **settings)
    assert found.captures.replayed > found.captures.run / 4
    assert same(plain, captured)


def test_a_training_that_was_interrupted_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    def interrupt(event: Mapping[str, Any]) -> None:
        if event["event"] == "train" and event["step"] == 40:
            raise KeyboardInterrupt

    whole, _ = trained(cells(), True, epochs=7)
    with pytest.raises(KeyboardInterrupt):
        trained(cells(), True, Run(seed=3, folder=tmp_path, observer=interrupt), epochs=7)
    resumed, found = trained(cells(), True, Run(seed=3, folder=tmp_path), epochs=7)
    assert found.captures.replayed
    assert same(whole, resumed)
