"""Images that fit into memory: bytes on the device, augmented there a whole batch at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nas.data.augment import Augmentation, Normalisation, crop_and_flip, cut_out, draw
from nas.data.order import order_of, random_subset, shares, steps

Batch = tuple[Tensor, Tensor]


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; to CUDA through pinned memory, so that the CPU does not wait."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class DeviceImages:
    """One split, decoded.

    Args:
        images: Bytes [N, H, W, C] on the device.
        labels: int64 [N] on the device.
        normalisation: Of the training split.
        augmentation: Of training batches.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, normalisation: Normalisation, augmentation: Augmentation
    ) -> None:
        self.images = images
        self.labels = labels
        self.normalisation = normalisation
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.images)

    def steps(self, batch_size: int, *, drop_last: bool = True) -> int:
        """Batches of one epoch; fewer images than one batch still make one."""
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
        """Shuffled batches of one epoch, from batch `start` on; the same whenever they are asked for again.

        Args:
            batch_size: Images of one step over all processes; each gets an equal, contiguous part of every batch.
            epoch: Number of the epoch.
            seed: Of order and augmentation.
            start: First batch, to go on in the middle of an epoch.
            augment: Whether images are augmented.
            drop_last: Whether the last, smaller batch is left out.
            rank: This process among `world_size`.
            world_size: Processes that share each batch.
            order: Images in the order to show them, int64 [N] on the CPU, repetitions allowed; a permutation that
                follows from seed and epoch by default.

        Yields:
            Images float32 [B, C, H, W], channels last, and labels int64 [B].
        """
        device = self.images.device
        chosen_order = send(order_of(order, len(self), epoch=epoch, seed=seed), device)
        size = self.images.shape[1]
        for share in shares(len(self), batch_size, start=start, drop_last=drop_last, rank=rank, world_size=world_size):
            chosen = chosen_order[share.begin : share.end]
            images, labels = self.images.index_select(0, chosen), self.labels.index_select(0, chosen)
            if not augment:
                yield self._floats(images), labels
                continue
            draws = draw(self.augmentation, share.total, size, seed=seed, epoch=epoch, batch=share.batch)
            draws = send(draws[:, share.offset : share.offset + len(chosen)], device)
            images = self.normalisation(crop_and_flip(images, draws, self.augmentation))
            yield cut_out(images, draws, self.augmentation).permute(0, 3, 1, 2), labels

    def sequential(self, batch_size: int) -> Iterator[Batch]:
        """All images once, unchanged, in fixed order, the last smaller batch included; yields as `batches`."""
        for share in shares(len(self), batch_size, drop_last=False):
            yield self._floats(self.images[share.begin : share.end]), self.labels[share.begin : share.end]

    def subset(self, n: int, seed: int) -> "DeviceImages":
        """`n` random images (all where there are fewer), e.g. to calibrate batch norm."""
        chosen = send(random_subset(len(self), n, seed), self.images.device)
        images, labels = self.images.index_select(0, chosen), self.labels.index_select(0, chosen)
        return DeviceImages(images, labels, self.normalisation, self.augmentation)

    def _floats(self, images: Tensor) -> Tensor:
        return self.normalisation(images).permute(0, 3, 1, 2)
