"""Splits of images never mix, and depend on their own seed only."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data import DataConfig, ImageData, ImageSource, load_data, open_source
from nas.data.images.preprocessing import Decoding
from nas.data.images.samples import channel_statistics, decode
from nas.data.sources.digits import digit_images
from tests.nas.data.pictures import CPU, SIZE, contents, everything, load, write_npz


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    images, labels = digit_images()
    assert (images == load_digits().images).all()
    assert (labels == load_digits().target).all()


def test_digits_are_split_60_20_20_class_by_class(digits: ImageData):
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1079, 359, 359)
    counts = [torch.bincount(part.labels, minlength=10) for part in (digits.train, digits.validation, digits.test)]
    total = sum(counts)
    assert all(torch.all((count - share * total).abs() <= 1) for count, share in zip(counts, (0.6, 0.2, 0.2)))


def test_splits_share_no_image(npz: Path, tmp_path: Path):
    held_out = load(DataConfig(source="npz", path=str(write_npz(tmp_path / "all.npz", counts=(40, 40)))))
    published = load(DataConfig(source="npz", path=str(npz)))
    for data, total in ((held_out, 80), (published, 75)):
        parts = [contents(images) for images in everything(data).values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == total


def test_published_test_images_are_the_test_split(npz: Path):
    data = load(DataConfig(source="npz", path=str(npz)))
    alone = open_source(DataConfig(source="npz", path=str(npz / "small_test.npz")))
    assert isinstance(alone, ImageSource)
    whole = decode(alone.splits["train"], Decoding(image_size=SIZE, channels=3))
    assert len(data.test) == 15
    assert contents(torch.from_numpy(whole)) <= contents(data.test.images)


def test_split_depends_on_its_own_seed_only(npz: Path):
    config = DataConfig(source="npz", path=str(npz))
    first, again, other = load(config), load(config), load_data(config, device=CPU, seed=1)
    assert first.describe() == again.describe()
    assert torch.equal(first.train.images, again.train.images)
    assert first.fingerprint != other.fingerprint
    assert contents(first.validation.images) != contents(other.validation.images)


def test_sorted_file_gives_mixed_and_stratified_splits(npz: Path):
    data = load(DataConfig(source="npz", path=str(npz), validation_fraction=0.2))
    assert torch.bincount(data.validation.labels).tolist() == [4, 6, 2]
    assert not torch.equal(data.train.labels, data.train.labels.sort().values)


def test_statistics_are_of_the_training_split_only(npz: Path):
    data = load(DataConfig(source="npz", path=str(npz)))
    pixels = data.train.images.double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 1, 2)).tolist(), abs=1e-9)
    assert data.std == pytest.approx(pixels.std((0, 1, 2), correction=0).tolist(), abs=1e-9)
    batch = torch.cat([images for images, _ in data.train.sequential(7)])
    assert torch.allclose(batch.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(batch.std((0, 2, 3)), torch.ones(3), atol=1e-3)


def test_constant_channel_does_not_divide_by_zero():
    mean, std = channel_statistics(np.full((3, 2, 2, 1), 51, np.uint8))
    assert mean == pytest.approx((0.2,))
    assert std == (1 / 255,)
