"""A fixed prior towards choices with weights."""

import numpy as np
import pytest

from search_spaces.errors import FieldError
from search_spaces.families.nasbench201 import nasbench201
from supernets.samplers import Prior


def test_convolutions_are_drawn_more_often_and_nothing_is_learned():
    space = nasbench201(width=4, cells=1, image_size=8)
    sampler = Prior(space=space)
    drawn = [sampler.draw(np.random.default_rng(i))[0] for i in range(1000)]
    names = [name for architecture in drawn for name in architecture.values()]
    shares = {name: names.count(name) / len(names) for name in set(names)}
    expected = {"nor_conv_1x1": 0.35, "nor_conv_3x3": 0.35, "none": 0.1, "skip_connect": 0.1, "avg_pool_3x3": 0.1}
    assert shares == pytest.approx(expected, abs=0.02)
    assert sampler.end_epoch(0.9) == {}
    assert sampler.state_dict() == {}
    logs = sampler.log_probabilities([space.smallest(), space.largest()])
    assert logs == pytest.approx([6 * np.log(0.1), 6 * np.log(0.35)])


def test_without_strength_it_is_uniform_and_wrong_numbers_are_told():
    space = nasbench201(width=4, cells=1, image_size=8)
    assert all(p == pytest.approx(np.full(5, 0.2)) for p in Prior(space=space, strength=0.0).probabilities.values())
    for option, value in (("strength", 1.0), ("strength", -0.1), ("subnets", 0)):
        with pytest.raises(FieldError, match="must be"):
            Prior(space=space, **{option: value})
