"""Images that fit into memory: bytes on the device, augmented there a whole batch at a time."""

from torch import Tensor

from nas.data.images.augment import Augmentation, Normalisation, crop_and_flip, cut_out, draw
from nas.data.images.thumbnail import thumbnail
from nas.data.order import Share
from nas.data.tensors import TensorData
from supernets.device import send
from supernets.tasks import Batch


class DeviceImages(TensorData):
    """One split, decoded; its batches are images float32 [B, C, H, W], channels last, and labels int64 [B].

    Args:
        images: Bytes [N, H, W, C] on the device.
        labels: int64 [N] on the device.
        normalisation: Normalisation of the training split.
        augmentation: Augmentation of training batches.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, normalisation: Normalisation, augmentation: Augmentation
    ) -> None:
        super().__init__(images, labels)
        self.normalisation = normalisation
        self.augmentation = augmentation

    @property
    def images(self) -> Tensor:
        """Bytes [N, H, W, C] on the device."""
        return self.tensors[0]

    @property
    def labels(self) -> Tensor:
        """int64 [N] on the device."""
        return self.tensors[1]

    def plain(self, batch: Batch) -> Batch:
        """Return normalised images, and their labels."""
        images, labels = batch
        return self.normalisation(images).permute(0, 3, 1, 2), labels

    def picture(self, index: int, side: int) -> bytes:
        """Return a PNG file of one image as networks see it."""
        return thumbnail(self.images[index].cpu().numpy(), side)

    def augmented(self, batch: Batch, share: Share, *, seed: int, epoch: int) -> Batch:
        """Return images cropped, mirrored, normalised and blanked in part, and their labels."""
        images, labels = batch
        size = self.images.shape[1]
        draws = draw(self.augmentation, share.total, size, seed=seed, epoch=epoch, batch=share.batch)
        draws = send(draws[:, share.offset : share.offset + len(images)], self.device)
        images = self.normalisation(crop_and_flip(images, draws, self.augmentation))
        return cut_out(images, draws, self.augmentation).permute(0, 3, 1, 2), labels
