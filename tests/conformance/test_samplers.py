"""What every sampler of the catalogue promises."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from service import catalogue
from supernets import Sampler, Supernet
from supernets.samplers import named, offered
from supernets.samplers.by_name import sampler_classes
from tests.supernets.helpers import Images

SPACES = {
    "nasbench201": nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4),
    "small_mobilenet_v3": small_mobilenet_v3(
        image_size=8, channels=1, classes=4, stage_widths=(8, 16), strides=(1, 2), depths=(1, 2)
    ),
}
OPTIONS = {"shift": {"pool": 100, "warmup": 0.0}, "budget_balanced": {"period": 40}}


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


@pytest.fixture(params=list(catalogue.SAMPLERS))
def name(request):
    return request.param


def made(name, space, subnets=None):
    return catalogue.make("sampler", name, offered=offered(space, subnets), options=OPTIONS.get(name))


def drawn(sampler, steps=20):
    return [sampler.draw(np.random.default_rng(i)) for i in range(steps)]


def learn(sampler, space, steps=6, seed=0):
    """Some real steps of training, as far as the sampler watches them."""
    torch.manual_seed(seed)
    supernet = Supernet(space).train()
    (x, y), *_ = Images(n=8).batches(8, epoch=0, seed=seed)
    for step in range(steps):
        architectures = sampler.draw(np.random.default_rng((seed, step)))
        supernet.zero_grad(set_to_none=True)
        for architecture in architectures:
            supernet.activate(architecture)
            F.cross_entropy(supernet(x), y).backward()
        sampler.observe(architectures, supernet)


def test_library_and_catalogue_have_the_same_samplers(name, space):
    assert set(sampler_classes()) == set(catalogue.SAMPLERS)
    of_library = named(name, OPTIONS.get(name, {}))
    for subnets in (None, 3):
        assert drawn(of_library(space, subnets)) == drawn(made(name, space, subnets))


def test_every_sampler_says_what_it_wants(name, space):
    sampler = made(name, space)
    assert isinstance(sampler, Sampler)
    in_place = {"sandwich": "in_place", "part_sandwich": "in_place", "progressive_guidance": "progressive"}
    assert sampler.distillation == in_place.get(name, "none")
    assert sampler.average_losses == (name == "sorted")
    assert sampler.draws_from_parts == (name in ("uniform", "path_adaptive", "prior"))


def test_every_drawn_architecture_is_of_the_space(name, space):
    for step in drawn(made(name, space)):
        assert step
        assert all(architecture in space for architecture in step)


def test_draws_follow_from_the_generator_alone(name, space):
    assert drawn(made(name, space)) == drawn(made(name, space))
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is looked at
    before = torch.get_rng_state()
    steps = drawn(made(name, space))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    if name != "budget_balanced":  # its first step has the largest subnet
        assert len({tuple(step) for step in steps}) > 1


def test_a_step_has_as_many_subnets_as_asked_for(name, space):
    sampler = made(name, space, subnets=3)
    expected = max(len(d.choices) for d in space.decisions) if name == "fair" else 3
    assert all(len(step) == expected for step in drawn(sampler, 3))


LEARNED = [name for name in catalogue.SAMPLERS if made(name, SPACES["nasbench201"]).state_dict()]


@pytest.mark.parametrize("name", LEARNED)
def test_learned_probabilities_sum_to_one_and_their_state_draws_alike(name, space, tmp_path):
    sampler = made(name, space)
    before = drawn(sampler)
    learn(sampler, space)
    named = sampler.end_epoch(0.7)
    assert named
    assert all(np.isfinite(value) and value >= 0 for value in named.values())
    vectors = {key.rpartition("/")[0] for key in named}
    sums = [sum(value for key, value in named.items() if key.rpartition("/")[0] == of) for of in vectors]
    assert sums == pytest.approx([1.0] * len(vectors))
    assert drawn(sampler) != before
    learn(sampler, space, steps=3, seed=1)  # in the middle of an epoch
    torch.save(sampler.state_dict(), tmp_path / "state.pt")
    other = made(name, space)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert drawn(other) == drawn(sampler)
    for one in (sampler, other):
        learn(one, space, steps=3, seed=2)
    assert sampler.end_epoch(0.9) == other.end_epoch(0.9)
    assert drawn(other) == drawn(sampler)


@pytest.mark.parametrize("name", LEARNED)
def test_a_state_is_not_changed_by_what_is_learned_later(name, space):
    sampler = made(name, space)
    learn(sampler, space, steps=2)
    state = sampler.state_dict()
    kept = repr(state)
    learn(sampler, space, steps=3, seed=1)
    sampler.end_epoch(0.5)
    assert repr(state) == kept
