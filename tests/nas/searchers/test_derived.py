"""Architectures read off a learned distribution."""

import numpy as np
import pytest
import torch

from nas.searchers import Derived
from search_spaces.families.conv_macro import conv_macro
from search_spaces.families.darts import darts
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.relaxing import relaxing
from supernets.learned import Learned

SPACES = {"conv_macro": conv_macro, "darts": darts, "small_mobilenet_v3": small_mobilenet_v3}


def learned(space, seed=0, method="softmax") -> Learned:
    generator = torch.Generator().manual_seed(seed)
    return Learned(method, {v.name: torch.randn(len(v.choices), generator=generator) for v in relaxing(space).all})


def within(space, most):
    def violation(encodings):
        return np.maximum(0, space.costs(encodings)["macs"] / most - 1) if len(encodings) else np.zeros(0)

    return violation


def made(space, *, violation=lambda encodings: np.zeros(len(encodings)), population=8, **options) -> Derived:
    options = {"learned": learned(space), **options}
    return Derived(space, objectives=1, population=population, seed=0, violation=violation, **options)


def score(space, architecture) -> float:
    return relaxing(space).score(made(space).scores, architecture)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("method", ["softmax", "sparsemax", "drnas"])
def test_the_first_proposal_has_the_best_choices(name, method):
    space = SPACES[name]()
    known = learned(space, method=method)
    first, *others = made(space, learned=known, draws=30).ask()
    assert first == known.architecture(space)
    assert others
    assert score(space, first) >= max(score(space, other) for other in others)
    if name == "conv_macro":
        best = {v.name: v.choices[int(known.logits[v.name].argmax())] for v in relaxing(space).all}
        assert first == space.architecture(best)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_nothing_outside_a_limit_is_ever_proposed(name, share):
    space = SPACES[name]()
    low, high = (space.costs([end])["macs"][0] for end in (space.smallest(), space.largest()))
    most = low + share * (high - low)
    searcher, found = made(space, violation=within(space, most), draws=30), []
    for _ in range(3):
        asked = searcher.ask()
        searcher.tell(asked, np.zeros((len(asked), 1)), np.zeros(len(asked)))
        found += asked
    assert len(found) == len(set(found)) == 24
    assert (space.costs(found)["macs"] <= most).all()


def test_the_first_within_a_limit_is_among_the_most_probable_there():
    space = conv_macro()
    names = [v.name for v in relaxing(space).all]
    logits = {name: torch.tensor([0.0, 0.3, 0.9]) for name in names}  # larger is always more probable
    known = Learned("softmax", logits)
    every = space.sample_encodings(3000, np.random.default_rng(1))
    macs = space.costs(every)["macs"]
    for share in (0.2, 0.5):
        most = float(np.quantile(macs, share))
        searcher = made(space, learned=known, violation=within(space, most))
        first = searcher.ask()[0]
        inside = every[macs <= most]
        best = max(relaxing(space).score(searcher.scores, space.decode(row)) for row in inside)
        assert space.costs([first])["macs"][0] <= most
        assert relaxing(space).score(searcher.scores, first) >= best - 0.3


def test_draws_follow_the_distribution_and_the_probable_ones_come_first():
    space = conv_macro()
    searcher = made(space)
    asked = [searcher.ask() for _ in range(2)]
    for group in (asked[0][1:], asked[1]):
        scores = [score(space, architecture) for architecture in group]
        assert scores == sorted(scores, reverse=True)
    uniform = np.mean([score(space, space.sample(np.random.default_rng(i))) for i in range(50)])
    assert np.mean([score(space, architecture) for architecture in asked[1]]) > uniform + 1


def test_costs_that_are_optimised_bring_cheaper_proposals():
    space = conv_macro()
    exact = {1: lambda encodings: space.costs(encodings)["macs"].astype(float)}
    alone, spread = (made(space, exact=given).ask() for given in ({}, exact))
    assert space.costs(spread)["macs"].mean() < space.costs(alone)["macs"].mean()


def test_what_was_learned_of_other_decisions_is_refused():
    with pytest.raises(ValueError, match="must fit what was learned, and that is of other decisions than conv_macro"):
        made(conv_macro(), learned=learned(small_mobilenet_v3()))
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        made(conv_macro(), draws=0)
