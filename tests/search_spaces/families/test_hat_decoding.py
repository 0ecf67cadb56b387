"""HAT as it writes token by token, for latency: networks, costs and blocks."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from search_spaces import Decision, FieldError
from search_spaces.decoding_space import as_timed
from search_spaces.families.conv_macro import conv_macro
from search_spaces.networks.decoding import Decoding
from tests.search_spaces.families.test_hat import small
from tests.search_spaces.transformers import check_extraction
from tests.supernets.helpers import scrambled


@torch.no_grad()
def test_a_network_writes_the_most_likely_tokens():
    space = small()
    architecture = space.largest()
    network = scrambled(space.subnet(architecture).eval())
    source = torch.tensor([[3, 4, 5, 2], [6, 2, 0, 0]])
    written = torch.ones(2, 1, dtype=torch.int64)
    for _ in range(5):
        scores = network(source, written)[:, -1]
        written = torch.cat([written, scores.argmax(-1, keepdim=True)], 1)
    torch.testing.assert_close(Decoding(network, 5)(source), scores, atol=1e-5, rtol=1e-5)


def test_networks_that_write_are_extracted_and_their_costs_are_those_of_torch():
    check_extraction(small().decoding(5), 10)


@torch.no_grad()
def test_blocks_that_write_make_up_the_networks():
    space = small(depths=(1, 2)).decoding(4)
    for block in space.blocks.distinct:
        module = block.build().eval()
        module(*block.example())
        own = sum(parameter.numel() for parameter in module.parameters())
        assert own == block.costs["params"] or block.key.startswith("scores")  # these weights are those of the tokens
    names = [block.key for block in space.blocks.distinct]
    assert sum("one by one" in name for name in names) == 2 + 2 + 2 * 3 * 2 * 2 * 2 * 3
    assert len(space.example()) == 1


def test_a_longer_target_costs_more_and_the_encoder_does_not():
    space = small()
    largest = space.largest()
    macs = [int(space.decoding(length).costs([largest])["macs"][0]) for length in (1, 2, 3, 4)]
    steps = [later - earlier for earlier, later in pairwise(macs)]
    assert steps[1] - steps[0] == steps[2] - steps[1] > 0  # one more key for each token that was written


@pytest.mark.parametrize("length", [0, 13])
def test_what_cannot_be_written_is_refused(length):
    with pytest.raises(FieldError, match=f"decode must be from 1 to longest, which is 12, got {length}"):
        as_timed(small(), length)


def test_a_part_of_the_space_keeps_its_choices():
    part = small().restrict({"*.heads": [2], "decoder.depth": [1, 3]})
    timed = as_timed(part, 4)
    assert timed.decisions == part.decisions
    assert timed.decode(part.encode(part.largest())) == part.largest()


def test_a_space_that_was_given_further_decisions_is_refused():
    space = small()
    more = replace(space, decisions=(*space.decisions, Decision("bits", (4, 8))))
    with pytest.raises(FieldError, match="decode must be null: space small_hat was given decisions"):
        as_timed(more, 4)


def test_spaces_of_other_networks_do_not_write():
    space = conv_macro()
    assert as_timed(space, None) is space
    with pytest.raises(FieldError, match="decode must be null: networks of space conv_macro do not write"):
        as_timed(space, 5)
