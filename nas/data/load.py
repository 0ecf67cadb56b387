"""From a configuration to three splits that batches can be drawn from."""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from nas.data.augment import Augmentation, Normalisation
from nas.data.config import DataConfig
from nas.data.device_images import DeviceImages, send
from nas.data.samples import Part, channel_statistics, decode, probe
from nas.data.sources import open_source
from nas.data.splits import Source, Splits, split
from nas.data.streamed_images import StreamedImages

MEMORY_LIMIT_BYTES = 4 * 2**30
STATISTICS_IMAGES = 2000

Images = DeviceImages | StreamedImages


class DataShape(NamedTuple):
    """What a network must fit: its outputs, input channels and input side in pixels."""

    classes: int
    channels: int
    image_size: int


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set, split.

    Args:
        name: Of the data, for people.
        class_names: One a label.
        channels: 1 (grey) or 3.
        image_size: Side of the images in pixels.
        mean: Of each channel of the training split, on the scale 0 to 1.
        std: Of each channel of the training split, on the scale 0 to 1.
        train: What weights are trained on.
        validation: What the search sees.
        test: For the final report only.
        fingerprint: 16 hexadecimal digits that change with any label, with the split and with any image; of images
            that are streamed, with the statistics of the training images only.
    """

    name: str
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Images
    validation: Images
    test: Images
    fingerprint: str

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def describe(self) -> dict[str, Any]:
        """What logs should say about the data; ready for JSON."""
        return {
            "name": self.name,
            "classes": self.classes,
            "channels": self.channels,
            "image_size": self.image_size,
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
            "mean": [round(value, 4) for value in self.mean],
            "std": [round(value, 4) for value in self.std],
            "in_memory": isinstance(self.train, DeviceImages),
            "fingerprint": self.fingerprint,
        }


def check_data(config: DataConfig) -> DataShape:
    """What a job would train on, without decoding more than a few headers: bad data is found before work starts.

    Raises:
        InvalidData: The data is missing, damaged, too small or not of the expected form.
    """
    source = open_source(config)
    return _shape(config, source, split(source))


def load_data(config: DataConfig, *, device: torch.device, seed: int = 0) -> Data:
    """The three splits, ready for training on the device.

    Args:
        config: Which data.
        device: Where batches are wanted.
        seed: Of the split. It belongs to the data: jobs that differ in their own seed are compared on the same splits.

    Raises:
        InvalidData: The data is missing, damaged, too small or not of the expected form.
    """
    source = open_source(config)
    splits = split(source, seed)
    shape = _shape(config, source, splits)
    decoded = {}
    if _fits_into_memory(config, splits, shape):
        for name, part in splits.parts().items():
            decoded[name] = decode(part, shape.image_size, shape.channels, threads=source.threads)
    mean, std = channel_statistics(decoded["train"] if decoded else _statistics_images(source, splits, shape))
    fingerprint = _fingerprint(source, splits, decoded, (mean, std))
    normalisation = Normalisation(mean, std, shape.image_size, device)
    augmentation = _augmentation(config, source, shape.image_size)
    images: dict[str, Images] = {}
    for name, part in splits.parts().items():
        if name in decoded:
            pixels, labels = torch.from_numpy(decoded.pop(name)), torch.from_numpy(part.labels)
            images[name] = DeviceImages(send(pixels, device), send(labels, device), normalisation, augmentation)
        else:
            images[name] = StreamedImages(
                part=part,
                shape=(shape.image_size, shape.image_size, shape.channels),
                normalisation=normalisation,
                augmentation=augmentation,
                device=device,
                workers=config.workers,
            )
    return Data(
        name=source.name,
        class_names=source.class_names,
        channels=shape.channels,
        image_size=shape.image_size,
        mean=mean,
        std=std,
        fingerprint=fingerprint,
        **images,
    )


def _shape(config: DataConfig, source: Source, splits: Splits) -> DataShape:
    channels, size = probe(list(splits.parts().values()))
    return DataShape(len(source.class_names), channels, config.image_size or size)


def _augmentation(config: DataConfig, source: Source, image_size: int) -> Augmentation:
    return Augmentation(
        flip=source.flip if config.flip is None else config.flip,
        crop_padding=image_size // 8 if config.crop_padding is None else config.crop_padding,
        cutout=config.cutout,
    )


def _fits_into_memory(config: DataConfig, splits: Splits, shape: DataShape) -> bool:
    if config.in_memory is not None:
        return config.in_memory
    count = sum(len(part.indices) for part in splits.parts().values())
    return count * shape.image_size**2 * shape.channels <= MEMORY_LIMIT_BYTES


def _statistics_images(source: Source, splits: Splits, shape: DataShape) -> np.ndarray:
    """Some training images that stand for all; splits are in random order, so these are the first."""
    sample = Part(splits.train.samples, splits.train.indices[:STATISTICS_IMAGES])
    return decode(sample, shape.image_size, shape.channels, threads=source.threads)


def _fingerprint(
    source: Source, splits: Splits, decoded: dict[str, np.ndarray], statistics: tuple[tuple[float, ...], ...]
) -> str:
    digest = hashlib.sha256(repr((source.class_names, statistics)).encode())
    for name, part in splits.parts().items():
        digest.update(name.encode() + part.indices.astype(np.int64).tobytes() + part.labels.tobytes())
        if name in decoded:
            digest.update(decoded[name].reshape(-1).data)
    return digest.hexdigest()[:16]
