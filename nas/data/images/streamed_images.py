"""Images that do not fit into memory: decoded, cropped and rescaled by worker processes while the device trains."""

import math
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.data.config import InvalidData
from nas.data.images.augment import Augmentation, Normalisation, cut_out, draw
from nas.data.images.preprocessing import Decoding
from nas.data.images.samples import Part, naming
from nas.data.images.thumbnail import thumbnail
from nas.data.order import order_of, random_subset, shares, steps
from supernets.device import send
from supernets.streams import AUGMENTATION
from supernets.tasks import Batch

# An image to read: its position in the split, and the seeds of its augmentation, if there is any.
Key = tuple[int, tuple[int, ...] | None]
SMALLEST_AREA = 0.08
LARGEST_ASPECT = 4 / 3
_SEMAPHORES = 5  # files in /dev/shm that the queues of a worker need
EVALUATION_MARGIN = 1 / 0.875


def random_crop_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a crop of 8 to 100 % of the area and aspect 3:4 to 4:3, as Inception
    trains.
    """
    for _ in range(10):
        area = width * height * rng.uniform(SMALLEST_AREA, 1.0)
        aspect = math.exp(rng.uniform(-math.log(LARGEST_ASPECT), math.log(LARGEST_ASPECT)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * LARGEST_ASPECT)), min(height, round(width * LARGEST_ASPECT))
    return (width - w) // 2, (height - h) // 2, (width - w) // 2 + w, (height - h) // 2 + h


@dataclass(frozen=True)
class _Decoder(Dataset[np.ndarray | InvalidData]):
    """The work of a worker on one image. A bad image is returned, not raised, because workers garble messages."""

    part: Part
    decoding: Decoding
    flip: bool

    def __getitem__(self, key: Key) -> np.ndarray | InvalidData:
        position, entropy = key
        samples, index = self.part.samples, int(self.part.indices[position])
        try:
            with naming(samples, index), samples.open(index) as stored:
                image = self.decoding.whole(stored)
        except InvalidData as error:
            return error
        if entropy is None:
            image = self.decoding.centre(image)
        else:
            image = self._augmented(image, AUGMENTATION.generator(*entropy, position))
        size = self.decoding.image_size
        return np.array(image).reshape(size, size, self.decoding.channels)

    def _augmented(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        size = self.decoding.image_size
        box = random_crop_box(*image.size, rng)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
        if self.flip and rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image


def _stack(items: list[np.ndarray | InvalidData]) -> np.ndarray | InvalidData:
    """Return one batch, as an array: tensors would go through /dev/shm, and a worker hangs where that is full."""
    arrays = [item for item in items if isinstance(item, np.ndarray)]
    bad = [item for item in items if isinstance(item, InvalidData)]
    return bad[0] if bad else np.stack(arrays)


def _batches(decoder: _Decoder, keys: list[list[Key]], workers: int) -> Iterator[np.ndarray | InvalidData]:
    """Yield the images of each batch; this process decodes them where the system allows no worker processes."""
    common: dict[str, Any] = {"batch_sampler": keys, "collate_fn": _stack, "generator": torch.Generator()}
    try:
        batches = iter(DataLoader(decoder, num_workers=workers, **common))
    except OSError:
        if workers == 0:
            raise
        batches = iter(DataLoader(decoder, num_workers=0, **common))
    yield from batches


def usable_workers(workers: int) -> int:
    """Return how many worker processes there can be: none where the system has no room for what they wait by."""
    held: list[Any] = []
    try:
        for _ in range(_SEMAPHORES * (workers + 1) if workers else 0):
            held.append(multiprocessing.get_context().Lock())
    except OSError:
        return 0
    return workers


@dataclass(frozen=True, kw_only=True)
class StreamedImages:
    """One split that is read while it is used. It has the methods of `DeviceImages`, with the same promises.

    Args:
        part: The images of the split.
        decoding: Decoding of stored images to those of the batches.
        normalisation: Normalisation of the training split.
        augmentation: Augmentation of training batches; its padded crop is replaced by a crop of random size.
        device: Device where batches are wanted.
        workers: Processes that decode; 0 decodes in this one.
    """

    part: Part
    decoding: Decoding
    normalisation: Normalisation
    augmentation: Augmentation
    device: torch.device
    workers: int

    def __len__(self) -> int:
        return len(self.part.indices)

    def picture(self, index: int, side: int) -> bytes:
        """Return a PNG file of one image as networks see it.

        Raises:
            InvalidData: The image cannot be decoded.
        """
        samples, stored = self.part.samples, int(self.part.indices[index])
        with naming(samples, stored), samples.open(stored) as image:
            return thumbnail(self.decoding.pixels(image), side)

    def steps(self, batch_size: int, *, drop_last: bool = True) -> int:
        """Return the number of batches of one epoch; fewer images than one batch still make one."""
        return steps(len(self), batch_size, drop_last=drop_last)

    def batches(
        self,
        batch_size: int,
        *,
        epoch: int,
        seed: int,
        start: int = 0,
        augment: bool = True,
        drop_last: bool = True,
        rank: int = 0,
        world_size: int = 1,
        order: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Yield shuffled batches of one epoch, as `DeviceImages.batches` does.

        Raises:
            InvalidData: An image cannot be decoded.
        """
        positions = order_of(order, len(self), epoch=epoch, seed=seed)
        mine = list(shares(len(self), batch_size, start=start, drop_last=drop_last, rank=rank, world_size=world_size))
        keys = []
        for share in mine:
            entropy: tuple[int, ...] | None = (seed, epoch) if augment else None
            places = range(share.begin, share.end)
            # in a given order an image may come several times, each time augmented in its own way
            own = [entropy if entropy is None or order is None else (*entropy, place) for place in places]
            keys.append(list(zip(positions[share.begin : share.end].tolist(), own)))
        for share, (images, labels) in zip(mine, self._decoded(keys)):
            if augment:
                size = self.decoding.image_size
                draws = draw(self.augmentation, share.total, size, seed=seed, epoch=epoch, batch=share.batch)
                draws = send(draws[:, share.offset : share.offset + len(images)], self.device)
                cut_out(images, draws, self.augmentation)
            yield images.permute(0, 3, 1, 2), labels

    def groups(self) -> Tensor:
        """Return the labels of all images, int64 [N] on the CPU; no image is read for them."""
        return torch.from_numpy(self.part.labels.astype(np.int64))

    def sequential(self, batch_size: int) -> Iterator[Batch]:
        """Yield all images once, resized and centred, in fixed order, with the last, smaller batch.

        Raises:
            InvalidData: An image cannot be decoded.
        """
        positions = torch.arange(len(self))
        parts = [positions[share.begin : share.end] for share in shares(len(self), batch_size, drop_last=False)]
        for images, labels in self._decoded([[(position, None) for position in part.tolist()] for part in parts]):
            yield images.permute(0, 3, 1, 2), labels

    def subset(self, n: int, seed: int) -> "StreamedImages":
        """Return `n` random images (all where there are fewer), e.g. to calibrate batch norm."""
        chosen = random_subset(len(self), n, seed).numpy()
        return replace(self, part=Part(self.part.samples, self.part.indices[chosen]))

    def _decoded(self, keys: list[list[Key]]) -> Iterator[Batch]:
        """Yield normalised images float32 [B, H, W, C] and labels of the images to read, on the device."""
        decoder = _Decoder(self.part, self.decoding, self.augmentation.flip)
        labels = torch.from_numpy(self.part.labels)
        for batch, images in zip(keys, _batches(decoder, keys, min(self.workers, len(keys)))):
            if isinstance(images, InvalidData):
                raise images
            bytes_ = send(torch.from_numpy(images), self.device)
            yield self.normalisation(bytes_), send(labels[[position for position, _ in batch]], self.device)
