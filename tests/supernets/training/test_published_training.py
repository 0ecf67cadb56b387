"""What published trainings do in a step, against second implementations written from the papers and released code."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search_spaces import Space
from supernets import Classification, Moment, Phase, Supernet, TrainConfig, Uniform
from supernets.training.optimization import make_optimizer
from supernets.training.steps.supernet import SupernetStep
from tests.supernets.helpers import Images, scrambled, tiny_mobilenet


def space_with_dropout() -> Space:
    return tiny_mobilenet(dropout=0.5)


def taught_step(supernet: Supernet) -> SupernetStep:
    """A step in a phase with a teacher, which is what the supernet is now."""
    phase = Phase(
        name="p", sampler=Uniform(space=supernet.space), epochs=1, lr=1.0, warmup_fraction=0.0, distillation="teacher"
    )
    step = SupernetStep(supernet=supernet, phases=[phase], config=TrainConfig(), task=Classification())
    step.begin_phase(0)
    return step


def without_dropout(network: nn.Module) -> nn.Module:
    """A plain network in training mode whose dropout layers are gone."""
    for name, child in network.named_children():
        setattr(network, name, nn.Identity() if isinstance(child, nn.Dropout) else without_dropout(child))
    return network.train()


def loaded(step: SupernetStep) -> SupernetStep:
    """A new step that goes on from the state of another."""
    phase = step.phase
    again = SupernetStep(
        supernet=Supernet(step.supernet.space), phases=[phase], config=step.config, task=Classification()
    )
    again.load_state_dict(step.state_dict())
    return again


# ---- the teacher of Once-for-All ----------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [lambda step: step, loaded], ids=["made", "loaded"])
def test_the_teacher_has_no_dropout_and_norms_by_batch_statistics(made):
    """Second implementation: the largest network extracted, its dropout taken out, in training mode."""
    torch.manual_seed(0)
    supernet = scrambled(Supernet(space_with_dropout()))
    step = made(taught_step(supernet))
    images = Images(n=16).images
    student = supernet.space.smallest()
    plain = without_dropout(supernet.extract(supernet.space.largest()))
    first, second = step._taught((images,), student), step._taught((images,), student)
    assert torch.equal(first, second)
    assert torch.allclose(first, plain(images).detach(), atol=1e-5)
    assert not torch.allclose(first, plain.eval()(images).detach(), atol=1e-2)  # running statistics are others


def test_students_of_the_teacher_keep_their_dropout():
    torch.manual_seed(0)
    step = taught_step(Supernet(space_with_dropout()))
    images = Images(n=16).images
    assert not torch.equal(step.supernet(images), step.supernet(images))


# ---- clipping -----------------------------------------------------------------------------------------------------


def step_of(config: TrainConfig, scale: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """How far the first step at rate 1 moves each weight of the largest network, and the gradients by hand."""
    torch.manual_seed(0)
    space = space_with_dropout().restrict({"*.kernel": (5,), "*.depth": (2,), "*.expand": (2,)})
    supernet, reference = Supernet(space), Supernet(space)
    reference.load_state_dict(supernet.state_dict())
    images = Images(n=16)
    batch = (images.images * scale, images.labels)
    for network in (supernet, reference):
        network.network.dropout = nn.Identity()
    phase = Phase(name="p", sampler=Uniform(space=space), epochs=1, lr=1.0, warmup_fraction=0.0)
    step = SupernetStep(supernet=supernet, phases=[phase], config=config, task=Classification(label_smoothing=0.1))
    step.begin_phase(0)
    before = [p.detach().clone() for p in supernet.parameters()]
    step(batch, Moment(step=0, epoch=0, batch=0, lr=1.0, progress=0.0, generator=np.random.default_rng(0)))
    moved = [old - p.detach() for old, p in zip(before, supernet.parameters())]
    F.cross_entropy(reference.train()(batch[0]), batch[1], label_smoothing=0.1).backward()
    return moved, [torch.zeros_like(p) if p.grad is None else p.grad for p in reference.parameters()]


@pytest.mark.parametrize(
    ("settings", "largest"),
    [
        ({"schedule": "progressive_shrinking"}, math.inf),
        ({"schedule": "progressive_shrinking", "clip_norm": 0.01}, 0.01),
        ({"clip_norm": None}, math.inf),
        ({"clip_norm": 0.01}, 0.01),
        ({}, 5.0),
    ],
    ids=["once-for-all", "asked for", "none", "own", "whole"],
)
def test_gradients_are_clipped_to_a_norm_over_all_weights_and_never_in_the_published_schedule(settings, largest):
    """Second implementation: one norm over the squares of all gradients, each scaled by its excess."""
    moved, gradients = step_of(TrainConfig(momentum=0.0, weight_decay=0.0, **settings), scale=1.0)
    norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients))
    factor = min(1.0, largest / (norm + 1e-6))
    assert (factor < 1) == (largest < norm)
    for step, gradient in zip(moved, gradients):
        assert torch.allclose(step, factor * gradient, atol=2e-6 * max(1.0, norm))


# ---- the optimizer of PA&DA ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("released", [True, False])
def test_plain_momentum_and_decay_of_everything_are_the_released_optimizer(released):
    """Second implementation: torch's SGD as the released training makes it, over some steps of random gradients."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    reference = deepcopy(network)
    settings = {"nesterov": False, "decayed": "all"} if released else {}
    ours = make_optimizer(network, TrainConfig(lr=0.05, momentum=0.9, weight_decay=2.5e-4, **settings))
    theirs = torch.optim.SGD(reference.parameters(), 0.05, momentum=0.9, weight_decay=2.5e-4)
    for _ in range(3):
        for one, other in zip(network.parameters(), reference.parameters()):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        ours.step()
        theirs.step()
    gaps = [float((p - q).detach().abs().max()) for p, q in zip(network.parameters(), reference.parameters())]
    assert (max(gaps) < 1e-7) == released
