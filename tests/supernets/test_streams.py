"""Named random streams."""

import numpy as np
import torch

from supernets import streams


def test_a_stream_gives_the_same_numbers_whenever_it_is_asked_for():
    first, second = (streams.STEP.generator(3, 7).random(4) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(first, np.random.default_rng((3, 7)).random(4))
    kept, again = (torch.rand(4, generator=streams.DATA_ORDER.torch_generator(3, 7)) for _ in range(2))
    assert torch.equal(kept, again)


def test_purposes_and_indices_have_numbers_of_their_own():
    drawn = [
        stream.generator(3, *index).integers(2**62)
        for stream, index in [
            (streams.STEP, (7,)),
            (streams.STEP, (8,)),
            (streams.EXAMPLE_ORDER, (7,)),
            (streams.DATA_ORDER, (7,)),
            (streams.AUGMENTATION, (7, 0)),
            (streams.DATA_SPLIT, (7,)),
            (streams.SUBSET, ()),
        ]
    ]
    assert len(set(drawn)) == len(drawn)


def test_the_seed_of_a_stage_is_a_number_that_has_streams_of_its_own():
    seeds = {streams.STAGE.seed(3, stage) for stage in (1, 2, 3)} | {streams.SCORING.seed(3, streams.FIRST_SCORING)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**32 for seed in seeds)
