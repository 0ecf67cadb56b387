"""NSGA-II behind a screen of predictors and exact costs."""

import numpy as np

from nas.searchers import NSGA2
from nas.searchers.screened import ScreenedNSGA2
from search_spaces import Architecture
from tests.nas.helpers import bits
from tests.nas.searchers.test_searchers import no_limits, ones


def losses_of(space, asked):
    encodings = np.stack([space.encode(architecture) for architecture in asked])
    return np.stack([-(encodings @ np.arange(1.0, 13.0)), encodings.sum(axis=1)], axis=1)


def asked_of(searcher, asks):
    seen: list[list[Architecture]] = []
    for _ in range(asks):
        seen.append(searcher.ask())
        searcher.tell(seen[-1], losses_of(searcher.space, seen[-1]), np.zeros(len(seen[-1])))
    return seen


def test_offspring_are_the_best_of_many_by_predicted_and_exact_losses_and_the_same_again():
    space, counted = bits(12), []

    def exact(encodings):
        counted.append(len(encodings))
        return encodings.sum(axis=1)

    known = {"objectives": 2, "population": 6, "seed": 0, "violation": no_limits}
    screened = asked_of(ScreenedNSGA2(space, exact={1: exact}, **known), 4)
    assert len(counted) == 3  # the first population is not screened
    assert all(number > 6 for number in counted)
    assert [len(asked) for asked in screened] == [6] * 4
    assert len({architecture for asked in screened for architecture in asked}) == 24
    assert screened == asked_of(ScreenedNSGA2(space, exact={1: exact}, **known), 4)
    plain = asked_of(NSGA2(space, mutation="redrawn", **known), 4)
    assert plain[0] == screened[0]
    assert plain[1:] != screened[1:]


def test_one_exact_objective_is_screened_without_error():
    space = bits(12)
    searcher = ScreenedNSGA2(
        space,
        objectives=1,
        population=6,
        seed=0,
        violation=no_limits,
        exact={0: lambda encodings: encodings.sum(axis=1)},
    )
    first = searcher.ask()
    searcher.tell(first, losses_of(space, first)[:, 1:], np.zeros(6))
    assert ones(searcher.ask()).mean() < ones(first).mean()
