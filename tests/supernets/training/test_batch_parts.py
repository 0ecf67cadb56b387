"""A batch that is computed in parts: the update is that of the whole."""

from itertools import pairwise

import pytest
import torch

from search_spaces.errors import FieldError
from supernets import Supernet, TrainConfig, phases, train
from supernets.tasks import Language
from supernets.training.batch_parts import batch_parts
from supernets.training.schedule import Stretch, lr_at
from tests.supernets.regression import Regression, measurements, perceptrons
from tests.supernets.tasks.writers import pairs


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "sandwich"},
        {"optimizer": "adamw", "beta2": 0.98, "lr": 0.01},
        {"examples": "importance", "example_weights": True},
    ],
    ids=str,
)
def test_parts_of_a_batch_update_as_the_whole_does(settings):
    space, data, task = perceptrons(), measurements(), Regression()
    trained, losses = [], []
    for parts in (1, 3):
        config = TrainConfig(**{"epochs": 6, "batch_size": 32, "lr": 0.05, "accumulate": parts, **settings})
        torch.manual_seed(0)
        events: list[dict] = []
        supernet = Supernet(space).double()
        doubled = measurements()
        doubled.tensors = tuple(tensor.double() for tensor in data.tensors)
        train(supernet, phases(space, config), doubled, config, task=task, observer=events.append)
        trained.append(supernet.state_dict())
        losses.append([event["loss"] for event in events if event["event"] == "train"])
    for name, tensor in trained[0].items():
        assert torch.allclose(tensor, trained[1][name], atol=1e-8), name
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_tokens_have_the_same_weight_in_all_parts():
    _, before, target = pairs()
    task, batch = Language(), (before, target)
    output = torch.randn(*target.shape, 12, generator=torch.Generator().manual_seed(0))
    parts = list(batch_parts(batch, None, 4, task))
    assert [len(part.batch[0]) for part in parts] == [2, 2, 2, 3]
    outputs = output.split([2, 2, 2, 3])
    total = sum(part.scaled(task.loss(out, part.batch)) for part, out in zip(parts, outputs))
    assert float(total) == pytest.approx(float(task.loss(output, batch)), rel=1e-6)
    errors = torch.cat([part.of_whole(task.output_errors(out, part.batch)) for part, out in zip(parts, outputs)])
    assert torch.allclose(errors, task.output_errors(output, batch), rtol=1e-5)


def test_few_examples_have_as_many_parts():
    _, before, target = pairs(3)
    assert [len(part.batch[0]) for part in batch_parts((before, target), None, 8, Language())] == [1, 1, 1]
    assert next(batch_parts((before[:1], target[:1]), None, 8, Language())).share is None


def test_the_inverse_square_root_falls_from_its_peak():
    stretch = Stretch(name="all", epochs=1, lr=0.4, warmup_fraction=0.1, lr_schedule="inverse_sqrt")
    rates = [lr_at(stretch, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.4 / 32)
    assert max(rates) == rates[100] == 0.4
    assert rates[400] == pytest.approx(0.2)
    assert rates[900] == pytest.approx(0.4 / 3)
    assert all(a < b for a, b in pairwise(rates[:101]))
    later = Stretch(name="b", epochs=1, lr=0.4, warmup_fraction=0.1, lr_schedule="inverse_sqrt", lr_from=0.5)
    assert [lr_at(later, step, 500) for step in (0, 400)] == pytest.approx([rates[500], rates[900]])
    bounded = Stretch(name="c", epochs=1, lr=0.4, warmup_fraction=0.0, lr_end=0.1, lr_schedule="inverse_sqrt")
    assert [lr_at(bounded, step, 1000) for step in (0, 1, 4, 400)] == pytest.approx([0.4, 0.4, 0.2, 0.1])


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("accumulate", 0), ("accumulate", 65), ("lr_schedule", "linear"), ("beta2", 1.0)],
)
def test_wrong_settings_are_refused_by_name(field, wrong):
    with pytest.raises(FieldError) as error:
        TrainConfig(**{field: wrong})
    assert error.value.field == field
