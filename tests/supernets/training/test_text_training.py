"""Every way to train a supernet, on text: batches differ in their numbers of rows and in the lengths of these."""

import pytest
import torch

from nas.data import load_data
from nas.retraining import retrain
from search_spaces.counted_costs import with_counted_costs
from supernets import SplitConfig, Supernet, TrainConfig, calibrate, phases, train
from supernets.tasks import Language, MaskedLanguage, Translation
from supernets.training import train_few_shot
from tests.nas.data.text import corpus
from tests.service.run.text_spaces import readers, translators

pytest.importorskip("tokenizers", reason="needs the extra `text`")

CPU = torch.device("cpu")
QUICK = {"epochs": 5, "batch_size": 16, "lr": 0.02, "optimizer": "adamw", "warmup_fraction": 0.1}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return corpus.folder(tmp_path_factory.mktemp("text") / "pairs", {"train": 160, "val": 30, "test": 10})


@pytest.fixture(scope="module")
def pairs(place):
    return load_data(corpus.pairs(place), device=CPU)


@pytest.fixture(scope="module")
def text(place):
    return load_data(corpus.text(place), device=CPU)


def fresh(space):
    torch.manual_seed(0)
    return Supernet(space)


SETTINGS = {
    "sandwich": {"sampler": "sandwich"},
    "sorted": {"sampler": "sorted", "ema_decay": 0.9},
    "path_adaptive": {"sampler": "path_adaptive", "examples": "importance", "example_weights": True},
    "shift": {"sampler": "shift"},
    "parts": {"accumulate": 3, "lr_schedule": "inverse_sqrt", "beta2": 0.98},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_translators_learn_in_every_way(pairs, name):
    config = TrainConfig(**{**QUICK, **SETTINGS[name]})
    space, task = with_counted_costs(translators()), Translation(metric="perplexity", label_smoothing=0.1)
    before = task.evaluate(fresh(space).extract(space.largest()), pairs.validation.sequential(8)).value
    supernet = train(fresh(space), phases(space, config), pairs.train, config, task=task, seed=1)
    for architecture in (space.smallest(), space.largest()):
        network = calibrate(supernet.extract(architecture), [])
        after = task.evaluate(network, pairs.validation.sequential(8)).value
        assert after < 0.3 * before


def test_a_supernet_for_language_is_split_by_its_gradients(text):
    config, space = TrainConfig(**{**QUICK, "epochs": 12}), readers(vocabulary=300)
    split = SplitConfig(rounds=1, repeats=2)
    parts = train_few_shot(
        fresh(space), lambda part, epochs: phases(part, config), text.train, config, split, task=Language(), seed=1
    )
    assert len(parts.leaves) == 2
    assert Language().evaluate(parts.extract(space.largest()), text.validation.sequential(8)).value < 100


def test_a_network_learns_from_a_teacher_and_is_trained_further(text):
    config, space, task = TrainConfig(**QUICK), readers(vocabulary=300), Language()
    supernet = train(fresh(space), phases(space, config), text.train, config, task=task)
    teacher = supernet.extract(space.largest())
    student = space.smallest()
    tuned = retrain(supernet, student, text.train, config, task=task, teacher=teacher)
    values = [task.evaluate(one.extract(student), text.validation.sequential(8)).value for one in (supernet, tuned)]
    assert values[1] < values[0]


def test_gaps_are_learned(place):
    data = load_data(corpus.text(place, masked=0.3), device=CPU)
    config, task = TrainConfig(**{**QUICK, "sampler": "sandwich"}), MaskedLanguage()
    space = readers(vocabulary=300, masked=0.3)
    before = task.evaluate(fresh(space).extract(space.largest()), data.validation.sequential(8)).value
    supernet = train(fresh(space), phases(space, config), data.train, config, task=task)
    assert task.evaluate(supernet.extract(space.largest()), data.validation.sequential(8)).value < 0.3 * before
