"""Costs of a space that says none are counted on its networks; wrong ones are found."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import Decision, Input, Space
from search_spaces.counted_costs import count, with_counted_costs, wrong_costs
from search_spaces.families.conv_macro import conv_macro
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from tests.search_spaces.vectors import vector_space


@pytest.mark.parametrize(
    "space",
    [
        vector_space(),
        conv_macro(),
        nasbench201(width=4, cells=1),
        small_mobilenet_v3(stage_widths=(8, 12), strides=(2, 2)),
    ],
)
def test_counted_costs_are_those_that_families_say(space: Space) -> None:
    counted = with_counted_costs(replace(space, places=None, cost=None))
    encodings = space.sample_encodings(6, np.random.default_rng(0))
    said, found = space.costs(encodings), counted.costs(encodings)
    assert counted.cost_names == ("params", "macs")
    for name in ("params", "macs"):
        assert found[name].tolist() == said[name].tolist()
    assert wrong_costs(space) is None


def test_a_space_that_says_its_costs_keeps_them() -> None:
    space = vector_space()
    assert with_counted_costs(space) is space


@pytest.mark.parametrize(
    ("name", "factor", "plus"), [("params", 1, 1), ("macs", 2, 0), ("macs", 1.001, 0), ("params", 0, 0)]
)
def test_a_wrong_cost_is_found_with_both_numbers(name: str, factor: float, plus: float) -> None:
    right = vector_space()

    def cost(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
        found = right.costs([right.architecture({k: v.item() for k, v in row.items()}) for row in rows])
        return {one: found[one] * (factor if one == name else 1) + (plus if one == name else 0) for one in found}

    wrong = wrong_costs(replace(right, places=None, cost=cost))
    assert wrong is not None
    exact = right.costs([wrong.architecture])[name][0]
    assert (wrong.name, wrong.counted) == (name, exact)
    assert wrong.said == pytest.approx(exact * factor + plus)


def test_rounding_is_no_mistake() -> None:
    right = vector_space()

    def cost(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
        found = right.costs([right.architecture({k: v.item() for k, v in row.items()}) for row in rows])
        return {one: found[one].astype(np.float32) + np.float32(0.25) for one in found}

    assert wrong_costs(replace(right, places=None, cost=cost)) is None


class Attention(nn.Module):
    """Products of matrices outside layers, and a branch that looks at numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        x = x @ x.transpose(1, 2) @ x
        return x if x.sum() > 0 else -x


def test_products_outside_layers_are_counted_and_may_be_left_out() -> None:
    space = Space(
        name="attention",
        decisions=(Decision("one", (1, 2)),),
        inputs=(Input((3, 4)),),
        network=lambda architecture: Attention(),
    )
    found = count(space, space.smallest())
    assert found == {"params": 20, "macs": 3 * 4 * 4, "all_macs": 3 * 4 * 4 + 2 * 3 * 3 * 4}
    for macs in (found["macs"], found["all_macs"]):
        said = replace(space, cost=lambda columns, macs=macs: {"macs": np.full(len(columns["one"]), macs)})
        assert wrong_costs(said) is None


class Gated(nn.Module):
    """A linear layer, scaled by a layer that is called on a view of a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.gate, self.act = nn.Linear(4, 2), nn.Parameter(torch.zeros(2)), nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.act(self.gate.view(1, 2))


def test_layers_that_are_called_on_views_of_parameters_are_counted() -> None:
    decisions, inputs = (Decision("one", (1, 2)),), (Input((4,)),)
    space = Space(name="gated", decisions=decisions, inputs=inputs, network=lambda architecture: Gated())
    assert count(space, space.largest()) == {"params": 12, "macs": 8, "all_macs": 8}
