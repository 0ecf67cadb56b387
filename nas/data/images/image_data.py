"""From stored images to batches: decoded where they fit into memory, normalised, augmented."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from nas.data.config import DataConfig
from nas.data.data import Data, Split
from nas.data.images.augment import Augmentation, Normalisation
from nas.data.images.device_images import DeviceImages
from nas.data.images.preprocessing import Decoding, Preprocessing
from nas.data.images.samples import Part, channel_statistics, decode
from nas.data.images.stored import ImageShape, StoredImages
from nas.data.images.streamed_images import EVALUATION_MARGIN, StreamedImages
from nas.data.tensors import send

MEMORY_LIMIT_BYTES = 4 * 2**30
STATISTICS_IMAGES = 2000
MEANING = "logits: one unnormalised score a class; no softmax is applied, that of them is probabilities"


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
        stored, splits, size = self.stored, self.splits, self.shape.image_size
        whole = Decoding(image_size=size, channels=self.shape.channels)
        decoded = self._decoded(whole)
        mean, std = channel_statistics(decoded["train"] if decoded else self._statistics_images(whole))
        streamed = replace(whole, shorter_side=math.ceil(size * EVALUATION_MARGIN))
        preprocessing = Preprocessing(decoding=whole if decoded else streamed, mean=mean, std=std)
        return ImageData(
            name=stored.name,
            task=task,
            class_names=stored.class_names,
            facts=facts,
            mean=mean,
            std=std,
            fingerprint=_fingerprint(stored.class_names, splits, decoded, (mean, std)),
            preprocessing=preprocessing.to_json(),
            targets={"meaning": MEANING, "classes": list(stored.class_names)},
            **self._images(decoded, preprocessing, device),
        )

    def _decoded(self, decoding: Decoding) -> dict[str, np.ndarray]:
        """Bytes [N, H, W, C] of each split; nothing where they do not fit into memory."""
        in_memory = self.config.in_memory
        if in_memory is None:
            count = sum(len(part.indices) for part in self.splits.values())
            in_memory = count * decoding.image_size**2 * decoding.channels <= MEMORY_LIMIT_BYTES
        if not in_memory:
            return {}
        return {name: decode(part, decoding, threads=self.stored.threads) for name, part in self.splits.items()}

    def _statistics_images(self, decoding: Decoding) -> np.ndarray:
        """Some training images that stand for all; splits are in random order, so these are the first."""
        train = self.splits["train"]
        sample = Part(train.samples, train.indices[:STATISTICS_IMAGES])
        return decode(sample, decoding, threads=self.stored.threads)

    def _images(
        self, decoded: dict[str, np.ndarray], preprocessing: Preprocessing, device: torch.device
    ) -> dict[str, Any]:
        """The splits as batches are drawn from them; what is decoded is let go of as it is sent to the device."""
        size = preprocessing.image_size
        normalisation = Normalisation(preprocessing.mean, preprocessing.std, size, device)
        augmentation = self._augmentation(size)
        images: dict[str, Split] = {}
        for name, part in self.splits.items():
            if name in decoded:
                pixels, labels = torch.from_numpy(decoded.pop(name)), torch.from_numpy(part.labels)
                images[name] = DeviceImages(send(pixels, device), send(labels, device), normalisation, augmentation)
            else:
                images[name] = StreamedImages(
                    part=part,
                    decoding=preprocessing.decoding,
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
