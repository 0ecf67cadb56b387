"""Ways to train a supernet, on the families of transformers: images, language and translation.

`test_text_training` has all of them on smaller networks.
"""

import pytest
import torch

from nas.data import DataConfig, load_data
from search_spaces.families.autoformer import small_autoformer
from search_spaces.families.hat import small_hat
from search_spaces.families.language import language
from supernets import Classification, SplitConfig, Supernet, TrainConfig, calibrate, phases, train
from supernets.tasks import Language, Translation
from supernets.training import train_few_shot
from tests.nas.data.text import corpus

CPU = torch.device("cpu")
SIZES = {"embeds": (16, 24), "ratios": (1, 2), "heads": (1, 2), "depths": (1, 2), "head_width": 8}
QUICK = {"batch_size": 32, "lr": 0.01, "optimizer": "adamw", "warmup_fraction": 0.1}
WAYS = {
    "uniform": {"sampler": "uniform"},
    "sandwich": {"sampler": "sandwich", "subnets_per_step": 2},
    "sorted": {"sampler": "sorted", "subnets_per_step": 2},
    "path_adaptive": {"sampler": "path_adaptive", "examples": "importance", "example_weights": True},
    "shift": {"sampler": "shift", "sampler_options": {"pool": 50}},
    "parts": {"accumulate": 2, "lr_schedule": "inverse_sqrt", "beta2": 0.98},
}


class Images:
    """Digits of 8 x 8 pixels, for networks of four patches."""

    epochs, task = 6, Classification()
    ways = ("uniform", "sandwich", "path_adaptive", "shift")

    def __init__(self, place):
        data = load_data(DataConfig(source="digits", crop_padding=0), device=CPU)
        self.train, self.validation = data.train.subset(512, seed=0), data.validation
        self.space = small_autoformer(image_size=8, channels=1, patch=4, **SIZES)

    def learned(self, before, after):
        return after > 60


class Lines:
    """Sentences of one language."""

    epochs, task = 4, Language()
    ways = ("sandwich", "sorted", "path_adaptive", "parts")

    def __init__(self, place):
        pytest.importorskip("tokenizers", reason="needs the extra `text`")
        data = load_data(corpus.text(place), device=CPU)
        self.train, self.validation = data.train, data.validation
        self.space = language(vocabulary=300, length=16, longest=64, dropout=0.0, **SIZES)

    def learned(self, before, after):
        return after < before / 4


class Pairs(Lines):
    """Sentences and their translations."""

    task = Translation(metric="perplexity")
    ways = ("sandwich", "parts")

    def __init__(self, place):
        pytest.importorskip("tokenizers", reason="needs the extra `text`")
        data = load_data(corpus.pairs(place), device=CPU)
        self.train, self.validation = data.train, data.validation
        sizes = {"embeds": (16, 24), "hidden": (16, 32), "heads": (1, 2), "encoder_layers": 1, "depths": (1, 2)}
        self.space = small_hat(
            source_vocabulary=320, target_vocabulary=320, width=16, length=8, longest=64, dropout=0.0, **sizes
        )


FAMILIES = {"images": Images, "lines": Lines, "pairs": Pairs}


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    place = corpus.folder(tmp_path_factory.mktemp("text") / "pairs", {"train": 320, "val": 30, "test": 10})
    made = {}

    def family(name):
        if name not in made:
            made[name] = FAMILIES[name](place)
        return made[name]

    return family


def fresh(family):
    torch.manual_seed(0)
    return Supernet(family.space)


def judged(family, supernet, architecture):
    network = calibrate(supernet.extract(architecture), [])
    return family.task.evaluate(network, family.validation.sequential(64)).value


@pytest.mark.parametrize(("name", "way"), [(name, way) for name in FAMILIES for way in FAMILIES[name].ways])
def test_smallest_and_largest_learn(families, name, way):
    family = families(name)
    config = TrainConfig(**{**QUICK, "epochs": family.epochs, **WAYS[way]})
    supernet = fresh(family)
    ends = family.space.smallest(), family.space.largest()
    before = [judged(family, supernet, one) for one in ends]
    train(supernet, phases(family.space, config), family.train, config, task=family.task, seed=1)
    after = [judged(family, supernet, one) for one in ends]
    assert all(family.learned(*pair) for pair in zip(before, after)), (before, after)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_supernet_is_split_by_its_gradients(families, name):
    """The width too, which all weights of a model of language follow."""
    family = families(name)
    config = TrainConfig(**{**QUICK, "epochs": 1.2 * family.epochs})
    split = SplitConfig(rounds=1, repeats=1, restart=False, decisions=["embed", "*depth"])
    supernet = fresh(family)
    before = judged(family, supernet, family.space.largest())
    parts = train_few_shot(
        *(supernet, lambda part, epochs: phases(part, config), family.train, config, split), task=family.task, seed=1
    )
    assert len(parts.leaves) == 2
    assert family.learned(before, judged(family, parts, family.space.largest()))
