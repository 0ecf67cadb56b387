"""Training of supernets with experts: in every way, resumed, and without a change where there is one expert."""

import multiprocessing
from pathlib import Path

import pytest
import torch

from nas.data.text.forms import Continued
from nas.data.text.text_data import TextData
from nas.retraining import retrain
from search_spaces.errors import FieldError
from search_spaces.families.autoformer import small_autoformer
from search_spaces.families.language import language
from supernets import (
    ExpertsConfig,
    Mixture,
    MixtureConfig,
    SplitConfig,
    Supernet,
    TrainConfig,
    load_supernet,
    phases,
    train,
    train_few_shot,
    with_experts,
)
from supernets.tasks import Language
from supernets.training.relaxation_config import RelaxationConfig
from tests.killing import kill_after_progress
from tests.nas.data.text.test_token_batches import in_order, rows
from tests.supernets.helpers import Images

CPU = torch.device("cpu")
QUICK = {"epochs": 2, "batch_size": 24, "lr": 0.02, "optimizer": "adamw", "warmup_fraction": 0.1}
NEURON = ExpertsConfig(routing="neuron", hidden=4, start="independent")
SETTINGS = {
    "uniform": {"lr_schedule": "inverse_sqrt", "accumulate": 2},
    "sandwich": {"sampler": "sandwich", "ema_decay": 0.9},
    "path_adaptive": {"sampler": "path_adaptive", "examples": "importance", "example_weights": True},
    "shift": {"sampler": "shift", "sampler_options": {"pool": 50}},
    "sorted": {"sampler": "sorted"},
    "adapted": {"schedule": "adapted", "sampler": "sandwich"},
}


def space(config=NEURON):
    sizes = {"embeds": (4, 8), "ratios": (1, 2), "heads": (1, 2), "head_width": 4, "depths": (1, 2)}
    return with_experts(language(vocabulary=90, length=6, longest=32, **sizes), config)


def text():
    return TextData(in_order(rows(121)), Continued(), CPU)


def trained(settings, config=NEURON, **options):
    torch.manual_seed(0)
    made = TrainConfig(**{**QUICK, "checkpoint_every_s": 0, **settings})
    supernet = Supernet(space(config))
    return train(supernet, phases(supernet.space, made), text(), made, task=Language(), seed=3, **options)


def weights(supernet):
    return supernet.network.state_dict()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


class Stopped(Exception):
    pass


def stops_at(number):
    left = [number]

    def observe(event):
        left[0] -= 1
        if left[0] < 0:
            raise Stopped

    return observe


@pytest.mark.parametrize("name", SETTINGS)
def test_a_resumed_training_equals_an_uninterrupted_one_and_trains_everything(tmp_path, name):
    whole, interruptions = trained(SETTINGS[name]), 0
    for events in (0, 1, 100):
        try:
            resumed = trained(SETTINGS[name], folder=tmp_path, observer=stops_at(events), validate=lambda one: {"x": 0})
        except Stopped:
            interruptions += 1
    assert interruptions == 2
    assert_same(weights(whole), weights(resumed))
    torch.manual_seed(0)
    before = weights(Supernet(space()))
    still = [key for key, tensor in weights(whole).items() if torch.equal(tensor, before[key])]
    assert [key for key in still if "feed_forward" in key] == []


@pytest.mark.parametrize("name", ["sandwich", "path_adaptive", "shift"])
@pytest.mark.parametrize("routing", ["layer", "neuron"])
def test_one_expert_is_trained_as_shared_weights_are(name, routing):
    plain = weights(trained(SETTINGS[name], None))
    one = weights(trained(SETTINGS[name], ExpertsConfig(experts=1, routing=routing)))
    found = {key.replace(".experts.0.", "."): tensor for key, tensor in one.items() if ".routers." not in key}
    assert_same(plain, found)


def _train_in_process(folder):
    torch.set_num_threads(1)
    trained({"sampler": "sandwich", "epochs": 20}, folder=Path(folder)).save(Path(folder) / "final.safetensors")


@pytest.mark.integration
def test_a_training_that_was_killed_ends_with_the_same_weights(tmp_path):
    torch.set_num_threads(1)
    whole = trained({"sampler": "sandwich", "epochs": 20})
    kill_after_progress(_train_in_process, tmp_path, tmp_path / "checkpoint.pt", 0.1)
    process = multiprocessing.get_context("spawn").Process(target=_train_in_process, args=(str(tmp_path),))
    process.start()
    process.join()
    assert_same(weights(whole), weights(load_supernet(space(), tmp_path / "final.safetensors")))


def test_a_supernet_with_experts_is_split_by_its_gradients():
    config = TrainConfig(**{**QUICK, "epochs": 6})
    torch.manual_seed(0)
    supernet, split = Supernet(space()), SplitConfig(rounds=1, repeats=1)
    parts = train_few_shot(
        supernet, lambda part, epochs: phases(part, config), text(), config, split, task=Language(), seed=1
    )
    assert len(parts.leaves) == 2
    for architecture in (parts.space.smallest(), parts.space.largest()):
        inputs = parts.space.example(batch=2)
        assert torch.allclose(parts.extract(architecture).eval()(*inputs), parts.eval()(*inputs), atol=1e-6)


def test_supernets_of_a_balanced_mixture_may_have_experts():
    sizes = {"embeds": (4, 8), "ratios": (1,), "heads": (1,), "depths": (1, 2), "head_width": 4}
    images = with_experts(small_autoformer(image_size=8, channels=1, classes=4, **sizes), NEURON)
    config = TrainConfig(**{**QUICK, "batch_size": 16}, mixture=MixtureConfig(members=2))
    torch.manual_seed(0)
    supernet = Mixture(images, 2)
    before = {name: tensor.clone() for name, tensor in weights(supernet).items() if "feed_forward" in name}
    train(supernet, phases(images, config), Images(n=48), config, seed=1)
    assert len(before) > 40
    assert not [name for name, tensor in before.items() if torch.equal(tensor, weights(supernet)[name])]


def test_a_network_is_trained_further_without_experts():
    supernet, data = trained(SETTINGS["sandwich"]).eval(), text()
    architecture = supernet.space.smallest()
    before, kept = (
        supernet.extract(architecture),
        weights(supernet)["layers.blocks.0.feed_forward.routers.0.enter.weight"],
    )
    tuned = retrain(supernet, architecture, data, TrainConfig(**QUICK), task=Language(), seed=1)
    assert not [name for name in weights(tuned) if "routers" in name or "experts" in name]
    assert torch.equal(kept, weights(supernet)["layers.blocks.0.feed_forward.routers.0.enter.weight"])
    batch = next(data.sequential(121))
    losses = [float(Language().loss(one.eval()(batch[0]), batch).detach()) for one in (before, tuned)]
    assert losses[1] < losses[0]


def test_a_mixture_of_choices_is_refused_before_training():
    with pytest.raises(FieldError, match="experts are blended for one architecture"):
        trained({"relaxation": RelaxationConfig()})
