"""Training of a mixture of supernets."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from search_spaces.errors import FieldError
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3
from search_spaces.families.pooling import pooling
from supernets import Mixture, MixtureConfig, Supernet, TrainConfig, load_supernet, phases, train
from supernets.tasks.classification import Classification
from supernets.training.halves import Halves
from supernets.training.loop import Run, train_steps
from supernets.training.steps.mixture import MixtureStep
from supernets.training.steps.supernet import SupernetStep
from supernets.training.supernet_training import loop_config
from supernets.whole_file import InvalidFile
from tests.supernets.helpers import Images, tiny_mobilenet
from tests.supernets.regression import Regression

SPACE = pooling(image_size=8, channels=1, classes=4)
CONFIG = TrainConfig(epochs=2, batch_size=16, lr=0.05, mixture=MixtureConfig(members=2), checkpoint_every_s=0)


def mixture(members: int = 2) -> Mixture:
    torch.manual_seed(0)
    return Mixture(SPACE, members)


def trained(config: TrainConfig = CONFIG, **more: Any) -> Mixture:
    assert config.mixture is not None
    supernet = mixture(config.mixture.members)
    train(supernet, phases(SPACE, config), Images(n=48), config, **more)
    return supernet


def same(one: Supernet, other: Supernet) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(name == known and torch.equal(tensor, kept) for (name, tensor), (known, kept) in pairs)


class Single(SupernetStep):
    """SPOS on one part of the examples."""

    halves: Halves

    def order(self, epoch: int) -> torch.Tensor:
        return self.halves.order(epoch)

    def __call__(self, batch: Any, moment: Any) -> torch.Tensor:
        return super().__call__(self.halves.divided(batch)[0], moment)


def test_one_supernet_is_trained_as_without_a_mixture():
    config = replace(CONFIG, mixture=MixtureConfig(members=1))
    one, plain = trained(config), Supernet(SPACE, mixture(1).leaves[0].network)
    step = Single(supernet=plain, phases=phases(SPACE, config), config=config, task=Classification(label_smoothing=0.1))
    step.halves = Halves(48, 0.5, batch_size=16, seed=0)
    train_steps(step, step.phases, Images(n=48), loop_config(config), Run(seed=0))
    plain.activate(SPACE.largest())
    assert same(one.leaves[0], plain)


def test_each_step_trains_one_supernet_and_judges_one_pair():
    supernet = mixture()
    step = MixtureStep(
        supernet=supernet,
        phases=phases(SPACE, CONFIG),
        config=CONFIG,
        task=Classification(),
        mixture=MixtureConfig(members=2),
        halves=Halves(48, 0.5, batch_size=16, seed=0),
    )
    before = [copy.deepcopy(leaf.state_dict()) for leaf in supernet.leaves]
    train_steps(step, phases(SPACE, replace(CONFIG, epochs=1 / 3)), Images(n=48), loop_config(CONFIG), Run(seed=0))
    changed = [
        any(not torch.equal(tensor, kept[name]) for name, tensor in leaf.state_dict().items())
        for leaf, kept in zip(supernet.leaves, before)
    ]
    assert sorted(changed) == [False, True]
    assert (supernet.assignment.accuracies != 1).sum() == 1
    row, member = (int(index[0]) for index in (supernet.assignment.accuracies != 1).nonzero())
    assert changed[member]
    assert 0.9 <= supernet.assignment.accuracies[row, member] < 1


def test_architectures_run_in_the_supernet_that_suits_them():
    supernet = trained()
    assert len(set(supernet.assignment.best().tolist())) == 2
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for member in range(2):
        row = supernet.assignment.best().tolist().index(member)
        architecture = next(one for one in map(SPACE.decode, supernet.rows) if supernet.row(one) == row)
        leaf = supernet.leaves[member]
        leaf.activate(architecture)
        supernet.eval().activate(architecture)
        with torch.no_grad():
            assert torch.equal(supernet(images), leaf(images))
            torch.testing.assert_close(supernet.extract(architecture)(images), leaf(images))


def test_a_stopped_training_goes_on_to_the_same_weights_and_assignment(tmp_path):
    whole = trained()
    stopped: list[int] = []

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "train":
            stopped.append(event["step"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(folder=tmp_path, observer=stop)
    assert stopped
    resumed = trained(folder=tmp_path)
    assert same(whole, resumed)
    assert torch.equal(whole.assignment_state()["accuracies"], resumed.assignment_state()["accuracies"])
    assert torch.equal(whole.assignment_state()["factors"], resumed.assignment_state()["factors"])


def test_what_is_known_is_taken_over_bit_for_bit_in_the_middle_of_an_epoch():
    supernet, other = mixture(), mixture()
    for row in range(len(supernet.rows)):
        supernet.assignment.probabilities()
        supernet.assignment.observe(row, row % 3 % 2, 0.3, memory=0.5)
    known = supernet.assignment_state()
    other.load_assignment(known)
    assert all(torch.equal(tensor, other.assignment_state()[name]) for name, tensor in known.items())


def test_each_epoch_is_validated_in_the_supernets_that_suit():
    suits: list[bool] = []

    def validate(supernet: Supernet) -> dict[str, float]:
        assert isinstance(supernet, Mixture)
        found = [supernet.leaf_of(SPACE.decode(row)) for row in supernet.rows]
        suits.append(found == supernet.assignment.best().tolist() and len(set(found)) == 2)
        return {}

    trained(validate=validate)
    assert set(suits) == {True}


def test_a_network_from_elsewhere_teaches():
    torch.manual_seed(1)
    teacher = SPACE.subnet(SPACE.largest())
    one, other = trained(teacher=teacher), trained(teacher=copy.deepcopy(teacher))
    assert same(one, other)
    assert not same(one, trained())
    changed = copy.deepcopy(teacher)
    torch.nn.init.normal_(next(iter(changed.parameters())))
    assert not same(one, trained(teacher=changed))


def test_files_hold_weights_and_assignment(tmp_path):
    supernet = trained()
    supernet.save(tmp_path / "mixture.safetensors")
    loaded = load_supernet(SPACE, tmp_path / "mixture.safetensors")
    assert isinstance(loaded, Mixture)
    assert same(supernet, loaded)
    assert (loaded.assignment.best() == supernet.assignment.best()).all()
    with pytest.raises(InvalidFile, match="split otherwise"):
        Supernet(SPACE).load(tmp_path / "mixture.safetensors")
    with pytest.raises(InvalidFile, match="split otherwise"):
        mixture(3).load(tmp_path / "mixture.safetensors")
    clone = copy.deepcopy(supernet)
    assert same(supernet, clone)
    assert clone.leaf_of(SPACE.largest()) == supernet.leaf_of(SPACE.largest())


def test_epochs_tell_how_many_architectures_each_supernet_has():
    events: list[dict[str, Any]] = []
    trained(observer=events.append)
    told = [event["probabilities"] for event in events if event["event"] == "sampler"]
    assert len(told) == 2
    assert all(set(one) == {"supernet1", "supernet2"} and sum(one.values()) == pytest.approx(1) for one in told)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(FieldError, match="split must be null"):
        replace(CONFIG, split={"rounds": 1})  # type: ignore[arg-type]
    with pytest.raises(FieldError, match="members must be at least 1, got 0"):
        MixtureConfig(members=0)
    with pytest.raises(FieldError, match="space 'ofa_mobilenet_v3' has too many architectures to be listed"):
        Mixture(ofa_mobilenet_v3(resolutions=(32,)), 2)
    with pytest.raises(FieldError, match="no least and largest value"):
        trained(task=Regression())
    with pytest.raises(ValueError, match="needs a Mixture of 2 supernets"):
        train(Supernet(tiny_mobilenet()), phases(tiny_mobilenet(), CONFIG), Images(n=48), CONFIG)
