"""Decoding of stored images to 8 bits in one or three channels: upright, over white, the first of several frames.

Images of more than 8 bits have no fixed meaning of black and white: a camera of 12 bits stores its values in 16 bits,
and floating-point images have ranges of their own. `Levels` says which values become 0 and 255. It is learned from the
training split and kept with everything else that must be done to an image.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms

Range = tuple[float, float]
GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP_COLOURS = ("RGB;", "RGBX;", "RGBA;")
_OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if np.little_endian else "16L"}


def usual_range(lowest: float, highest: float) -> Range:
    """Return the range of values that a format or a camera means, judged by the values that there are.

    Returns:
        The first range of 0 to 1 and 0 to 2^n - 1 (at least 8 bits) that holds all values, if they fill more than half
        of it. Otherwise the range of the values themselves, from 0 where none is negative.
    """
    if lowest >= 0:
        bits = max(8, int(np.ceil(highest)).bit_length())
        usual = 1.0 if highest <= 1 else float(2**bits - 1)
        return (0.0, usual) if highest > usual / 2 or highest == 0 else (0.0, highest)
    return lowest, max(highest, 0.0)


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The values that become 0 and 255 in images of more than 8 bits; values beyond them become 0 and 255 as well.

    Args:
        integers: Integers of images of whole numbers.
        floats: Floats of images of floating-point numbers.
    """

    integers: Range = (0.0, 65535.0)
    floats: Range = (0.0, 1.0)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return the values as bytes of the same shape.

        Raises:
            ValueError: Some values are not finite.
        """
        low, high = self.floats if values.dtype.kind == "f" else self.integers
        if not np.isfinite(values).all():
            raise ValueError("it has values that are not finite")
        share = (values.astype(np.float64) - low) / (high - low)
        return np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)


def deep_values(image: Image.Image) -> np.ndarray | None:
    """Return the values of an image of more than 8 bits, without its alpha channel; None for any other image.

    Pillow keeps the upper byte alone of colours of 16 bits. The lower byte is read by unpacking the file a second time,
    so it is known only while the image is not loaded yet.

    Returns:
        Whole or floating-point numbers [H, W] or [H, W, 3].
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return np.asarray(image)
    raw = _raw_modes(image)
    if not raw or not all(mode.startswith(_DEEP_COLOURS) and mode[-3:] in _OTHER_BYTE for mode in raw):
        return None
    lower = _lower_bytes(image)
    image.load()
    upper = np.asarray(image)[..., :3].astype(np.uint16)
    return upper * 256 + np.asarray(lower)[..., :3]


def eight_bits(image: Image.Image, channels: int, levels: Levels) -> Image.Image:
    """Return the first frame with 8 bits a channel: grey for 1 channel, red, green and blue for 3; upright, over white.

    Raises:
        Exception: Anything that Pillow raises for a damaged image.
    """
    wanted = "L" if channels == 1 else "RGB"
    values = deep_values(image)
    image.load()
    turn = _TURNS.get(orientation(image))
    plain = image if values is None else _from_values(image, levels.scaled(values), values)
    if plain.has_transparency_data:
        plain = _over_white(plain)
    elif plain.mode == "LAB":
        plain = _from_lab(plain)
    plain = plain.convert(wanted)
    return plain if turn is None else plain.transpose(turn)


def orientation(image: Image.Image) -> int:
    """Return how a loaded image must be turned, as EXIF says it, 1 to 8; 1 where nothing says it."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    # the pixels may be fine where the data of the camera are damaged
    except Exception:
        return 1


def _from_values(image: Image.Image, scaled: np.ndarray, values: np.ndarray) -> Image.Image:
    """Return the image of bytes, with the transparency of the image that they come from."""
    clear = image.info.get("transparency")
    if clear is not None:
        scaled[values == clear if values.ndim == 2 else (values == clear).all(-1)] = 255
    plain = Image.fromarray(scaled)
    if image.mode == "RGBA":
        plain.putalpha(image.getchannel("A"))
    return plain


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB")) or image


def _raw_modes(image: Image.Image) -> list[str]:
    """Return how the file of an image that is not loaded yet packs its pixels."""
    return [_packing(tile.args) for tile in getattr(image, "tile", [])]


def _packing(args: Any) -> str:
    return str(args[0]) if isinstance(args, tuple | list) and args else str(args)


def _lower_bytes(image: Any) -> Image.Image:
    position = image.fp.tell()
    image.fp.seek(0)
    again: Any = Image.open(BytesIO(image.fp.read()))
    image.fp.seek(position)
    tiles = []
    for tile in again.tile:
        packing = _packing(tile.args)
        other = packing[:-3] + _OTHER_BYTE[packing[-3:]]
        tiles.append(tile._replace(args=other if isinstance(tile.args, str) else (other, *tile.args[1:])))
    again.tile = tiles
    again.load()
    return again
