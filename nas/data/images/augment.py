"""Augmentation and normalisation of whole batches of images.

The random numbers of a batch are drawn separately from their use: a process that trains on a slice of a batch draws for
the whole batch and takes its slice. So images are augmented in the same way for any number of processes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from supernets.streams import AUGMENTATION


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The random changes of training images.

    Args:
        flip: Whether half of the images are mirrored.
        crop_padding: Black pixels on each side before the random crop; 0 for no crop.
        cutout: Side in pixels of the blanked square, whose centre lies anywhere in the image; 0 for none.
    """

    flip: bool = False
    crop_padding: int = 0
    cutout: int = 0


class Normalisation:
    """Normalisation of bytes to floats of mean 0 and standard deviation 1 in each channel.

    Args:
        mean: Mean of each channel, on the scale 0 to 1.
        std: Standard deviation of each channel, on the scale 0 to 1.
        image_size: Side of the images in pixels.
        device: Device where the images are.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], image_size: int, device: torch.device) -> None:
        self.device = device
        spread = torch.tensor(std, dtype=torch.float64)
        scale = 1 / (255 * spread)
        shift = -torch.tensor(mean, dtype=torch.float64) / spread
        # One value per element, not per channel: an inner loop over three channels cannot be vectorised.
        self._scale = scale.float().repeat(image_size * image_size).to(device)
        self._shift = shift.float().repeat(image_size * image_size).to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """Turn bytes [B, H, W, C] into float32 [B, H, W, C]."""
        values = images.reshape(len(images), -1).to(torch.float32)
        return values.mul_(self._scale).add_(self._shift).view(images.shape)


def draw(augmentation: Augmentation, count: int, image_size: int, *, seed: int, epoch: int, batch: int) -> Tensor:
    """Return the random numbers for one batch.

    Returns:
        int64 [5, count] on the CPU: mirrored or not, top and left of the crop, row and column of the cutout's centre.
    """
    offsets = 2 * augmentation.crop_padding + 1
    limits = torch.tensor([2, offsets, offsets, image_size, image_size], dtype=torch.float64)
    uniform = torch.rand(5, count, generator=AUGMENTATION.torch_generator(seed, epoch, batch), dtype=torch.float64)
    return (uniform * limits[:, None]).long()


def crop_and_flip(images: Tensor, draws: Tensor, augmentation: Augmentation) -> Tensor:
    """Crop the black-padded images at random, then mirror some: bytes [B, H, W, C] to bytes of the same shape."""
    padding = augmentation.crop_padding
    if not padding and not augmentation.flip:
        return images
    count, size, channels = len(images), images.shape[1], images.shape[3]
    padded, side = images, size + 2 * padding
    if padding:
        padded = images.new_zeros(count, side, side, channels)
        padded[:, padding:-padding, padding:-padding] = images
    flipped, top, left = draws[:3, :, None]
    pixel = torch.arange(size, device=images.device)
    columns = torch.where(flipped.bool(), pixel.flip(0), pixel) if augmentation.flip else pixel
    rows = torch.arange(count, device=images.device)[:, None] * side + top + pixel
    source = rows[:, :, None] * side + (left + columns)[:, None, :]
    return padded.view(-1, channels).index_select(0, source.flatten()).view(images.shape)


def cut_out(images: Tensor, draws: Tensor, augmentation: Augmentation) -> Tensor:
    """Return zeros in a random square of each normalised image, in place: float32 [B, H, W, C]."""
    if not augmentation.cutout:
        return images
    first = draws[3:, :, None] - augmentation.cutout // 2
    pixel = torch.arange(images.shape[1], device=images.device)
    inside = (pixel >= first) & (pixel < first + augmentation.cutout)
    return images.masked_fill_((inside[0][:, :, None] & inside[1][:, None, :])[..., None], 0.0)
