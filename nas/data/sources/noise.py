"""Random colours with random labels of 10 classes: for costs, latency and trying things out."""

import numpy as np

from nas.data.config import DataConfig
from nas.data.images.samples import ArraySamples
from nas.data.images.source import ImageSource
from nas.data.images.stored import StoredImages
from search_spaces.errors import FieldError

IMAGES, MOST_SIDE = 500, 640


def open_noise(config: DataConfig) -> ImageSource:
    """Return the same images and labels at every call, split 60/20/20."""
    config.refuse("test_path", "dataset")
    side = config.image_size or 32
    if side > MOST_SIDE:
        raise FieldError("image_size", f"must be at most {MOST_SIDE} for noise, which is kept in memory, got {side:,}")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    stored = StoredImages(
        name="noise",
        place="noise",
        class_names=tuple(f"class {i}" for i in range(10)),
        train=ArraySamples(pixels, generator.integers(0, 10, IMAGES)),
        fractions=(0.25, 0.2),
    )
    return ImageSource(config, stored)
