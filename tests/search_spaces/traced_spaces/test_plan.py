"""Decisions of traced networks: what they are called, what they choose from, and when they are inactive."""

from dataclasses import fields, replace
from inspect import signature

import pytest
import torch
from torch import nn

from search_spaces import FieldError, Space
from search_spaces.families.timm_elastic import timm
from search_spaces.origin import Origin
from search_spaces.traced_spaces.choices import Choices, depths_of
from search_spaces.traced_spaces.stages import Stages
from search_spaces.traced_spaces.summary import origin_of
from search_spaces.traced_spaces.traced_decisions import Plan, plan_of
from search_spaces.tracing import Skippable, Traced
from tests.search_spaces.traced_spaces.networks import Small


@pytest.fixture(scope="module")
def plan(traced: Traced) -> Plan:
    return plan_of(traced, Choices())


def test_decisions_are_called_by_stage_and_list_the_cheapest_choice_first(plan: Plan) -> None:
    assert {decision.name: decision.choices for decision in plan.decisions} == {
        "stem.ratio": (0.5, 0.75, 1.0),
        "stages.0.depth": (2, 3),
        "stages.0.width": (0.25, 0.5, 0.75, 1.0),
        "stages.0.ratio": (0.25, 0.5, 0.75, 1.0),
        "stages.0.kernel": (3, 5),
        "stages.1.depth": (1, 2),
        "stages.1.width": (0.25, 0.5, 0.75, 1.0),
        "stages.1.ratio": (0.25, 0.5, 0.75, 1.0),
        "stages.1.heads": (1, 2, 3),
        "stages.1.kernel": (3, 5, 7),
    }


def test_only_decisions_about_blocks_that_are_all_skipped_are_inactive(plan: Plan) -> None:
    conditional = {one.name: (one.parent, one.active_when) for one in plan.decisions if one.parent is not None}
    assert conditional == dict.fromkeys(("stages.1.ratio", "stages.1.kernel"), ("stages.1.depth", (2,)))


def test_options_say_what_is_chosen_from(traced: Traced) -> None:
    few = Choices(widths=(1,), ratios=(0.5, 1), ratios_per="block", heads=(1,), depths=(0, 1), kernels=(7,))
    choices = replace(few, resolutions=(24, 16))
    plan = plan_of(traced, choices)
    assert {decision.name: decision.choices for decision in plan.decisions} == {
        "resolution": (16, 24),
        "stem.ratio": (0.5, 1.0),
        "stages.0.depth": (0, 3),
        **{f"stages.0.{block}.ratio": (0.5, 1.0) for block in (1, 2, 3)},
        "stages.1.depth": (0, 2),
        "stages.1.2.ratio": (0.5, 1.0),
    }
    space = Space(name="options", decisions=plan.decisions)
    assert dict(space.smallest()) == {"resolution": 16, "stem.ratio": 0.5, "stages.0.depth": 0, "stages.1.depth": 0}


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        (64, [16, 32, 48, 64]),
        (24, [8, 12, 20, 24]),
        (16, [8, 8, 12, 16]),
        (8, [8, 8, 8, 8]),
        (960, [240, 480, 720, 960]),
    ],
)
def test_channels_are_rounded_to_a_divisor(size: int, kept: list[int]) -> None:
    assert [Choices().kept(size, fraction, is_channels=True) for fraction in (0.25, 0.5, 0.75, 1.0)] == kept


def test_heads_are_rounded_to_whole_ones() -> None:
    assert [Choices().kept(3, fraction, is_channels=False) for fraction in (0.25, 0.5, 0.75, 1.0)] == [1, 2, 2, 3]


