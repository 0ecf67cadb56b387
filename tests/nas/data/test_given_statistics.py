"""Images may be scaled as the weights that a network begins with were trained, instead of by their own statistics."""

import numpy as np
import pytest
import torch

from nas.data import DataConfig, Preprocessing
from nas.data.images.image_data import ImageData
from nas.data.images.samples import ArraySamples
from nas.data.images.source import ImageSource
from nas.data.images.stored import StoredImages
from search_spaces.errors import FieldError


def loaded(config: DataConfig, channels: int = 3) -> ImageData:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    shown = pixels if channels == 3 else pixels[..., 0]
    labels = np.arange(40) % 2
    stored = StoredImages(
        name="some", place="some", class_names=("a", "b"), train=ArraySamples(shown, labels), fractions=(0.25, 0.2)
    )
    return ImageSource(config, stored).load(torch.device("cpu"))


def test_given_statistics_are_those_of_batches_and_of_the_card() -> None:
    data = loaded(DataConfig(mean=[0.5, 0.25, 0.125], std=[0.5, 0.25, 0.5]))
    assert (data.mean, data.std) == ((0.5, 0.25, 0.125), (0.5, 0.25, 0.5))
    images, _ = next(data.validation.batches(4, epoch=0, seed=0, augment=False))
    levels = images * torch.tensor(data.std).view(3, 1, 1) + torch.tensor(data.mean).view(3, 1, 1)
    assert (levels * 255 - (levels * 255).round()).abs().max() < 1e-3  # bytes, as they were stored
    assert Preprocessing.from_json(data.preprocessing).mean == data.mean
    assert "brightness less 0.5, 0.25, 0.125, divided by 0.5, 0.25 (data.mean and data.std)" in data.about["treatment"]


def test_a_grey_image_has_the_mean_of_the_given_colours_and_one_number_stands_for_all() -> None:
    grey = loaded(DataConfig(mean=[0.2, 0.4, 0.6], std=[0.2, 0.2, 0.2]), channels=1)
    assert grey.mean == pytest.approx((0.4,))
    assert grey.std == pytest.approx((0.2,))
    colour = loaded(DataConfig(mean=[0.5], std=[0.25]))
    assert (colour.mean, colour.std) == ((0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("mean", "std", "field"),
    [
        ([0.5], None, "std"),
        ([0.5, 0.5], [0.5, 0.5], "mean"),
        ([123.0], [58.0], "mean"),
        ([0.5], [0.0], "std"),
    ],
)
def test_statistics_that_no_image_has_are_refused(mean: list[float], std: list[float] | None, field: str) -> None:
    with pytest.raises(FieldError) as caught:
        DataConfig(mean=mean, std=std)
    assert caught.value.field == field
