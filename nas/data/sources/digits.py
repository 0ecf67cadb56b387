"""The 8x8 digits that come with scikit-learn: nothing to download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from nas.data.config import DataConfig
from nas.data.images.samples import ArraySamples
from nas.data.images.source import ImageSource
from nas.data.images.stored import StoredImages


def open_digits(config: DataConfig) -> ImageSource:
    """Return the digits, split 60/20/20."""
    config.refuse("test_path", "dataset")
    images, labels = digit_images()
    pixels = np.round(images * (255 / 16)).astype(np.uint8)
    # A fifth of all for the test, then a quarter of what is left for validation: 60/20/20.
    stored = StoredImages(
        name="digits",
        place="digits",
        class_names=tuple(str(digit) for digit in range(10)),
        train=ArraySamples(pixels, labels),
        fractions=(0.25, 0.2),
        flip=False,
    )
    return ImageSource(config, stored)


def digit_images() -> tuple[np.ndarray, np.ndarray]:
    """Return the digits of scikit-learn: images [1797, 8, 8] of values from 0 to 16, and labels [1797]."""
    package = find_spec("sklearn")  # not imported: that takes longer than everything else here
    table = Path((package and package.origin) or ".").parent / "datasets" / "data" / "digits.csv.gz"
    if table.is_file():
        rows = np.loadtxt(table, delimiter=",", dtype=np.int64)
        return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target.astype(np.int64)
