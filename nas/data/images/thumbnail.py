"""Small pictures of images as networks see them, for reports."""

from io import BytesIO

import numpy as np
from PIL import Image

_GREY = 1


def thumbnail(pixels: np.ndarray, side: int) -> bytes:
    """Return a PNG file of at most `side` pixels a side.

    Args:
        pixels: Bytes [H, W, C], grey or red, green and blue.
        side: Larger images are made smaller; smaller ones stay as they are.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == _GREY else pixels)
    image.thumbnail((side, side))
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
