"""What the benchmarks of transformers compare, and the intervals that they print."""

import re
from argparse import Namespace

import numpy as np
import pytest
from scipy.stats import kendalltau, t

from benchmarks.autoformer import BEST, Ranking, Scores
from benchmarks.nested_language import SIZES, ratio, sizes, space_of
from benchmarks.vit_cifar10 import METHODS, RECIPE, Trial, agreement
from service.job.loading import load_job
from supernets import phases


@pytest.mark.parametrize("size", range(SIZES))
def test_a_separate_model_is_one_of_the_nested_ones(size):
    nested, alone = space_of(50, 40), space_of(50, 40, size)
    assert alone.count() == 1
    assert alone.largest() == sizes(nested)[size]
    assert alone.costs([alone.largest()])["params"] == nested.costs([sizes(nested)[size]])["params"]


def test_the_mean_of_ratios_is_geometric():
    assert ratio(np.array([0.5, 2.0])).startswith("1.000 [")
    mean, low, high = (float(one) for one in re.findall(r"[\d.]+", ratio(np.array([1.0, 1.1, 1.2]))))
    assert mean == pytest.approx((1.0 * 1.1 * 1.2) ** (1 / 3), abs=1e-3)
    assert low * high == pytest.approx(mean**2, rel=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_methods_have_the_same_passes(method):
    """In steps that are fewer where a step has more networks."""
    trial = Trial(
        arguments=Namespace(passes=6.0), job=load_job(RECIPE, ["data.source=noise", "data.path=null"]), data=None
    )
    config = trial.config(method)
    (phase,) = phases(trial.space, config)
    assert config.epochs * len(phase.sampler.draw(np.random.default_rng(0))) == 6.0


def test_a_ranking_is_that_of_the_networks_that_were_trained_alone():
    row = {"validation": {"smallest": 90.0, "random0": 1.0, "random1": 2.0, "random2": 3.0, "random3": 0.0}}
    assert agreement(row, [{"test": 10.0}, {"test": 30.0}, {"test": 20.0}]) == pytest.approx(1 / 3)


@pytest.fixture
def ranking():
    generator = np.random.default_rng(0)
    accuracies = generator.normal(size=30)
    values = {f"proxy{i}": accuracies + (1 + i) * generator.normal(size=30) for i in range(3)}
    scores = Scores(values=values, reasons={}, layers=[])
    return Ranking(arguments=Namespace(train=12, splits=4), scores=scores, accuracies=accuracies)


def test_the_best_proxy_is_chosen_by_what_is_shown(ranking):
    found = ranking.single()
    for number in range(4):
        shown, others = ranking.split(number)
        assert sorted([*shown, *others]) == list(range(30))
        taus = {
            name: [kendalltau(column[rows], ranking.accuracies[rows]).statistic for rows in (shown, others)]
            for name, column in ranking.scores.values.items()
        }
        chosen = max(taus, key=lambda name: taus[name][0])
        assert found[BEST][number] == pytest.approx(taus[chosen][1])
        assert found["best proxy in hindsight"][number] == pytest.approx(max(pair[1] for pair in taus.values()))


def test_intervals_of_splits_that_overlap_are_wider_than_students(ranking):
    values = np.array([0.1, 0.2, 0.3, 0.2])
    mean, half = (float(one) for one in ranking.interval(values).split(" ± "))
    assert mean == 0.2
    expected = t.ppf(0.975, 3) * np.sqrt(values.var(ddof=1) * (1 / 4 + 18 / 12))
    assert half == pytest.approx(expected, abs=1e-3)
