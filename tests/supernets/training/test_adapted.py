"""The schedule for networks that come with weights: the whole network first, then its units ordered, then the rest."""

import multiprocessing
from functools import partial
from pathlib import Path

import pytest
import torch

from nas.subnets import Subnets
from search_spaces.errors import FieldError
from supernets import Supernet, TrainConfig, load_supernet, phases, require_calibrated, train
from supernets.training.adapt_config import AdaptConfig
from supernets.training.checkpoint import finished_training
from tests.killing import kill_after_progress
from tests.supernets.helpers import Images, resumed_after, tiny_mobilenet

SPACE = tiny_mobilenet(expands=(1, 2, 3), dropout=0.1)
BATCH = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def adapted_config(*, share: float = 0.5, order="auto", epochs: float = 4, **changes) -> TrainConfig:
    adapt = AdaptConfig(share=share, order=order, examples=32, subnets=2, lr=0.02)
    settings = {"sampler": "sandwich", "batch_size": 16, "lr": 0.05, "checkpoint_every_s": 0}
    return TrainConfig(schedule="adapted", adapt=adapt, epochs=epochs, **{**settings, **changes})


def adapted(config: TrainConfig, **options) -> Supernet:
    torch.manual_seed(0)
    return train(Supernet(SPACE), phases(SPACE, config), Images(), config, seed=3, **options)


def assert_same_weights(a: Supernet, b: Supernet) -> None:
    for (name, left), right in zip(a.state_dict().items(), b.state_dict().values()):
        assert torch.equal(left, right), name


def test_the_largest_is_trained_alone_first_and_teaches_then():
    first, second = phases(SPACE, adapted_config(share=0.25, epochs=8))
    assert (first.epochs, first.lr, first.distillation, first.adapts) == (2, 0.02, "none", True)
    assert (second.epochs, second.lr, second.distillation, second.adapts) == (6, 0.05, "teacher_in_place", False)
    (uniform,) = phases(SPACE, adapted_config(sampler="uniform"))[1:]
    assert uniform.distillation == "teacher"


def test_with_the_whole_share_nothing_else_is_trained_and_the_largest_keeps_its_statistics(tmp_path):
    events = []
    supernet = adapted(adapted_config(share=1), observer=events.append)
    supernet.save(tmp_path / "supernet.safetensors")
    loaded = load_supernet(SPACE, tmp_path / "supernet.safetensors")
    assert loaded.own_statistics == SPACE.largest()

    def never():
        raise AssertionError("the largest must not be calibrated")

    whole = Subnets(loaded, never)(SPACE.largest())
    require_calibrated(whole)
    assert torch.allclose(whole(BATCH), supernet.eval()(BATCH), atol=1e-6)
    with pytest.raises(ValueError, match="is not calibrated"):
        require_calibrated(loaded.extract(SPACE.smallest()))
    (order,) = [event for event in events if event["event"] == "order"]
    assert set(order["losses"]) == {"taylor", "bn", "l1", "l2", "random"}
    assert order["order"] == min(order["losses"], key=order["losses"].get)
    assert order["groups"] > 0


def test_statistics_are_shared_once_other_architectures_are_trained(tmp_path):
    supernet = adapted(adapted_config())
    assert supernet.own_statistics is None
    with pytest.raises(ValueError, match="is not calibrated"):
        require_calibrated(supernet.extract(SPACE.largest()))
    alone = adapted(adapted_config(share=1))
    config = TrainConfig(sampler="uniform", epochs=1, batch_size=16)
    train(alone, phases(SPACE, config), Images(), config)
    assert alone.own_statistics is None


def test_units_are_ordered_without_a_change_of_the_largest():
    plain, ordered = (adapted(adapted_config(share=1, order=order)) for order in ("none", "taylor"))
    assert torch.allclose(plain.eval()(BATCH), ordered.eval()(BATCH), atol=1e-5)
    smallest = [supernet.extract(SPACE.smallest()).eval()(BATCH) for supernet in (plain, ordered)]
    assert not torch.allclose(*smallest, atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [{"order": "auto"}, {"order": "random", "ema_decay": 0.9}, {"share": 1, "order": "taylor", "ema_decay": 0.9}],
)
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, settings):
    config = adapted_config(**settings)
    whole = adapted(config)
    resumed = resumed_after(partial(adapted, config), tmp_path, (1, 2, 3, 100))
    assert_same_weights(whole, resumed)
    assert resumed.own_statistics == whole.own_statistics


def _adapt_in_process(folder: str) -> None:
    torch.set_num_threads(1)
    supernet = adapted(adapted_config(epochs=60), folder=Path(folder))
    supernet.save(Path(folder) / "final.safetensors")


@pytest.mark.integration
def test_a_killed_training_ends_with_the_same_weights(tmp_path):
    torch.set_num_threads(1)
    whole = adapted(adapted_config(epochs=60))
    for delay in (0.1, 1.0):
        kill_after_progress(_adapt_in_process, tmp_path, tmp_path / "checkpoint.pt", delay)
    process = multiprocessing.get_context("spawn").Process(target=_adapt_in_process, args=(str(tmp_path),))
    process.start()
    process.join()
    resumed = Supernet(SPACE)
    resumed.load(tmp_path / "final.safetensors")
    assert_same_weights(whole, resumed)


def test_the_teacher_is_the_adapted_network_and_never_changes(tmp_path):
    alone, _ = adapted(adapted_config(share=1, epochs=2)), adapted(adapted_config(epochs=4), folder=tmp_path)
    teacher = finished_training(tmp_path, torch.device("cpu"))["state"]["teacher"]
    for name, tensor in alone.network.state_dict().items():
        assert torch.equal(tensor, teacher[name]), name


class Table(torch.nn.Module):
    """A teacher that always gives the same outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs = torch.nn.Parameter(torch.tensor([[9.0, 0.0, 0.0, 0.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outputs.expand(len(x), 4)


@pytest.mark.parametrize("sampler", ["uniform", "sandwich"])
def test_a_teacher_from_elsewhere_teaches_any_training(sampler):
    config = TrainConfig(sampler=sampler, epochs=6, batch_size=16, lr=0.05, kd_weight=30.0)
    torch.manual_seed(0)
    supernet = train(Supernet(SPACE), phases(SPACE, config), Images(), config, teacher=Table())
    assert (supernet.eval()(BATCH).argmax(1) == 0).all()


def test_settings_of_the_schedule_are_checked():
    with pytest.raises(FieldError, match="above 0 and up to 1"):
        AdaptConfig(share=0)
    with pytest.raises(FieldError, match="must be auto, taylor"):
        AdaptConfig(order="best")
    with pytest.raises(FieldError, match="left out unless schedule is adapted"):
        TrainConfig(adapt=AdaptConfig(share=0.3))
