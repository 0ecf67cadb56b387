"""The expected cost of a learned distribution, and trainings that hold it down."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from search_spaces import Space
from search_spaces.errors import FieldError
from search_spaces.families.conv_macro import conv_macro
from search_spaces.families.darts import darts
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.relaxing import relaxing
from supernets import Supernet, TrainConfig, phases, train
from supernets.training.expected_cost import ExpectedCost
from supernets.training.relaxation_config import RelaxationConfig
from tests.supernets.helpers import Images, tiny_mobilenet

SPACES = {
    "conv_macro": conv_macro,
    "nasbench201": lambda: nasbench201(width=4, cells=1, image_size=8),
    "mobilenet": lambda: tiny_mobilenet(kernels=(3, 5)),
}


def drawn(space: Space, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random probabilities of all choices."""
    generator = torch.Generator().manual_seed(seed)
    return {
        vector.name: torch.randn(len(vector.choices), generator=generator, dtype=torch.float64).softmax(0)
        for vector in relaxing(space).all
    }


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("cost", ["params", "macs"])
def test_the_expectation_is_the_mean_over_all_architectures(name, cost):
    space, p = SPACES[name](), drawn(SPACES[name]())
    free = [decision for decision in space.decisions if decision.name in p]
    free, fixed = free[:5], free[5:]
    p |= {one.name: torch.eye(len(one.choices), dtype=torch.float64)[0] for one in fixed}
    rows, weights = [], []
    for choice in product(*(range(len(one.choices)) for one in free)):
        row = dict.fromkeys((one.name for one in space.decisions), 0) | dict(zip((one.name for one in free), choice))
        rows.append([row[one.name] for one in space.decisions])
        weights.append(np.prod([float(p[one.name][index]) for one, index in zip(free, choice)]))
    exact = space.costs(space.canonical(np.array(rows)))[cost]
    assert float(ExpectedCost(space, cost)(p)) == pytest.approx(float(exact @ np.array(weights)), rel=1e-12)


@pytest.mark.parametrize("name", SPACES)
def test_one_hot_probabilities_give_the_exact_cost(name):
    space = SPACES[name]()
    architecture = space.largest()
    p = {d.name: torch.eye(len(d.choices), dtype=torch.float64)[-1] for d in relaxing(space).all}
    assert float(ExpectedCost(space, "macs")(p)) == float(space.costs([architecture])["macs"][0])


def test_the_latency_is_the_sum_over_blocks():
    space = SPACES["mobilenet"]()
    blocks_ms = np.random.default_rng(0).random(len(space.blocks.distinct))
    encoding = space.encode(space.sample(np.random.default_rng(1)))
    p = {
        d.name: torch.eye(len(d.choices), dtype=torch.float64)[encoding[i]]
        for i, d in enumerate(space.decisions)
        if d.name in drawn(space)
    }
    expected = space.blocks.totals(blocks_ms[:, None], encoding[None])[0, 0]
    assert float(ExpectedCost(space, "latency_ms", blocks_ms)(p)) == pytest.approx(expected)


def test_gradients_are_finite_differences():
    space = SPACES["conv_macro"]()
    cost, p = ExpectedCost(space, "macs"), drawn(SPACES["conv_macro"]())
    row = p["conv2.width"].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(cost({**p, "conv2.width": row}), row)
    for i in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[i] = 1e-3
        up, down = (float(cost({**p, "conv2.width": row.detach() + sign * step})) for sign in (1, -1))
        assert float(gradient[i]) == pytest.approx((up - down) / 2e-3, rel=1e-6)


@pytest.mark.parametrize("method", ["softmax", "sparsemax", "gdas", "drnas"])
def test_training_brings_the_expectation_below_the_limit(method):
    space = tiny_mobilenet(stage_widths=(8,), strides=(2,), squeeze_excite=(False,))
    low, high = (float(space.costs([one])["macs"][0]) for one in (space.smallest(), space.largest()))
    limit = low + 0.15 * (high - low)
    events: list[dict[str, Any]] = []

    def expectation(weight: float | None) -> float:
        limited = {} if weight is None else {"cost": "macs", "cost_limit": limit, "cost_weight": weight}
        config = TrainConfig(
            epochs=10, batch_size=16, lr=0.02, relaxation=RelaxationConfig(method=method, lr=0.1, **limited)
        )
        torch.manual_seed(0)
        supernet = train(Supernet(space), phases(space, config), Images(48), config, observer=events.append)
        assert supernet.learned is not None
        found = {name: torch.from_numpy(p.copy()) for name, p in supernet.learned.probabilities().items()}
        return float(ExpectedCost(space, "macs")(found))

    held = expectation(30.0)
    told = [event["expected"]["macs"] for event in events if "expected" in event]
    assert len(told) == 10
    assert held == pytest.approx(told[-1], rel=1e-5)
    assert held < 1.05 * limit < expectation(None)


@pytest.mark.parametrize(
    ("space", "cost", "message"),
    [
        (
            darts(width=8, cells=4, image_size=16),
            "macs",
            "must be null: costs of darts are not sums over its decisions",
        ),
        (conv_macro(), "energy", "must be one of params, macs, latency_ms, got 'energy'"),
        (conv_macro(), "latency_ms", "must be one of params, macs where there is no latency.table, got 'latency_ms'"),
    ],
)
def test_costs_that_are_not_known_are_refused(space, cost, message):
    with pytest.raises(FieldError, match=message):
        ExpectedCost(space, cost)


def test_settings_that_do_not_belong_together_are_refused():
    with pytest.raises(FieldError, match="cost_limit must be given with cost, and only with it, got None"):
        RelaxationConfig(cost="macs")
    with pytest.raises(FieldError, match="cost_limit must be given with cost, and only with it, got 5"):
        RelaxationConfig(cost_limit=5)
    with pytest.raises(FieldError, match="method must be one that learns logits where cost limits macs, got 'one_hot'"):
        RelaxationConfig(method="one_hot", cost="macs", cost_limit=5)
