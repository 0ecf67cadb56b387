"""Image files below one folder a class."""

from pathlib import Path

import numpy as np

from nas.data.config import DataConfig, InvalidData
from nas.data.images.samples import FileSamples
from nas.data.images.source import ImageSource
from nas.data.images.stored import StoredImages

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
VALIDATION_FOLDERS = ("validation", "valid", "val")


def open_folder(config: DataConfig) -> ImageSource:
    """Return the images of a folder, whose splits are folders too where there are some.

    Raises:
        InvalidData: A folder is missing, or has no images.
        FieldError: There is no path.
    """
    config.require("path")
    config.refuse("dataset")
    root = Path(config.path or "")
    if not root.is_dir():
        raise InvalidData(f"{root}: no such folder; expected train/CLASS/ or CLASS/ with images in it")
    train_folder = root / "train" if (root / "train").is_dir() else root
    names = _class_folders(train_folder)
    validation = test = None
    if train_folder != root:
        validation = next((root / name for name in VALIDATION_FOLDERS if (root / name).is_dir()), None)
        test = root / "test" if (root / "test").is_dir() else None
    if config.test_path:
        test = Path(config.test_path)
    stored = StoredImages(
        name=root.resolve().name,
        place=str(root),
        class_names=names,
        train=_read_folder(train_folder, names),
        validation=_read_folder(validation, names) if validation else None,
        test=_read_folder(test, names) if test else None,
        fractions=(config.validation_fraction, config.test_fraction),
    )
    return ImageSource(config, stored)


def _class_folders(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise InvalidData(f"{folder}: no such folder; expected CLASS/ folders with images")
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))


def _read_folder(folder: Path, names: tuple[str, ...]) -> FileSamples:
    """The images below each class folder, in order of class and path."""
    unknown = sorted(set(_class_folders(folder)) - set(names))
    if unknown:
        raise InvalidData(f"{folder}: class {unknown[0]!r} is not among the training classes {', '.join(names)}")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in SUFFIXES)
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise InvalidData(
            f"{folder}: no images found; expected CLASS/ folders with {', '.join(sorted(SUFFIXES))} files"
        )
    return FileSamples(paths, np.array(labels, np.int64))
