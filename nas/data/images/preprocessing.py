"""The preparation of an image between its file and a network: one value for training, exports and applications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nas.data.images.decoding import Levels, eight_bits

if TYPE_CHECKING:
    from torch import Tensor

COLOURS = {1: "grey", 3: "red, green, blue"}
# Rules of this version; the card of another version may have different ones.
_RULES = {
    "frame": "first",
    "orientation": "exif",
    "transparency": "over white",
    "interpolation": "bicubic",
    "crop": "centre",
}


def for_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one value for each channel: their mean for a grey image, the same for all where there is one."""
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """The way from a stored image to bytes of one size.

    Args:
        image_size: Side of the square result in pixels.
        channels: 1 (grey) or 3 (red, green, blue).
        shorter_side: Pixels that the shorter side is brought to before the centre is cut out; an image that already has
            the size of the result stays unchanged. 0 for `image_size`.
        levels: Levels of images of more than 8 bits.
    """

    image_size: int
    channels: int
    shorter_side: int = 0
    levels: Levels = field(default_factory=Levels)

    def __post_init__(self) -> None:
        if self.shorter_side == 0:
            object.__setattr__(self, "shorter_side", self.image_size)

    def whole(self, image: Image.Image) -> Image.Image:
        """Return the whole image, 8 bits a channel, upright, over white."""
        return eight_bits(image, self.channels, self.levels)

    def centre(self, image: Image.Image) -> Image.Image:
        """Return the centre of such an image, of the size of the result."""
        size = self.image_size
        if image.size == (size, size):
            return image
        factor = self.shorter_side / min(image.size)
        width, height = (max(self.shorter_side, round(side * factor)) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        return resized.crop((left, top, left + size, top + size))

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Return bytes [image_size, image_size, channels] of a stored image."""
        return np.asarray(self.centre(self.whole(image))).reshape(self.image_size, self.image_size, self.channels)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The way from a stored image to the input of a network, exactly as in training.

    Args:
        decoding: Decoding of the file to bytes.
        mean: Mean of each channel, on the scale 0 to 1.
        std: Standard deviation of each channel, on the scale 0 to 1.
    """

    decoding: Decoding
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def image_size(self) -> int:
        """Side of the input in pixels."""
        return self.decoding.image_size

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (red, green, blue)."""
        return self.decoding.channels

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Return bytes [image_size, image_size, channels]; give it the image as `PIL.Image.open` returns it."""
        return self.decoding.pixels(image)

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the input of a network without the batch, float32 [channels, image_size, image_size]."""
        import torch

        from nas.data.images.augment import Normalisation

        normalised = Normalisation(self.mean, self.std, self.image_size, torch.device("cpu"))
        return normalised(torch.from_numpy(self.pixels(image).copy())[None])[0].permute(2, 0, 1)

    def to_json(self) -> dict[str, Any]:
        """Return everything in words and numbers, for the card of an exported network."""
        size, shorter, levels = self.image_size, self.decoding.shorter_side, self.decoding.levels
        return {
            "layout": f"image, channel ({COLOURS.get(self.channels, f'{self.channels} channels')}), row, column",
            "image_size": size,
            "channels": self.channels,
            **_RULES,
            "levels": {"integers": list(levels.integers), "floats": list(levels.floats)},
            "shorter_side": shorter,
            "steps": [
                "take the first frame or page",
                "turn it upright by EXIF",
                "more than 8 bits: (value - low) / (high - low) of `levels`, between 0 and 1, times 255, rounded",
                "lay transparent pixels over white",
                f"convert to {COLOURS.get(self.channels, self.channels)}, 8 bits a channel",
                f"unless it is {size} x {size}: resize (bicubic) so that the shorter side has {shorter} pixels, "
                f"then cut out the centre of {size} x {size}",
                "scale, see `scale`",
            ],
            "scale": "x = (pixel / 255 - mean) / std for each channel",
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preprocessing:
        """Return what `to_json` was made from; other entries are ignored.

        Raises:
            ValueError: An entry is missing, or says what this version cannot do.
        """
        for name, known in _RULES.items():
            if content.get(name, known) != known:
                raise ValueError(f"{name} must be {known!r}, got {content[name]!r}")
        try:
            levels = {kind: (float(low), float(high)) for kind, (low, high) in content.get("levels", {}).items()}
            decoding = Decoding(
                image_size=int(content["image_size"]),
                channels=int(content["channels"]),
                shorter_side=int(content["shorter_side"]),
                levels=Levels(**levels),
            )
            mean, std = (tuple(float(value) for value in content[name]) for name in ("mean", "std"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"this does not say what must be done to an image: {reason}") from error
        if not decoding.channels == len(mean) == len(std):
            raise ValueError(f"mean and std must have {decoding.channels} values, got {len(mean)} and {len(std)}")
        return cls(decoding=decoding, mean=mean, std=std)