def test_depths_count_the_blocks_that_run() -> None:
    assert depths_of(6, 1, (0.5, 0.75, 1.0)) == (3, 5, 6)
    assert depths_of(2, 0, (0.25, 1.0)) == (1, 2)
    assert depths_of(2, 0, (0, 1.0)) == (0, 2)
    assert depths_of(10, 0, (0.7, 1)) == (7, 10)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("widths", [0.5], "must be fractions from more than 0, up to 1, with 1 among them, got [0.5]"),
        ("ratios", [0, 1], "must be fractions from more than 0"),
        ("depths", [-1, 1], "must be fractions from 0 to 1"),
        ("heads", [], "must be a list of numbers, got []"),
        ("kernels", [4], "must be odd sizes of 1 or more, got [4]"),
        ("resolutions", [32, 32], "must not name a number twice"),
        ("resolutions", [32.5], "must be a list of whole numbers"),
        ("divisor", 0, "must be a whole number of 1 or more, got 0"),
        ("least_width", 2**20, "must be at most"),
        ("ratios_per", "layer", "must be stage or block, got 'layer'"),
    ],
)
def test_options_out_of_range_are_refused_by_name(option: str, value: object, said: str) -> None:
    with pytest.raises(FieldError) as error:
        Choices(**{option: value})  # type: ignore[arg-type]
    assert error.value.field == option
    assert said in error.value.text


def with_blocks(module: nn.Module, *scopes: str) -> Traced:
    """What a trace says of a network of which only the blocks matter."""
    blocks = tuple(Skippable(scope, "", "", ()) for scope in scopes)
    empty: dict = {name: {} for name in ("constants", "shapes", "units", "tensors", "literals")}
    return Traced(module=module, graph=torch.fx.Graph(), groups=(), pins=(), blocks=blocks, kernels=(), **empty)


def test_stages_are_lists_of_blocks() -> None:
    net = nn.Module()
    net.layer1 = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU())
    net.blocks = nn.Sequential(nn.Sequential(nn.Linear(1, 1)), nn.Sequential(nn.ReLU(), nn.Linear(1, 1)))
    stages = Stages(with_blocks(net, "layer1.1", "blocks.1.1"))
    assert {name: (len(stage.blocks), stage.fixed) for name, stage in stages.all.items()} == {
        "layer1": (1, 1),
        "blocks.1": (1, 0),
    }
    assert [stages.of(path) for path in ("layer1.0", "blocks.0.0.weight", "conv1.weight")] == [
        "layer1",
        "blocks.0",
        "conv1",
    ]


def test_a_last_part_that_says_nothing_is_left_out_and_single_blocks_in_a_row_are_one_stage() -> None:
    assert list(Stages(with_blocks(Small(2, 3), "stages.0.1", "stages.1.2")).all) == ["stages.0", "stages.1"]
    net = nn.Module()
    net.stages = nn.ModuleList([nn.ModuleDict({"blocks": nn.Sequential(nn.Linear(1, 1))}) for _ in range(2)])
    assert list(Stages(with_blocks(net, "stages.0.blocks.0", "stages.1.blocks.0")).all) == ["stages.0", "stages.1"]
    net.rows = nn.Sequential(*(nn.Sequential(nn.Linear(1, 1), nn.ReLU()) for _ in range(3)))
    stages = Stages(with_blocks(net, "rows.0.0", "rows.1.0", "rows.2.0"))
    assert {name: len(stage.blocks) for name, stage in stages.all.items()} == {"rows": 3}


def test_a_block_inside_a_block_of_a_list_belongs_to_that_list() -> None:
    net = nn.Module()
    net.blocks = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Linear(1, 1)), nn.Linear(1, 1), nn.Linear(1, 1))
    stages = Stages(with_blocks(net, "blocks.0.1", "blocks.1"))
    assert {name: (len(stage.blocks), stage.fixed) for name, stage in stages.all.items()} == {"blocks": (2, 1)}


def test_what_is_elastic_and_what_stays_fixed_is_told_and_kept(traced: Traced, plan: Plan) -> None:
    origin = origin_of("Small", traced, plan, {"params": 23_226, "macs": 1})
    assert Origin.from_json(origin.to_json()) == origin
    text = "\n".join(origin.lines())
    assert "Small: 23,226 weights" in text
    assert "elastic: stages.1.heads in 1, 2, 3: 3 heads" in text
    assert "elastic: stages.0.depth in 2, 3: blocks that run; left out in this order: stages.0.3" in text
    assert "fixed: 2 x network output: head.weight (dimension 0: 10), head.bias (dimension 0: 10)" in text
    assert "fixed: 3 x a block that always runs: stages.0.1, stages.0.2, stages.1.1" in text


def test_choices_are_options_of_the_space_with_its_defaults() -> None:
    options = signature(timm).parameters
    own = {field.name: field.default for field in fields(Choices) if field.name != "resolutions"}
    assert own == {name: options[name].default for name in own}
    assert "resolutions" in options
