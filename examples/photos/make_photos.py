"""Make a folder of photos to try things out: four shapes, and the oddities that real folders have.

    python make_photos.py photos

Most files are JPEG images of different sizes. Some are what telephones, scanners and archives leave: rotated by EXIF,
16-bit, palette with transparency, CMYK, grey with alpha, RGBA, animated, a truncated file, a copy of a photo in
another split, and files of operating systems that are no photos.
"""

import argparse
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "star", "triangle")
ROTATED = 6  # EXIF: the camera was held upright, turn by 90 degrees
ORIENTATION = 0x0112


def photo(shape: str, rng: np.random.Generator) -> Image.Image:
    """Return one shape of random colour, size, place and angle on a noisy background."""
    width, height = (int(side) for side in rng.integers(72, 161, 2))
    dark = bool(rng.integers(2))
    ground = rng.integers(0, 90, 3) if dark else rng.integers(165, 256, 3)
    noise = rng.normal(0, 12, (height, width, 3))
    image = Image.fromarray((ground + noise).clip(0, 255).astype(np.uint8))
    radius = float(rng.uniform(0.24, 0.4)) * min(width, height)
    free = min(width, height) / 2 - radius  # inside the square in the middle, which a crop keeps
    x, y = (side / 2 + float(rng.uniform(-free, free)) for side in (width, height))
    colour = tuple(int(level) for level in (rng.integers(150, 256, 3) if dark else rng.integers(0, 110, 3)))
    draw = ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        draw.polygon(corners(shape, (x, y), radius, float(rng.uniform(-0.4, 0.4))), fill=colour)
    return image


def corners(shape: str, centre: tuple[float, float], radius: float, angle: float) -> list[tuple[float, float]]:
    """Return the corners of a square, triangle or star of five points."""
    count = {"square": 4, "triangle": 3, "star": 10}[shape]
    radii = [radius if corner % 2 == 0 or shape != "star" else 0.42 * radius for corner in range(count)]
    turns = [angle - math.pi / 2 + 2 * math.pi * corner / count for corner in range(count)]
    return [(centre[0] + r * math.cos(turn), centre[1] + r * math.sin(turn)) for r, turn in zip(radii, turns)]


def save_rotated(image: Image.Image, path: Path) -> None:
    """Write a photo as a telephone does: lying, with a note that it has to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    image.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".jpg"), exif=exif, quality=90)


def save_deep(image: Image.Image, path: Path) -> None:
    """Write a grey photo with 16 bits a pixel, as a scanner does."""
    levels = np.asarray(image.convert("L"), np.uint16) * 257
    Image.fromarray(levels).save(path.with_suffix(".png"))


def save_with_palette(image: Image.Image, path: Path) -> None:
    """Write a photo of 64 colours, one of which is transparent."""
    image.quantize(64).save(path.with_suffix(".png"), transparency=0)


def save_for_print(image: Image.Image, path: Path) -> None:
    """Write a photo in the four colours of a printer."""
    image.convert("CMYK").save(path.with_suffix(".jpg"), quality=90)


def save_grey_with_alpha(image: Image.Image, path: Path) -> None:
    """Write a grey photo with an opaque alpha channel."""
    image.convert("LA").save(path.with_suffix(".png"))


def save_with_alpha(image: Image.Image, path: Path) -> None:
    """Write a photo whose edge is transparent."""
    alpha = np.zeros((image.height, image.width), np.uint8)
    alpha[4:-4, 4:-4] = 255
    whole = image.convert("RGBA")
    whole.putalpha(Image.fromarray(alpha))
    whole.save(path.with_suffix(".png"))


def save_animated(image: Image.Image, path: Path) -> None:
    """Write an animation whose first picture is the photo."""
    image.save(path.with_suffix(".gif"), save_all=True, append_images=[Image.new("RGB", image.size)], duration=100)


def save_truncated(image: Image.Image, path: Path) -> None:
    """Write the first half of a file, as a copy that was interrupted."""
    image.save(path.with_suffix(".jpg"), quality=90)
    content = path.with_suffix(".jpg").read_bytes()
    path.with_suffix(".jpg").write_bytes(content[: len(content) // 2])


ODDITIES: dict[str, Callable[[Image.Image, Path], None]] = {
    "rotated": save_rotated,
    "deep": save_deep,
    "palette": save_with_palette,
    "print": save_for_print,
    "grey_alpha": save_grey_with_alpha,
    "alpha": save_with_alpha,
    "animated": save_animated,
}


def make(folder: Path, *, train: int = 90, test: int = 30, seed: int = 0) -> None:
    """Write the photos, `train` and `test` of them for each shape.

    Raises:
        FileExistsError: The folder is there already.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for split, count in (("Train", train), ("Test", test)):
        for shape in SHAPES:
            place = folder / split / shape
            place.mkdir(parents=True)
            for number in range(count):
                photo(shape, rng).save(place / f"{shape}_{number:03}.jpg", quality=90)
            for name, save in ODDITIES.items():
                save(photo(shape, rng), place / f"{shape}_{name}")
    save_truncated(photo("star", rng), folder / "Train" / "star" / "star_truncated")
    shutil.copy(folder / "Train" / "circle" / "circle_000.jpg", folder / "Test" / "circle" / "copy_of_000.jpg")
    for junk in (".DS_Store", "Train/Thumbs.db", "Train/square/._square_000.jpg", "__MACOSX/square/._square_001.jpg"):
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).write_bytes(b"\x00\x05\x16\x07 no photo")


def main() -> None:
    """Make the folder that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=90, help="training photos for each shape")
    parser.add_argument("--test", type=int, default=30, help="test photos for each shape")
    arguments = parser.parse_args()
    make(arguments.folder, train=arguments.train, test=arguments.test)
    print(f"{arguments.folder}: {len(SHAPES)} classes, {', '.join(SHAPES)}")


if __name__ == "__main__":
    main()
