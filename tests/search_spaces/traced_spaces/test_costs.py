"""Costs, blocks and networks of spaces that are read off a network agree with what really runs."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import Architecture, FieldError, Space
from search_spaces.anatomy import anatomy
from search_spaces.counted_costs import _counted, count, wrong_costs
from search_spaces.traced_spaces import traced_blocks
from search_spaces.traced_spaces.choices import Choices
from search_spaces.traced_spaces.traced_costs import Counting
from search_spaces.traced_spaces.traced_decisions import plan_of
from search_spaces.tracing import Traced
from supernets import Supernet
from tests.search_spaces.traced_spaces.networks import Fixed
from tests.supernets.helpers import scrambled


def drawn(space: Space, n: int = 4) -> list[Architecture]:
    generator = np.random.default_rng(0)
    return [space.smallest(), space.largest(), *(space.sample(generator) for _ in range(n))]


def test_costs_are_those_of_the_networks(space: Space) -> None:
    architectures = drawn(space)
    costs = space.costs(architectures)
    for place, architecture in enumerate(architectures):
        counted = count(space, architecture)
        assert (costs["params"][place], costs["macs"][place]) == (counted["params"], counted["all_macs"])
    assert wrong_costs(space) is None


def test_blocks_add_up_to_the_costs_of_their_networks(space: Space) -> None:
    encodings = space.sample_encodings(200, np.random.default_rng(1))
    costs, blocks = space.costs(encodings), space.blocks
    totals = blocks.totals(blocks.costs, encodings)
    assert {name: column.tolist() for name, column in costs.items()} == {
        name: totals[:, place].tolist() for place, name in enumerate(blocks.cost_names)
    }


def test_blocks_run_alone_and_have_the_costs_that_they_state(space: Space) -> None:
    distinct = space.blocks.distinct
    for place in np.random.default_rng(2).permutation(len(distinct))[:8]:
        block = distinct[place]
        network = block.build().eval()
        counted = _counted(network, block.example())
        assert block.costs == {"params": counted["params"], "macs": counted["all_macs"]}
        assert len(network(*block.example(3))) == 3


def test_people_see_no_letters_that_only_tell_blocks_apart(space: Space) -> None:
    pieces = anatomy(space, space.largest()).pieces
    assert "Mix 24-48-24" in [piece.block for piece in pieces]
    assert len({block.name for block in space.blocks.distinct if "Mix 24-48-24 #" in block.name}) > 1


def test_blocks_one_behind_the_other_are_the_network(space: Space) -> None:
    supernet = Supernet(space).eval()
    x = space.example(batch=2)[0]
    for architecture in drawn(space, 2):
        value = torch.nn.functional.interpolate(x, size=int(architecture["resolution"]))
        for _, block in space.blocks.standing(space.encode(architecture)):
            if block is not None:
                value = block.build().eval()(value)
        supernet.activate(architecture)
        assert value.shape == supernet(x).shape


def test_another_process_reads_the_same_again(space: Space) -> None:
    sent = pickle.loads(pickle.dumps(space))
    architecture = drawn(space)[2]
    assert sent.decisions == space.decisions
    assert sent.costs([architecture])["macs"].tolist() == space.costs([architecture])["macs"].tolist()
    assert [block.key for block in sent.blocks.distinct] == [block.key for block in space.blocks.distinct]


def test_subnets_are_the_active_part_of_the_supernet(space: Space) -> None:
    supernet = scrambled(Supernet(space)).eval()
    for architecture in drawn(space):
        x = space.example(architecture, 2)
        supernet.activate(architecture)
        with torch.no_grad():
            assert (supernet(*x) - supernet.extract()(*x)).abs().max() <= 1e-5


def test_a_space_of_a_module_begins_with_its_weights(space: Space, network: nn.Module) -> None:
    x = torch.randn(2, 3, 24, 24)
    assert torch.allclose(space.build().eval()(x), network(x), atol=1e-6)
    assert space.name == "module"
    with pytest.raises(FieldError, match="resolutions must have 16 as largest, the side of the example, got 24"):
        Space.from_module(network, torch.zeros(2, 3, 16, 16), resolutions=(16, 24))


def test_a_network_of_which_nothing_can_be_left_out_is_refused() -> None:
    with pytest.raises(FieldError, match="Fixed has nothing that can be left out: network output: "):
        Space.from_module(Fixed(), torch.zeros(1, 3, 8, 8))


def test_places_that_follow_too_many_decisions_are_left_out(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(traced, Choices())
    network = traced_blocks.Network(traced, plan, Counting(traced, plan, {}), {})
    assert len(traced_blocks.places_of(network)) == 9
    monkeypatch.setattr(traced_blocks, "_MOST_BLOCKS", 4)
    assert traced_blocks.places_of(network) == ()
