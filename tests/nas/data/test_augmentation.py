"""Augmentation of whole batches equals that of one image at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data import DataConfig
from nas.data.images.augment import Augmentation, crop_and_flip, cut_out, draw
from nas.data.images.streamed_images import random_crop_box
from tests.nas.data.pictures import SIZE, load


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 2, 5])
def test_crop_and_flip_equal_one_image_at_a_time(flip: bool, padding: int):
    augmentation = Augmentation(flip=flip, crop_padding=padding)
    batch = torch.randint(1, 256, (32, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    draws = draw(augmentation, 32, 8, seed=0, epoch=0, batch=0)
    expected = []
    for image, (mirrored, top, left) in zip(batch.numpy(), draws[:3].T.tolist()):
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        crop = padded[top : top + 8, left : left + 8]
        expected.append(crop[:, ::-1] if mirrored and flip else crop)
    assert np.array_equal(crop_and_flip(batch, draws, augmentation).numpy(), np.stack(expected))


@pytest.mark.parametrize("side", [1, 4, 5, 20])
def test_cutout_equals_one_image_at_a_time(side: int):
    augmentation = Augmentation(cutout=side)
    batch = torch.randn(16, 8, 8, 3, generator=torch.Generator().manual_seed(0))
    draws = draw(augmentation, 16, 8, seed=0, epoch=0, batch=0)
    expected = batch.clone()
    for image, (row, column) in zip(expected, draws[3:].T.tolist()):
        top, left = row - side // 2, column - side // 2
        image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
    assert torch.equal(cut_out(batch, draws, augmentation), expected)


def test_draws_reach_every_value_and_no_other():
    draws = draw(Augmentation(flip=True, crop_padding=2), 5000, 8, seed=0, epoch=0, batch=0)
    assert [row.unique().tolist() for row in draws] == [[0, 1], [*range(5)], [*range(5)], [*range(8)], [*range(8)]]
    assert draws[0].double().mean() == pytest.approx(0.5, abs=0.03)


def test_symbols_are_not_mirrored_and_crops_follow_the_size(npz: Path):
    assert load(DataConfig()).train.augmentation == Augmentation(flip=False, crop_padding=1)
    assert load(DataConfig(flip=True, crop_padding=0)).train.augmentation == Augmentation(flip=True)
    coloured = load(DataConfig(source="npz", path=str(npz)))
    assert coloured.train.augmentation == Augmentation(flip=True, crop_padding=SIZE // 8)


@pytest.mark.parametrize("size", [(300, 200), (5, 900), (1, 1)])
def test_random_crops_lie_within_the_image(size: tuple[int, int]):
    rng = np.random.default_rng(0)
    for _ in range(200):
        left, top, right, bottom = random_crop_box(*size, rng)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
