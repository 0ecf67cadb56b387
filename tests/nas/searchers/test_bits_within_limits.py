"""Searches of bits within a window of their mean, as EQ-Net searches them."""

import numpy as np
import pytest

from nas.objectives import Bound, costs_of
from nas.search import Problem, search
from nas.search.journal import Journal
from nas.searchers import OfaEvolution
from search_spaces import Space
from search_spaces.families.conv_macro import conv_macro
from search_spaces.precision import PrecisionConfig, with_precision
from tests.nas.helpers import Leading

BITS = tuple(range(2, 9))
NAME = "weight_bits_by_layer"


@pytest.fixture(scope="module")
def space() -> Space:
    config = PrecisionConfig(weights=BITS, activations=(8,), networks="largest")
    return with_precision(conv_macro(image_size=12, channels=1, classes=4), config)


@pytest.mark.parametrize("mean", [3.0, 8.0])
def test_a_search_never_leaves_its_window(space, mean):
    window = Bound(low=mean - 0.5, high=mean)
    problem = Problem(objectives=[*costs_of(space), Leading()], optimised=["accuracy", "bytes"], bounds={NAME: window})
    searcher = OfaEvolution(space, objectives=2, population=6, seed=0, violation=problem.exact_violation)
    found = search(searcher, problem, Journal(None, {"seed": 0}), space=space, evaluations=4)
    means = space.costs([one.architecture for one in found])[NAME]
    assert len(found) == 4
    assert ((mean - 0.5 <= means) & (means <= mean)).all()


def test_the_largest_bits_are_within_the_window_that_ends_with_them(space):
    problem = Problem(
        objectives=[*costs_of(space), Leading()], optimised=["accuracy"], bounds={NAME: Bound(low=7.5, high=8.0)}
    )
    encodings = np.stack([space.encode(space.largest()), space.encode(space.smallest())])
    assert (problem.exact_violation(encodings) > 0).tolist() == [False, True]
    assert set(space.costs(encodings)[NAME]) == {8.0, 2.0}
