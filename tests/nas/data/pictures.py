"""Small sets of random pictures, as files that sources read."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nas.data import DataConfig, ImageData, load_data

CPU = torch.device("cpu")
SIZE = 16


def picture(label: int, number: int, *, size: tuple[int, int] = (SIZE, SIZE), mode: str = "RGB") -> Image.Image:
    """A random image, no two alike."""
    rng = np.random.default_rng((label, number))
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def write_npz(path: Path, *, counts: tuple[int, ...] = (20, 30, 10), first: int = 0, **changes: object) -> Path:
    """JPEG files in one npz, sorted by class; `changes` replace (or, if None, leave out) arrays."""
    files, labels = [], []
    for label, count in enumerate(counts):
        for number in range(first, first + count):
            buffer = BytesIO()
            picture(label, number).save(buffer, "JPEG", quality=90)
            files.append(buffer.getvalue())
            labels.append(label)
    arrays: dict[str, object] = {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "label": np.array(labels, np.uint8),
        "number": np.arange(len(files), dtype=np.int16),
        "classes": np.array([f"class{label}" for label in range(len(counts))]),
    }
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


def write_folder(root: Path, counts: dict[str, int], *, first: int = 0, size: int = SIZE, mode: str = "RGB") -> Path:
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            picture(label, number, size=(size, size), mode=mode).save(root / name / f"{number}.png")
    return root


def load(config: DataConfig) -> ImageData:
    data = load_data(config, device=CPU)
    assert isinstance(data, ImageData)
    return data


def everything(data: ImageData) -> dict[str, torch.Tensor]:
    return {name: getattr(data, name).images for name in ("train", "validation", "test")}


def contents(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def same(first: list, second: list) -> bool:
    return len(first) == len(second) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(first, second)
    )
