"""A mean budget that follows a triangle wave."""

import numpy as np
import pytest
import torch

from search_spaces.errors import FieldError
from search_spaces.families.nasbench201 import nasbench201
from supernets.samplers import BudgetBalanced, Uniform
from supernets.samplers.budget_balanced import tilted, triangle_wave

SPACE = nasbench201(width=4, cells=1, image_size=8)
BITS = np.array([[2.0, 3.0, 4.0]])


def at(sampler: BudgetBalanced, step: int) -> BudgetBalanced:
    sampler.load_state_dict({"step": step})
    return sampler


def test_the_published_wave_of_mean_bits():
    """Steps and bits from papers/llm-qfa.md, cheap check 1."""
    found = [2 + 2 * triangle_wave(step, 8000) for step in (0, 2000, 4000, 6000, 8000, 9000)]
    assert found == [4, 3, 2, 3, 4, 3.5]


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (2.5, (0.6162, 0.2676, 0.1162)),
        (2.25, (0.788, 0.174, 0.038)),
        (3.0, (1 / 3, 1 / 3, 1 / 3)),
        (3.75, (0.038, 0.174, 0.788)),
        (2.0, (1, 0, 0)),
        (4.0, (0, 0, 1)),
    ],
)
def test_the_published_tilts_for_mean_bits(mean, expected):
    """Probabilities from papers/llm-qfa.md, point 4 and cheap check 2."""
    for layers in (1, 32):
        found = tilted(np.repeat(BITS, layers, axis=0), (mean - 2) / 2)
        assert found == pytest.approx(np.tile(expected, (layers, 1)), abs=5e-4)
        assert (found * BITS).sum(axis=1) == pytest.approx(np.full(layers, mean), abs=1e-6)


def test_no_other_probabilities_of_that_mean_have_a_larger_entropy():
    """Against a search over all that keep the mean, by small changes along it."""
    amounts = np.array([[0.0, 1.0, 5.0], [2.0, 3.0, np.nan]])
    found = tilted(amounts, 0.3)
    parts = np.where(np.isnan(amounts), 0.0, amounts - np.nanmin(amounts, axis=1, keepdims=True)) / 6
    assert (found * parts).sum() == pytest.approx(0.3, abs=1e-9)
    assert found[1, 2] == 0

    def entropy(p):
        return -(p[p > 0] * np.log(p[p > 0])).sum()

    generator = np.random.default_rng(0)
    kept = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 1, 1], [*parts[0], *parts[1, :2]]])
    free = np.linalg.svd(kept)[2][3:]  # changes that keep both sums and the mean
    flat = found.reshape(-1)[:5]
    for _ in range(100):
        change = 1e-3 * generator.normal(size=len(free)) @ free
        assert entropy(flat + change) < entropy(flat)


def test_the_mean_cost_of_draws_is_that_of_the_wave_where_costs_add_up():
    sampler = BudgetBalanced(space=SPACE, subnets=2000, period=100, budget="params")
    low, high = (SPACE.costs([one])["params"][0] for one in (SPACE.smallest(), SPACE.largest()))
    for step, part in ((0, 1.0), (10, 0.8), (25, 0.5), (40, 0.2), (50, 0.0), (90, 0.8)):
        drawn = at(sampler, step).draw(np.random.default_rng(step))
        mean = SPACE.costs(drawn)["params"].mean()
        assert mean == pytest.approx(low + part * (high - low), abs=0.01 * (high - low)), step


def test_extreme_budgets_are_drawn_that_uniform_draws_hardly_reach():
    def spread(sampler, steps):
        costs = [SPACE.costs(at(sampler, step).draw(np.random.default_rng(step)))["macs"][0] for step in steps]
        low, high = (SPACE.costs([one])["macs"][0] for one in (SPACE.smallest(), SPACE.largest()))
        return (np.array(costs) - low) / (high - low)

    balanced = spread(BudgetBalanced(space=SPACE, period=400), range(400))
    uniform = [Uniform(space=SPACE).draw(np.random.default_rng(i))[0] for i in range(400)]
    low, high = (SPACE.costs([one])["macs"][0] for one in (SPACE.smallest(), SPACE.largest()))
    of_uniform = (SPACE.costs(uniform)["macs"] - low) / (high - low)
    assert (balanced > 0.9).mean() > 5 * (of_uniform > 0.9).mean()
    assert balanced.std() > 1.4 * of_uniform.std()


def test_a_step_moves_the_wave_and_nothing_else():
    sampler = BudgetBalanced(space=SPACE, period=4)
    assert [float(sampler.target)] == [1.0]
    assert sampler.draw(np.random.default_rng(0)) == sampler.draw(np.random.default_rng(1)) == [SPACE.largest()]
    targets = []
    for _ in range(5):
        sampler.observe([], torch.nn.Identity())
        targets.append(sampler.target)
    assert targets == [0.5, 0.0, 0.5, 1.0, 0.5]


def test_wrong_numbers_and_budgets_are_told():
    for option, value in (("period", 0), ("subnets", 0)):
        with pytest.raises(FieldError, match="must be at least 1"):
            BudgetBalanced(space=SPACE, **{option: value})
    with pytest.raises(FieldError, match="budget must be one of the costs params, macs, got 'watts'"):
        BudgetBalanced(space=SPACE, budget="watts")
