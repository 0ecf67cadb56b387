"""Architectures as numbers from 0 to 1, whatever their space."""

import pickle
from copy import deepcopy

import numpy as np
import pytest

from search_spaces import Decision, Space
from search_spaces.families.bert import small_bert
from search_spaces.families.hat import hat, small_hat
from search_spaces.families.language import language
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.pooling import pooling
from search_spaces.scaled_features import ScaledFeatures

DECISIONS = (
    Decision("depth", (1, 2, 5)),
    Decision("kind", ("plain", "wide", "deep")),
    Decision("one", (7,)),
    Decision("second.ratio", (1.0, 0.5), "depth", (2, 5)),
)


def test_numbers_of_decisions_by_hand():
    of = ScaledFeatures(Space(name="hand", decisions=DECISIONS))
    rows = [{"depth": 1, "kind": "deep"}, {"depth": 2, "kind": "wide", "second.ratio": 1.0}]
    found = [of(of.space.architecture({"one": 7, **row})).tolist() for row in rows]
    assert found == [[0.0, 1.0, 0.0], [0.25, 0.5, 1.0]]
    assert of.number == 3


def test_a_space_without_choices_has_one_number():
    of = ScaledFeatures(Space(name="one", decisions=(Decision("one", (7,)),)))
    assert of(of.space.largest()).tolist() == [0.5]
    assert of.number == 1


def test_traits_beyond_one_are_scaled_and_others_are_kept():
    def traits(columns):
        depth = columns["depth"].astype(float)
        return np.stack([100 * depth, depth / 10, np.zeros_like(depth)], axis=1)

    of = ScaledFeatures(Space(name="traits", decisions=DECISIONS, traits=traits))
    rows = [of(of.space.architecture({"depth": d, "kind": "deep", "one": 7, "second.ratio": 1.0})) for d in (1, 2, 5)]
    assert np.allclose(rows, [[0, 0.1, 0], [0.25, 0.2, 0], [1, 0.5, 0]])


@pytest.mark.parametrize("make", [hat, small_hat, small_bert, language, nasbench201, pooling])
def test_numbers_lie_between_0_and_1_and_tell_architectures_apart(make):
    space = make()
    encodings = space.sample_encodings(50, np.random.default_rng(1))
    found = ScaledFeatures(space).of(encodings)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert len(np.unique(found, axis=0)) > 0.8 * len(np.unique(encodings, axis=0))


@pytest.mark.parametrize(("space", "number"), [(hat(), 10), (small_hat(depths=(1, 2)), 10), (small_bert(), 4)])
def test_published_numbers_of_a_space_are_used(space, number):
    of = ScaledFeatures(space)
    assert of.number == number
    assert of(space.largest()).tolist() == [1.0] * number


def test_a_part_of_the_space_has_the_numbers_of_the_whole():
    space = language()
    of, part = ScaledFeatures(space), space.restrict({"embed": [192, 256]})
    assert of(part.smallest())[0] == np.float32(0.5)


def test_numbers_can_be_copied_and_sent():
    of = ScaledFeatures(small_hat())
    architecture = of.space.smallest()
    assert deepcopy(of) is of
    assert pickle.loads(pickle.dumps(of))(architecture).tolist() == of(architecture).tolist()
