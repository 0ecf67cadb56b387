"""Training of networks with bits: the shape of weights, guidance from more bits to fewer, and going on exactly."""

from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from search_spaces.errors import FieldError
from search_spaces.precision import PrecisionConfig, with_precision
from supernets import Supernet, TrainConfig, phases, train
from supernets.calibration import calibrated_subnet
from supernets.samplers import ProgressiveGuidance
from supernets.tasks import Classification
from supernets.training.phases import Phase
from supernets.training.steps.step import Moment
from supernets.training.steps.supernet import SupernetStep
from supernets.training.ticket_config import TicketConfig
from supernets.training.weight_shape import WeightShapeConfig, shape_loss, shaped_weights
from tests.supernets.helpers import Images, resumed_after, tiny_mobilenet

SPACE = with_precision(tiny_mobilenet(), PrecisionConfig(granularity="both", symmetry="both"))
ONLY_KURTOSIS, ONLY_SKEWNESS = (
    WeightShapeConfig(skewness=0.0, kurtosis=1.0),
    WeightShapeConfig(skewness=1.0, kurtosis=0.0),
)


def moment() -> Moment:
    return Moment(step=0, epoch=0, batch=0, lr=0.05, progress=0.0, generator=np.random.default_rng(4))


def step_of(supernet: Supernet, **config) -> SupernetStep:
    plain = {"clip_norm": None, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "label_smoothing": 0.0}
    made = TrainConfig(kd_weight=0.5, bf16=False, **{**plain, **config})
    sampler = ProgressiveGuidance(space=supernet.space)
    phase = Phase(name="p", sampler=sampler, epochs=1, lr=0.05, warmup_fraction=0.0)
    step = SupernetStep(supernet=supernet, phases=[phase], config=made, task=Classification())
    step.begin_phase(0)
    return step


def test_a_uniform_distribution_has_no_loss_and_a_normal_one_that_of_its_kurtosis():
    grid = torch.linspace(-1, 1, 100_001, dtype=torch.float64)
    assert float(shape_loss([grid], ONLY_KURTOSIS)) == pytest.approx(0.0, abs=1e-12)  # 1.8 within 1e-6
    assert float(shape_loss([grid], ONLY_SKEWNESS)) == pytest.approx(0.0, abs=1e-12)
    normal = torch.special.ndtri(torch.linspace(0, 1, 4_000_001, dtype=torch.float64)[1:-1])
    assert float(shape_loss([normal], ONLY_KURTOSIS)) == pytest.approx(1.44, abs=1e-3)
    exponential = -torch.log1p(-torch.linspace(0, 1, 4_000_001, dtype=torch.float64)[:-1])
    assert float(shape_loss([exponential, -exponential], ONLY_SKEWNESS)) == pytest.approx(4.0, abs=2e-2)


def test_the_first_layer_keeps_its_shape():
    network = Supernet(SPACE).network
    kept = shaped_weights(network)
    assert all(weight is not network.stem.conv.weight for weight in kept)
    assert any(weight is network.classifier.weight for weight in kept)
    assert len(kept) == sum(name.endswith("quantizer.weight.below_zero") for name in network.state_dict()) - 1


def naive_gradients(supernet: Supernet, x, y, shape: WeightShapeConfig | None) -> dict[str, torch.Tensor]:
    """One step by hand: three forwards, each taught by the one before it."""
    largest, drawn, smallest = ProgressiveGuidance(space=supernet.space).draw(np.random.default_rng(4))
    taught = None
    for architecture in (largest, drawn, smallest):
        supernet.activate(architecture)
        output = supernet(x)
        loss = F.cross_entropy(output, y)
        if taught is not None:
            loss = 0.5 * loss + 0.5 * F.cross_entropy(output, taught)
        if shape is not None:
            loss = loss + shape_loss(shaped_weights(supernet.network), shape)
        loss.backward()
        taught = output.detach().softmax(1)
    return {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("shape", [None, WeightShapeConfig(skewness=1.0, kurtosis=0.5)])
def test_a_step_is_three_forwards_each_taught_by_the_one_before_and_one_update(shape):
    torch.manual_seed(0)
    supernet = Supernet(SPACE).train()
    (x, y), *_ = Images(n=16).batches(16, epoch=0, seed=0)
    other = deepcopy(supernet)
    gradients = naive_gradients(other, x, y, shape)  # fits the ranges, as the step does
    step = step_of(supernet, weight_shape=shape)
    updates = []
    step.optimizer.register_step_post_hook(lambda *_: updates.append(1))
    fitted = deepcopy(other).state_dict()
    step((x, y), moment())
    assert len(updates) == 1
    compared = 0
    for name, p in supernet.named_parameters():
        if name in gradients and "norm" not in name:
            expected = fitted[name] - 0.05 * gradients[name]
            assert torch.allclose(p, expected, atol=2e-5), name
            compared += 1
    assert compared > 30


def test_every_architecture_teaches_the_next_and_is_not_taught_by_it():
    assert ProgressiveGuidance.distillation == "progressive"
    config = TrainConfig(sampler="progressive_guidance", subnets_per_step=4)
    (phase,) = phases(SPACE, config)
    first, *_, last = phase.sampler.draw(np.random.default_rng(0))
    assert (first, last) == (SPACE.largest(), SPACE.smallest())
    assert phase.taught().distillation == "teacher_progressive"
    with pytest.raises(FieldError, match="must be at least 3"):
        ProgressiveGuidance(space=SPACE, subnets=2)


SETTINGS = {"epochs": 2, "batch_size": 16, "lr": 0.02, "checkpoint_every_s": 0.0, "kd_weight": 0.5}


def trained(**run) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(SPACE)
    config = TrainConfig(sampler="progressive_guidance", weight_shape=WeightShapeConfig(), **SETTINGS)
    train(supernet, phases(SPACE, config), Images(n=64), config, validate=lambda one: {"x": 0.0}, **run)
    return supernet


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path):
    whole = trained()
    resumed = resumed_after(trained, tmp_path, (0, 1, 2, 100))
    for (name, left), right in zip(whole.network.state_dict().items(), resumed.network.state_dict().values()):
        assert torch.equal(left, right), name


def test_scales_are_trained_and_saved_with_the_bits_of_a_member(tmp_path):
    supernet, fresh = trained(), Supernet(SPACE)
    scale = "stages.0.blocks.0.expand.conv.quantizer.weight.scales.bits2"
    assert float(supernet.network.state_dict()[scale]) > 0
    supernet.save(tmp_path / "supernet.safetensors")
    fresh.load(tmp_path / "supernet.safetensors")
    data = Images(n=64)
    smallest = SPACE.smallest()
    nets = [calibrated_subnet(one, smallest, lambda: [data.images]) for one in (supernet, fresh)]
    assert torch.equal(*(net(data.images) for net in nets))
    forms = {tuple(t.tolist()) for name, t in nets[0].state_dict().items() if name.endswith("weight.form")}
    assert forms == {(8, 1), (2, 1)}


def test_a_shape_of_weights_has_no_meaning_where_no_supernet_is_sampled():
    with pytest.raises(FieldError, match=r"weight_shape must be null .* with train.tickets"):
        TrainConfig(tickets=TicketConfig(), weight_shape=WeightShapeConfig())
    with pytest.raises(FieldError, match="kurtosis must be 0 or more"):
        WeightShapeConfig(kurtosis=-1.0)
