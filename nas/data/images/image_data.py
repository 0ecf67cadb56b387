"""From stored images to batches: decoded where they fit into memory, normalised, augmented."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from nas.data.config import DataConfig
from nas.data.data import Data, Split
from nas.data.duplicates import Listing
from nas.data.images.augment import Augmentation, Normalisation
from nas.data.images.description import described
from nas.data.images.device_images import DeviceImages
from nas.data.images.preprocessing import Decoding, Preprocessing, for_channels
from nas.data.images.reading import ReadImages, read_images, refuse_bad, without_bad
from nas.data.images.samples import Part, channel_statistics, decode, listing
from nas.data.images.stored import ImageShape, StoredImages
from nas.data.images.streamed_images import EVALUATION_MARGIN, StreamedImages, usable_workers
from nas.data.images.survey import Survey, Tell
from supernets.device import send

MEMORY_LIMIT_BYTES = 4 * 2**30
STATISTICS_IMAGES = 2000
MEANING = "logits: one unnormalised score a class; no softmax is applied, that of them is probabilities"


@dataclass(frozen=True, kw_only=True)
class ImageData(Data):
    """A data set of labelled images, split; a fingerprint of streamed images follows from statistics of some of them.

    Args:
        class_names: Name of each label.
        mean: Mean of each channel of the training split, on the scale 0 to 1.
        std: Standard deviation of each channel of the training split, on the scale 0 to 1.
        surveys: Surveys of the stored images of each split.
    """

    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    surveys: Mapping[str, Survey] = field(default_factory=dict)

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
    """The way from stored images to splits.

    Args:
        config: Augmentation and memory.
        stored: The images.
        splits: Positions of the images of each split.
        shape: Shape that they are brought to.
        tell: Receives the number of images that are read.
        kept: Preparation of images when networks were made for them, if they were made already.
    """

    config: DataConfig
    stored: StoredImages
    splits: Mapping[str, Part]
    shape: ImageShape
    tell: Tell | None = None
    kept: Preprocessing | None = None

    def load(self, task: str, facts: Mapping[str, Any], device: torch.device) -> ImageData:
        """Return the three splits on the device.

        Raises:
            InvalidExamples: Some images cannot be decoded, and the configuration does not allow to leave them out.
            InvalidData: A split or a class has no image that can be decoded.
        """
        stored, size = self.stored, self.shape.image_size
        decoding = Decoding(image_size=size, channels=self.shape.channels)
        read = self._read(self.kept.decoding if self.kept else decoding)
        preprocessing = self.kept or self._preprocessing(read)
        mean, std = preprocessing.mean, preprocessing.std
        return ImageData(
            name=stored.name,
            task=task,
            class_names=stored.class_names,
            facts=facts,
            mean=mean,
            std=std,
            surveys=read.surveys,
            fingerprint=_fingerprint(stored.class_names, read, (mean, std)),
            preprocessing=preprocessing.to_json(),
            targets={"meaning": MEANING, "classes": list(stored.class_names)},
            remarks=(*stored.remarks, *read.remarks(), *self._remarks(read)),
            left_out=read.left_out,
            about=described(
                read.surveys.values(),
                preprocessing,
                self._augmentation(size),
                streamed=not read.decoded,
                statistics_given=self.config.mean is not None,
            ),
            listings=self._listings(read),
            **self._images(read, preprocessing, device),
        )

    def _remarks(self, read: ReadImages) -> Iterator[str]:
        """Yield that images are decoded in this process, where others were asked for and cannot be had."""
        asked = 0 if read.decoded else self.config.workers
        if usable_workers(asked) < asked:
            yield f"no room in /dev/shm for {asked} processes (data.workers): the training process decodes the images"

    def _read(self, decoding: Decoding) -> ReadImages:
        """Return all images that can be used."""
        in_memory = self.config.in_memory
        if in_memory is None:
            count = sum(len(part.indices) for part in self.splits.values())
            in_memory = count * decoding.image_size**2 * decoding.channels <= MEMORY_LIMIT_BYTES
        stored, threads = self.stored, self.stored.threads
        options: dict[str, Any] = {"in_memory": in_memory, "threads": threads, "tell": self.tell}
        read = read_images(self.splits, decoding, levels=self.kept.decoding.levels if self.kept else None, **options)
        if self.config.on_error == "refuse":
            refuse_bad(read.surveys, stored.place)
        return without_bad(read, stored.place, stored.class_names)

    def _listings(self, read: ReadImages) -> dict[str, Listing]:
        """Return the listings of each split; nothing where they are not known of all."""
        found = {name: listing(part, threads=self.stored.threads) for name, part in read.splits.items()}
        known = {name: one for name, one in found.items() if one is not None}
        return known if len(known) == len(found) else {}

    def _preprocessing(self, read: ReadImages) -> Preprocessing:
        """Return the preparation of the images; what the job does not say follows from the training split."""
        mean, std = self._given_statistics() or channel_statistics(
            read.decoded["train"] if read.decoded else self._statistics_images(read)
        )
        size = read.decoding.image_size
        shorter_side = size if read.decoded else math.ceil(size * EVALUATION_MARGIN)
        return Preprocessing(decoding=replace(read.decoding, shorter_side=shorter_side), mean=mean, std=std)

    def _given_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return the mean and the deviation of each channel that the job says; grey ones are means of colours."""
        mean, std = self.config.mean, self.config.std
        if mean is None or std is None:
            return None
        return for_channels(mean, self.shape.channels), for_channels(std, self.shape.channels)

    def _statistics_images(self, read: ReadImages) -> np.ndarray:
        """Return a sample of the training images: the first ones, as splits are in random order."""
        train = read.splits["train"]
        sample = Part(train.samples, train.indices[:STATISTICS_IMAGES])
        return decode(sample, read.decoding, threads=self.stored.threads)

    def _images(self, read: ReadImages, preprocessing: Preprocessing, device: torch.device) -> dict[str, Any]:
        """Return the splits as batches are drawn from them; decoded images are freed once they are on the device."""
        size = preprocessing.image_size
        normalisation = Normalisation(preprocessing.mean, preprocessing.std, size, device)
        augmentation = self._augmentation(size)
        images: dict[str, Split] = {}
        for name, part in read.splits.items():
            if name in read.decoded:
                pixels, labels = torch.from_numpy(read.decoded.pop(name)), torch.from_numpy(part.labels)
                images[name] = DeviceImages(send(pixels, device), send(labels, device), normalisation, augmentation)
            else:
                images[name] = StreamedImages(
                    part=part,
                    decoding=preprocessing.decoding,
                    normalisation=normalisation,
                    augmentation=augmentation,
                    device=device,
                    workers=usable_workers(self.config.workers),
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
    read: ReadImages,
    statistics: tuple[tuple[float, ...], ...],
) -> str:
    """Return 16 hexadecimal digits that change with any label, with the split and with any decoded image."""
    digest = hashlib.sha256(repr((class_names, statistics)).encode())
    for name, part in read.splits.items():
        digest.update(name.encode() + part.indices.astype(np.int64).tobytes() + part.labels.tobytes())
        if name in read.decoded:
            digest.update(read.decoded[name].reshape(-1).data)
    return digest.hexdigest()[:16]
