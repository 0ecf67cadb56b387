"""From stored images to batches: decoded where they fit into memory, normalised, augmented."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nas.data.config import DataConfig
from nas.data.data import Data, Split
from nas.data.images.augment import Augmentation, Normalisation
from nas.data.images.device_images import DeviceImages
from nas.data.images.samples import Part, channel_statistics, decode
from nas.data.images.stored import ImageShape, StoredImages
from nas.data.images.streamed_images import StreamedImages
from nas.data.tensors import send

MEMORY_LIMIT_BYTES = 4 * 2**30
STATISTICS_IMAGES = 2000
MEANING = "logits: one unnormalised score a class; no softmax is applied, that of them is probabilities"
COLOURS = {1: "grey", 3: "red, green, blue"}


@dataclass(frozen=True, kw_only=True)
class ImageData(Data):
    """A data set of labelled images, split; a fingerprint of streamed images follows from statistics of some of them.

    Args:
        class_names: One a label.
        mean: Of each channel of the training split, on the scale 0 to 1.
        std: Of each channel of the training split, on the scale 0 to 1.
    """

    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """1 (grey) or 3."""
        return self.facts["channels"]

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return self.facts["image_size"]

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def describe(self) -> dict[str, Any]:
        """Return what logs should say about the data; ready for JSON."""
        return {
            "name": self.name,
            "classes": self.classes,
            "channels": self.channels,
            "image_size": self.image_size,
            **self.sizes,
            "mean": [round(value, 4) for value in self.mean],
            "std": [round(value, 4) for value in self.std],
            "in_memory": isinstance(self.train, DeviceImages),
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True, kw_only=True)
class ImageLoader:
    """The way of stored images to splits.

    Args:
        config: Augmentation and memory.
        stored: The images.
        splits: Which of them are in which split.
        shape: What they are brought to.
    """

    config: DataConfig
    stored: StoredImages
    splits: Mapping[str, Part]
    shape: ImageShape

    def load(self, task: str, facts: Mapping[str, Any], device: torch.device) -> ImageData:
        """Return the three splits on the device.

        Raises:
            InvalidData: An image cannot be decoded.
        """
        stored, splits, shape = self.stored, self.splits, self.shape
        decoded = self._decoded(splits, shape)
        mean, std = channel_statistics(decoded["train"] if decoded else self._statistics_images(splits["train"], shape))
        return ImageData(
            name=stored.name,
            task=task,
            class_names=stored.class_names,
            facts=facts,
            mean=mean,
            std=std,
            fingerprint=_fingerprint(stored.class_names, splits, decoded, (mean, std)),
            preprocessing=_preprocessing(shape.channels, mean, std),
            targets={"meaning": MEANING, "classes": list(stored.class_names)},
            **self._images(splits, decoded, Normalisation(mean, std, shape.image_size, device), shape),
        )

    def _decoded(self, splits: Mapping[str, Part], shape: ImageShape) -> dict[str, np.ndarray]:
        """Bytes [N, H, W, C] of each split; nothing where they do not fit into memory."""
        in_memory = self.config.in_memory
        if in_memory is None:
            count = sum(len(part.indices) for part in splits.values())
            in_memory = count * shape.image_size**2 * shape.channels <= MEMORY_LIMIT_BYTES
        if not in_memory:
            return {}
        threads = self.stored.threads
        return {name: decode(part, shape.image_size, shape.channels, threads=threads) for name, part in splits.items()}

    def _statistics_images(self, train: Part, shape: ImageShape) -> np.ndarray:
        """Some training images that stand for all; splits are in random order, so these are the first."""
        sample = Part(train.samples, train.indices[:STATISTICS_IMAGES])
        return decode(sample, shape.image_size, shape.channels, threads=self.stored.threads)

    def _images(
        self,
        splits: Mapping[str, Part],
        decoded: dict[str, np.ndarray],
        normalisation: Normalisation,
        shape: ImageShape,
    ) -> dict[str, Any]:
        """The splits as batches are drawn from them; what is decoded is let go of as it is sent to the device."""
        augmentation, device = self._augmentation(shape.image_size), normalisation.device
        images: dict[str, Split] = {}
        for name, part in splits.items():
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
                    workers=self.config.workers,
                )
        return images

    def _augmentation(self, image_size: int) -> Augmentation:
        config = self.config
        return Augmentation(
            flip=self.stored.flip if config.flip is None else config.flip,
            crop_padding=image_size // 8 if config.crop_padding is None else config.crop_padding,
            cutout=config.cutout,
        )


def _preprocessing(channels: int, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    return {
        "layout": f"image, channel ({COLOURS.get(channels, f'{channels} channels')}), row, column",
        "scale": "x = (pixel / 255 - mean) / std for each channel",
        "mean": list(mean),
        "std": list(std),
    }


def _fingerprint(
    class_names: tuple[str, ...],
    splits: Mapping[str, Part],
    decoded: Mapping[str, np.ndarray],
    statistics: tuple[tuple[float, ...], ...],
) -> str:
    """16 hexadecimal digits that change with any label, with the split and with any decoded image."""
    digest = hashlib.sha256(repr((class_names, statistics)).encode())
    for name, part in splits.items():
        digest.update(name.encode() + part.indices.astype(np.int64).tobytes() + part.labels.tobytes())
        if name in decoded:
            digest.update(decoded[name].reshape(-1).data)
    return digest.hexdigest()[:16]
