"""Picture files of every kind that a folder of photos may hold, with the pixels that they stand for."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

RNG = np.random.default_rng(7)
COLOURS = RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8)
GREYS = RNG.integers(0, 256, (9, 12), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (9, 12), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (9, 12, 4)).astype(np.uint16)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def deep_png(values: np.ndarray) -> bytes:
    """A PNG file of 16 bits a channel, which Pillow cannot write in colour: [H, W] or [H, W, 3 or 4]."""
    height, width, channels = (*values.shape, 1)[:3]
    kind = {1: 0, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def deep_tiff(values: np.ndarray) -> bytes:
    """A TIFF file of red, green and blue of 16 bits each: [H, W, 3]."""
    height, width, _ = values.shape
    tags = [(256, 4, width), (257, 4, height), (258, 3, 0), (259, 3, 1), (262, 3, 2), (273, 4, 0), (277, 3, 3)]
    tags += [(278, 4, height), (279, 4, values.nbytes)]
    place = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, kind, value in tags:
        number = {258: place, 273: place + 6}.get(tag, value)
        packed = struct.pack("<HH", number, 0) if kind == 3 and tag != 258 else struct.pack("<I", number)
        entries += struct.pack("<HHI", tag, kind, 3 if tag == 258 else 1) + packed
    start = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)
    return start + struct.pack("<HHH", 16, 16, 16) + values.astype("<u2").tobytes()


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None].astype(float) / 255
    return colours * share + 255 * (1 - share)


def turned(colours: np.ndarray, orientation: int) -> np.ndarray:
    """How EXIF says that stored pixels are seen."""
    ways: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90,
    }
    return ways[orientation](colours)


def photo(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    return saved(Image.fromarray(COLOURS), kind, exif=exif.tobytes(), **options)


def frames(kind: str) -> bytes:
    first, second = Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)
    options = {"lossless": True} if kind == "WEBP" else {}
    return saved(first, kind, save_all=True, append_images=[second], **options)


def palette(*, clear: bool) -> tuple[bytes, np.ndarray]:
    """A palette of 16 colours, of which the third lets half of what is below show, or not."""
    indices = RNG.integers(0, 16, (9, 12), dtype=np.uint8)
    colours = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.frombytes(indices.tobytes())
    image.putpalette(colours.tobytes())
    alpha = np.full(16, 255, np.uint8)
    if clear:
        alpha[2] = 100
    options = {"transparency": alpha.tobytes()} if clear else {}
    return saved(image, "PNG", **options), over_white(colours[indices], alpha[indices])


def cases() -> dict[str, tuple[bytes, np.ndarray]]:
    """Files, and what they show in red, green and blue [9, 12, 3], of which 0 and 255 are black and white."""
    grey = np.repeat(GREYS[..., None], 3, 2)
    rgba, la = (np.concatenate([x, ALPHA[..., None]], 2) for x in (COLOURS, GREYS[..., None]))
    bits = GREYS > 127
    cmyk = Image.fromarray(COLOURS).convert("CMYK")
    found = {
        "8-bit colour": (saved(Image.fromarray(COLOURS), "PNG"), COLOURS),
        "8-bit grey": (saved(Image.fromarray(GREYS), "PNG"), grey),
        "1-bit": (
            saved(Image.fromarray(GREYS).point(lambda x: 255 * (x > 127), "1"), "PNG"),
            bits[..., None] * np.full(3, 255),
        ),
        "RGBA": (saved(Image.fromarray(rgba), "PNG"), over_white(COLOURS, ALPHA)),
        "LA": (saved(Image.fromarray(la, "LA"), "PNG"), over_white(grey, ALPHA)),
        "CMYK": (saved(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB"))),
        "palette": palette(clear=False),
        "palette with transparency": palette(clear=True),
        "16-bit PNG": (deep_png(DEEP[..., 0]), DEEP[..., :1].repeat(3, 2) / 257),
        "16-bit TIFF": (saved(Image.fromarray(DEEP[..., 0]), "TIFF"), DEEP[..., :1].repeat(3, 2) / 257),
        "16-bit colour PNG": (deep_png(DEEP[..., :3]), DEEP[..., :3] / 257),
        "16-bit colour TIFF": (deep_tiff(DEEP[..., :3]), DEEP[..., :3] / 257),
        "16-bit RGBA": (deep_png(DEEP), over_white(DEEP[..., :3] / 257, DEEP[..., 3] // 256)),
        "32-bit": (saved(Image.fromarray(DEEP[..., 0].astype(np.int32)), "TIFF"), DEEP[..., :1].repeat(3, 2) / 257),
        "float": (saved(Image.fromarray(GREYS.astype(np.float32) / 255), "TIFF"), grey),
        "animation (GIF)": (frames("GIF"), np.asarray(Image.open(BytesIO(frames("GIF"))).convert("RGB"))),
        "animation (WebP)": (frames("WEBP"), COLOURS),
        "animation (PNG)": (frames("PNG"), COLOURS),
        "pages": (frames("TIFF"), COLOURS),
    }
    for orientation in range(1, 9):
        for kind in ("PNG", "TIFF", "WEBP"):
            found[f"EXIF {orientation} ({kind})"] = photo(kind, orientation), turned(COLOURS, orientation)
    return found
