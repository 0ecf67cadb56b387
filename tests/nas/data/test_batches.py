"""Batches of images can be repeated, from either form of storage."""

from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from nas.data import DataConfig
from search_spaces.families.nasbench201 import nasbench201
from supernets import Supernet, TrainConfig, phases, train
from tests.nas.data.pictures import SIZE, contents, load, same


def test_batches_have_the_promised_form(images):
    for x, y in images.batches(8, epoch=0, seed=0):
        assert x.shape == (8, 3, SIZE, SIZE)
        assert x.dtype == torch.float32
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert y.shape == (8,)
        assert y.dtype == torch.int64


def test_batches_repeat_and_differ_by_epoch_and_seed(images):
    first = list(images.batches(8, epoch=1, seed=5))
    assert same(first, list(images.batches(8, epoch=1, seed=5)))
    for other in ({"epoch": 2, "seed": 5}, {"epoch": 1, "seed": 6}):
        assert not same(first, list(images.batches(8, **other)))


def test_resumed_epoch_equals_uninterrupted_one(images):
    whole = list(images.batches(8, epoch=3, seed=0))
    assert len(whole) == images.steps(8) == 6
    assert same(whole[4:], list(images.batches(8, epoch=3, seed=0, start=4)))
    assert list(images.batches(8, epoch=3, seed=0, start=6)) == []


def test_processes_together_see_what_one_would(images):
    options = {"epoch": 0, "seed": 1, "drop_last": False}
    whole = list(images.batches(8, **options))
    parts = [list(images.batches(8, rank=rank, world_size=2, **options)) for rank in range(2)]
    joined = [(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in zip(*parts)]
    assert same(whole, joined)


def test_epoch_shows_every_image_once(images):
    plain = list(images.batches(8, epoch=0, seed=0, augment=False, drop_last=False))
    assert len(plain) == images.steps(8, drop_last=False) == 7
    shown = contents(torch.cat([x for x, _ in plain]).contiguous())
    assert shown == contents(torch.cat([x for x, _ in images.sequential(10)]).contiguous())
    assert len(shown) == len(images) == 54


def test_a_given_order_is_shown_with_its_repetitions(images):
    order = torch.randint(len(images), (len(images),), generator=torch.Generator().manual_seed(0))
    order[1] = order[0]
    options = {"augment": False, "drop_last": False, "order": order}
    shown = list(images.batches(8, epoch=0, seed=0, **options))
    everything_in_place = torch.cat([x for x, _ in images.sequential(54)])
    labels = torch.cat([y for _, y in images.sequential(54)])
    assert torch.equal(torch.cat([x for x, _ in shown]), everything_in_place[order])
    assert torch.equal(torch.cat([y for _, y in shown]), labels[order])
    assert same(shown[4:], list(images.batches(8, epoch=0, seed=0, start=4, **options)))
    parts = [list(images.batches(8, epoch=0, seed=0, rank=rank, world_size=2, **options)) for rank in range(2)]
    assert same(shown, [(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in zip(*parts)])


def test_an_image_that_comes_twice_is_augmented_twice(images):
    order = torch.zeros(len(images), dtype=torch.int64)
    (x, y), *_ = images.batches(8, epoch=0, seed=0, order=order)
    assert len(y.unique()) == 1
    assert len(contents(x.contiguous())) > 4
    assert same([(x, y)], [next(images.batches(8, epoch=0, seed=0, order=order))])


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (torch.arange(53), r"order must be int64 \[54\], got torch.int64 \[53\]"),
        (torch.arange(54).float(), r"order must be int64 \[54\], got torch.float32"),
        (torch.arange(1, 55), "order must name examples from 0 to 53, got 1 to 54"),
    ],
)
def test_orders_of_other_images_are_refused(images, order, message):
    with pytest.raises(ValueError, match=message):
        next(images.batches(8, epoch=0, seed=0, order=order))


def test_sequential_is_fixed_and_whole(images):
    sizes = [len(y) for _, y in images.sequential(20)]
    assert sizes == [20, 20, 14]
    assert same(list(images.sequential(20)), list(images.sequential(20)))


def test_split_smaller_than_a_batch_is_one_batch(images):
    assert images.steps(1000) == 1
    assert [len(y) for _, y in images.batches(1000, epoch=0, seed=0)] == [54]


def test_subset_is_random_repeatable_and_of_the_same_type(images):
    few = images.subset(10, seed=0)
    assert type(few) is type(images)
    assert len(few) == 10
    assert len(images.subset(1000, seed=0)) == 54
    drawn = [next(images.subset(10, seed=seed).sequential(10))[0] for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world_size": 3}, "batch_size must be a multiple of the 3 processes, got 8"),
        ({"start": -1}, "start must be 0 or more"),
        ({"rank": 1}, "rank below world_size"),
    ],
)
def test_impossible_batches_are_refused(images, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        next(images.batches(8, epoch=0, seed=0, **options))


def test_batches_leave_the_global_generator_alone(images):
    before = torch.get_rng_state()
    next(images.batches(8, epoch=0, seed=0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.integration
def test_workers_change_nothing(npz: Path):
    config = {"source": "npz", "path": str(npz), "in_memory": False}
    alone, workers = (load(DataConfig(**config, workers=n)).train for n in (0, 2))
    assert same(list(alone.batches(8, epoch=0, seed=0)), list(workers.batches(8, epoch=0, seed=0)))


@pytest.mark.integration
def test_workers_see_the_order_of_every_epoch(npz: Path):
    config = {"source": "npz", "path": str(npz), "in_memory": False}
    alone, workers = (load(DataConfig(**config, workers=n)).train for n in (0, 2))
    for epoch in range(2):
        order = torch.randint(len(alone), (len(alone),), generator=torch.Generator().manual_seed(epoch))
        options = {"epoch": epoch, "seed": 0, "order": order}
        assert same(list(alone.batches(8, **options)), list(workers.batches(8, **options)))


def test_training_draws_images_by_importance_from_either_storage(images):
    space = nasbench201(width=2, cells=1, image_size=SIZE, classes=3)
    config = TrainConfig(examples="importance", example_weights=True, epochs=3, batch_size=8, lr=0.02)
    events: list[dict] = []
    train(Supernet(space), phases(space, config), images, config, observer=events.append)
    learned = [event["examples"] for event in events if event["event"] == "sampler"]
    assert len(learned) == 3
    assert learned[0]["effective_fraction"] == pytest.approx(1), "the first epoch counts for nothing, as published"
    assert 0.3 < learned[2]["effective_fraction"] < 0.999
    assert all(0 < summary["mean_indicator"] < 2**0.5 for summary in learned)


@pytest.mark.integration
def test_streamed_and_decoded_images_are_the_same(npz: Path):
    decoded, streamed = (load(DataConfig(source="npz", path=str(npz), in_memory=flag)) for flag in (True, False))
    assert decoded.mean == streamed.mean
    assert same(list(decoded.test.sequential(4)), list(streamed.test.sequential(4)))


def test_pictures_of_streamed_and_decoded_images_are_the_same_and_small(npz: Path):
    decoded, streamed = (load(DataConfig(source="npz", path=str(npz), in_memory=flag)) for flag in (True, False))
    for index in (0, len(decoded.test) - 1):
        pictures = [data.test.picture(index, 8) for data in (decoded, streamed)]
        assert pictures[0] == pictures[1]
        with Image.open(BytesIO(pictures[0])) as picture:
            assert (picture.format, max(picture.size) <= 8) == ("PNG", True)
