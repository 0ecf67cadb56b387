"""Parts of networks that learn what the parts give that they stand for."""

from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from search_spaces.errors import FieldError
from supernets import Supernet, TrainConfig, phases, train
from supernets.samplers import PartSandwich
from supernets.tasks import Classification
from supernets.training.phases import Phase
from supernets.training.steps.features import FeatureStep
from supernets.training.steps.step import Moment
from tests.search_spaces.split_networks import residual_space
from tests.supernets.helpers import Images, resumed_after, tiny_mobilenet


def moment() -> Moment:
    return Moment(step=0, epoch=0, batch=0, lr=0.05, progress=0.0, generator=np.random.default_rng(4))


def step_of(supernet: Supernet, **config) -> FeatureStep:
    plain = {"clip_norm": None, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "label_smoothing": 0.0}
    sampler = PartSandwich(space=supernet.space, subnets=4)
    made = TrainConfig(feature_weight=0.7, bf16=False, **plain, **config)
    phase = Phase(name="p", sampler=sampler, epochs=1, lr=0.05, warmup_fraction=0.0)
    step = FeatureStep(supernet=supernet, phases=[phase], config=made, task=Classification())
    step.begin_phase(0)
    return step


def naive_gradients(supernet: Supernet, x: torch.Tensor, y: torch.Tensor, weight: float) -> dict[str, torch.Tensor]:
    """Run the architectures of one step by hand: the whole piece by piece, the others encoder, decoder and rest."""
    network, space = supernet.network, supernet.space
    architectures = PartSandwich(space=space, subnets=4).draw(np.random.default_rng(4))
    features, value = [], x
    for piece in network.tail.pieces:
        value = piece(value)
        features.append(value.detach().clone())
    F.cross_entropy(value, y).backward()
    taught, starts = value.detach().softmax(1), network.tail.start.values
    for architecture in architectures[1:]:
        supernet.activate(architecture)
        start = starts[architecture["cut"]]
        decoded = network.decoder(network.encoder(x))
        wanted = features[start - 1]
        away = (decoded - wanted).square().mean() / wanted.square().mean()
        output = decoded.clone()
        for piece in network.tail.pieces[start:]:
            output = piece(output)
        (F.cross_entropy(output, taught) + weight * away).backward()
    return {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}


def test_a_step_is_the_sum_of_the_losses_and_of_the_features_of_the_whole_network():
    torch.manual_seed(0)
    supernet = Supernet(residual_space(bits=(32,))).train()  # rounding would make much of differences in the last digit
    (x, y), *_ = Images(n=16, size=16).batches(16, epoch=0, seed=0)
    other = deepcopy(supernet)
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    step = step_of(supernet)
    step((x, y), moment())
    gradients = naive_gradients(other, x, y, 0.7)
    assert any(name.startswith("network.decoder") for name in gradients)
    for name, p in supernet.named_parameters():
        expected = before[name] - 0.05 * gradients[name] if name in gradients else before[name]
        assert torch.allclose(p, expected, atol=1e-5), name
    assert not any(module._forward_hooks for module in supernet.modules())


def test_features_come_from_the_teacher_of_the_phase_where_there_is_one():
    torch.manual_seed(0)
    supernet = Supernet(residual_space()).train()
    step = step_of(supernet)
    object.__setattr__(step, "phases", [step.phases[0].taught()])
    step.begin_phase(0)
    assert step.teacher is not None
    (x, y), *_ = Images(n=16, size=16).batches(16, epoch=0, seed=0)
    seen: list[dict[int, torch.Tensor]] = []
    inner = step._loss

    def loss(*args, **kwargs):
        found = inner(*args, **kwargs)
        seen.append(dict(step._given))
        return found

    step._loss = loss  # type: ignore[method-assign]
    step((x, y), moment())
    teacher = step.teacher
    teacher.activate(teacher.space.largest())
    value = x
    for place, piece in enumerate(teacher.network.tail.pieces[:-1]):
        value = piece(value)
        for given in seen[1:]:
            alike = [one for one in given.values() if one.shape == value.shape]
            assert len(alike) == 1
            assert torch.allclose(alike[0], value, atol=1e-4), place


def test_the_largest_network_is_asked_where_a_step_does_not_train_it():
    torch.manual_seed(0)
    space = residual_space()
    supernet, data = Supernet(space), Images(n=32, size=16)
    config = TrainConfig(epochs=1, batch_size=16, feature_weight=1.0, lr=0.01, subnets_per_step=2)
    cut = space.restrict({"cut": ["layer1"]})
    train(supernet, phases(cut, config), data, config)
    assert all(torch.isfinite(p).all() for p in supernet.parameters())


def test_networks_without_parts_that_stand_for_others_are_refused():
    supernet = Supernet(tiny_mobilenet())
    config = TrainConfig(epochs=1, batch_size=16, feature_weight=1.0)
    with pytest.raises(FieldError, match="feature_weight must be 0: no part of the networks of small_mobilenet_v3"):
        train(supernet, phases(supernet.space, config), Images(), config)


def test_an_adapted_network_teaches_what_stands_for_its_parts():
    """Features of the encoder come closer to those of the network; the whole network learns first, alone."""
    torch.manual_seed(0)
    space, data = residual_space(bits=(8,)), Images(n=64, size=16)
    config = TrainConfig(
        **{"schedule": "adapted", "sampler": "part_sandwich", "epochs": 8, "batch_size": 16, "lr": 0.05},
        feature_weight=1.0,
    )
    supernet, events = Supernet(space), []
    train(supernet, phases(space, config), data, config, observer=events.append)
    widest = space.architecture({"cut": "layer1", "width": 1.0, "bottleneck": 3, "bits": 8})
    fresh = Supernet(space)
    for piece, trained in zip(fresh.network.tail.pieces, supernet.network.tail.pieces):
        piece.load_state_dict(trained.state_dict())
    x = data.images

    def away(one: Supernet) -> float:
        one.train().activate(widest)
        with torch.no_grad():
            wanted = one.network.tail.pieces[0](x)
            return float((one.network.decoder(one.network.encoder(x)) - wanted).square().mean())

    assert away(supernet) < 0.5 * away(fresh)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path):
    space = residual_space(bits=(8,))
    config = TrainConfig(
        **{"schedule": "adapted", "sampler": "part_sandwich", "epochs": 2, "batch_size": 16, "lr": 0.05},
        **{"feature_weight": 1.0, "checkpoint_every_s": 0.0},
    )

    def trained(**how) -> Supernet:
        torch.manual_seed(0)
        supernet = Supernet(space)
        return train(supernet, phases(space, config), Images(n=64, size=16), config, **how)

    whole = trained()
    resumed = resumed_after(trained, tmp_path, (1, 2, 3, 100))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
