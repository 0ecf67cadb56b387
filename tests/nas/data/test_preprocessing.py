"""Pixels are those that a file stands for, and one value says how they become the input of a network."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import DataConfig, Preprocessing
from nas.data.images.decoding import Levels, usual_range
from nas.data.images.preprocessing import Decoding
from tests.nas.data.odd_pictures import COLOURS, cases, photo
from tests.nas.data.pictures import SIZE, load, picture

CASES = cases()


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_file_gives_the_pixels_that_it_stands_for(case: str):
    content, expected = CASES[case]
    decoding = Decoding(image_size=SIZE, channels=3)
    found = np.asarray(decoding.whole(Image.open(BytesIO(content))))
    assert found.shape == expected.shape
    assert np.abs(found - expected.astype(float)).max() <= 1, "one level for rounding"
    if case.startswith(("8-bit", "EXIF")):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("case", ["8-bit grey", "LA", "16-bit PNG", "32-bit", "float", "1-bit"])
def test_grey_files_give_one_channel(case: str):
    content, expected = CASES[case]
    found = np.asarray(Decoding(image_size=SIZE, channels=1).whole(Image.open(BytesIO(content))))
    assert np.abs(found - expected[..., 0].astype(float)).max() <= 1


def test_damaged_exif_does_not_cost_the_image():
    content = photo("JPEG", 6).replace(b"MM\0*", b"????")
    assert content != photo("JPEG", 6)
    found = Decoding(image_size=SIZE, channels=3).whole(Image.open(BytesIO(content)))
    assert found.size == COLOURS.shape[1::-1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 65535), (0, 65535)),
        ((3, 4000), (0, 4095)),
        ((0, 200), (0, 255)),
        ((0, 256), (0, 511)),
        ((0, 10), (0, 10)),
        ((0, 70000), (0, 131071)),
        ((-1024, 3071), (-1024, 3071)),
        ((0.0, 0.9), (0, 1)),
        ((0.1, 0.2), (0, 0.2)),
        ((-1.0, 0.5), (-1, 0.5)),
        ((0.0, 254.7), (0, 255)),
        ((0.0, 1e9), (0, 2**30 - 1)),
        ((0.0, 0.0), (0, 1)),
        ((-3.0, -1.0), (-3, 0)),
    ],
)
def test_range_is_the_one_that_the_values_mean(values: tuple[float, float], expected: tuple[float, float]):
    assert usual_range(*values) == expected


def test_values_beyond_the_levels_are_black_or_white():
    values = np.array([-5, 0, 100, 200, 10**6])
    assert Levels(integers=(0, 200)).scaled(values).tolist() == [0, 0, 128, 255, 255]
    with pytest.raises(ValueError, match="not finite"):
        Levels().scaled(np.array([0.0, np.nan]))


@pytest.mark.parametrize("in_memory", [True, False])
def test_it_gives_the_inputs_of_training(npz: Path, in_memory: bool):
    path = npz / "small_train.npz"
    data = load(DataConfig(source="npz", path=str(path), in_memory=in_memory, workers=0, image_size=10))
    preprocessing = Preprocessing.from_json(json.loads(json.dumps(data.preprocessing)))
    assert preprocessing.to_json() == data.preprocessing
    with np.load(path) as stored:
        files = [stored["jpeg"][a:b].tobytes() for a, b in zip(stored["offsets"], stored["offsets"][1:])]
    made = {preprocessing(Image.open(BytesIO(file))).numpy().tobytes() for file in files}
    for x, _ in data.validation.sequential(4):
        assert {image.contiguous().numpy().tobytes() for image in x} <= made


def test_an_image_of_any_size_becomes_one_input():
    decoding = Decoding(image_size=8, channels=3, shorter_side=10)
    preprocessing = Preprocessing(decoding=decoding, mean=(0.5,) * 3, std=(0.25,) * 3)
    image = picture(0, 0, size=(40, 20))
    reference = image.resize((20, 10), Image.Resampling.BICUBIC).crop((6, 1, 14, 9))
    assert np.array_equal(preprocessing.pixels(image), np.asarray(reference))
    expected = (torch.from_numpy(np.array(reference)).permute(2, 0, 1) / 255 - 0.5) / 0.25
    assert torch.allclose(preprocessing(image), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": "five"}, "crop must be 'centre', got 'five'"),
        ({"image_size": None}, "does not say what must be done to an image"),
        ({"mean": [0.5]}, "mean and std must have 3 values, got 1 and 3"),
    ],
)
def test_a_card_that_says_something_else_is_refused(change: dict, message: str):
    content = Preprocessing(decoding=Decoding(image_size=8, channels=3), mean=(0.5,) * 3, std=(0.2,) * 3).to_json()
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_json(content | change)
    with pytest.raises(ValueError, match="'std' is missing"):
        Preprocessing.from_json({name: value for name, value in content.items() if name != "std"})
