"""Batches of tokens: what each epoch shows, in which order, and from where it goes on."""

import numpy as np
import pytest
import torch

from nas.data.text.forms import Continued, Masked, Translated
from nas.data.text.rows import Rows
from nas.data.text.text_data import TextData, length_order
from nas.data.text.token_batches import equal_cuts, token_batches
from supernets.tasks.token_ids import END, MASK, PADDING

CPU = torch.device("cpu")


def rows(count, seed=0, most=20):
    generator = np.random.default_rng(seed)
    return Rows.of([[*generator.integers(4, 90, generator.integers(1, most)).tolist(), END] for _ in range(count)])


def in_order(*columns):
    order = length_order(columns)
    return tuple(one.select(order) for one in columns)


def pairs(count=101):
    return TextData(in_order(rows(count), rows(count, 1)), Translated(), CPU)


def examples(batches):
    """Return the rows of all batches without their padding, as a sorted list."""
    found = []
    for batch in batches:
        for i in range(len(batch[0])):
            found.append(tuple(tuple(part[i][part[i] != PADDING].tolist()) for part in batch))
    return sorted(found)


def test_rows_are_cut_and_padded_as_lists_are():
    listed = [[5, 6, END], [END], [7, 8, 9, END]]
    made = Rows.of(listed)
    assert made.padded(np.array([2, 0, 0])).tolist() == [[7, 8, 9, END], [5, 6, END, 0], [5, 6, END, 0]]
    few = made.select(np.array([2, 1]))
    assert [few.ids[a:b].tolist() for a, b in zip(few.starts, few.starts[1:])] == [listed[2], listed[1]]


@pytest.mark.parametrize("least", [1, 3])
def test_cuts_are_those_of_a_loop(least):
    costs, count = np.random.default_rng(0).integers(1, 40, 60), 9
    found = equal_cuts(costs, count, least=least)
    sizes = np.diff([0, *found, 60])
    assert sizes.sum() == 60
    assert sizes.min() >= least
    if least == 1:
        share, spent, naive = costs.sum() / count, 0, []
        for i, cost in enumerate(costs):
            if spent + cost > share * (len(naive) + 1):
                naive.append(i)
            spent += cost
        assert found.tolist() == naive[: count - 1]


def test_an_epoch_shows_every_example_once_in_as_many_batches_as_always():
    data = pairs()
    whole = examples(data.sequential(7))
    assert len(set(whole)) == 101
    for epoch in range(2):
        batches = list(data.batches(10, epoch=epoch, seed=0))
        assert len(batches) == data.steps(10) == 10
        assert examples(batches) == whole
    assert not all(map(torch.equal, next(data.batches(10, epoch=0, seed=0)), next(data.batches(10, epoch=1, seed=0))))


def test_batches_have_about_as_many_tokens_and_little_padding():
    data = TextData(in_order(rows(3000), rows(3000, 1)), Translated(), CPU)
    batches = list(data.batches(100, epoch=0, seed=0))
    tokens = [sum(int((part != PADDING).sum()) for part in (source, target)) for source, _, target in batches]
    assert max(tokens) < 1.2 * min(tokens)
    assert max(len(source) for source, _, _ in batches) > 2 * min(len(source) for source, _, _ in batches)
    alike = TextData((data.columns[0], data.columns[0]), Translated(), CPU)
    padded = sum(source.numel() for source, _, _ in alike.batches(100, epoch=0, seed=0))
    assert padded < 1.05 * len(data.columns[0].ids)


def test_an_epoch_goes_on_in_its_middle():
    data = TextData(in_order(rows(101)), Masked(0.2, 90), CPU)
    whole = list(data.batches(10, epoch=3, seed=5))
    rest = list(data.batches(10, epoch=3, seed=5, start=4))
    assert len(rest) == 6
    assert all(torch.equal(a, b) for one, other in zip(whole[4:], rest) for a, b in zip(one, other))


def test_processes_share_every_batch():
    data = pairs()
    alone = list(data.batches(10, epoch=0, seed=0, world_size=2, rank=0))
    other = list(data.batches(10, epoch=0, seed=0, world_size=2, rank=1))
    assert len(alone) == len(other) == 10
    assert min(len(one[0]) for one in alone + other) >= 1
    assert examples(alone + other) == examples(data.sequential(101))
    with pytest.raises(ValueError, match="multiple of the 3 processes"):
        next(data.batches(10, epoch=0, seed=0, world_size=3))


def test_a_given_order_is_cut_as_it_is():
    data = TextData(in_order(rows(20)), Continued(), CPU)
    order = torch.tensor([19, 0, 0, 7, *range(16)])
    shown = list(data.batches(4, epoch=0, seed=0, order=order))
    assert [len(one[0]) for one in shown] == [4] * 5
    single = [one[1][0] for one in data.sequential(1)]
    for place, example in enumerate(order.tolist()):
        row = shown[place // 4][1][place % 4]
        assert torch.equal(row[row != PADDING], single[example][single[example] != PADDING])


def test_a_part_of_a_split_is_a_split():
    few = pairs().subset(30, seed=1)
    assert len(few) == len(examples(few.sequential(7))) == 30
    assert set(examples(few.sequential(7))) < set(examples(pairs().sequential(7)))


def test_batches_that_networks_are_judged_on_have_a_limit_of_tokens():
    data = TextData(in_order(rows(5000, most=40)), Continued(), CPU)
    assert max(int((one[1] != PADDING).sum()) for one in data.sequential(5000)) <= 16_384 + 41
    assert len(list(data.sequential(50))) == 100


def test_gaps_are_where_and_what_they_should_be():
    data = TextData(in_order(rows(4000)), Masked(0.15, 90), CPU)
    shown, targets = (torch.cat([part.flatten() for part in one]) for one in zip(*data.batches(50, epoch=0, seed=0)))
    chosen = targets != PADDING
    assert chosen.sum() / (shown > END).sum() == pytest.approx(0.15, abs=0.03)  # rows of few tokens have one at least
    assert (shown[chosen] == MASK).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (shown[chosen] == targets[chosen]).float().mean() == pytest.approx(0.1 + 0.1 / 86, abs=0.02)
    assert not (targets[chosen] == END).any()
    for masked, target in data.sequential(100):
        assert (target != PADDING).any(1).all()
        assert torch.equal(masked != PADDING, masked != PADDING)
    assert examples(data.sequential(9)) == examples(data.sequential(100))
    assert examples(data.batches(50, epoch=1, seed=0)) != examples(data.batches(50, epoch=0, seed=0))


def test_batches_of_short_rows_are_larger():
    lengths = np.array([1] * 90 + [9] * 10)
    parts = token_batches(lengths, lengths, 2, least=1, generator=np.random.default_rng(0))
    assert sorted(len(part) for part in parts) == [10, 90]
