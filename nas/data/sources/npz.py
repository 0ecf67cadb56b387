"""JPEG files in one array of an npz file."""

from pathlib import Path

import numpy as np

from nas.data.config import DataConfig, InvalidData
from nas.data.images.samples import PackedSamples
from nas.data.images.source import ImageSource
from nas.data.images.stored import StoredImages
from nas.data.npz_arrays import read_arrays

ARRAYS = ("jpeg", "offsets", "label", "number", "classes")


def open_npz(config: DataConfig) -> ImageSource:
    """Return the images of a training file, and of a test file where there is one.

    Raises:
        InvalidData: A file is missing, damaged or not of the expected form.
        FieldError: There is no path.
    """
    config.require("path")
    config.refuse("dataset")
    train_path, test_path = _npz_paths(Path(config.path or ""), config.test_path)
    train, class_names = _read_npz(train_path)
    test = None
    if test_path is not None:
        test, test_names = _read_npz(test_path)
        if test_names != class_names:
            raise InvalidData(f"{test_path}: 'classes' must be those of {train_path.name}, got {list(test_names)}")
    stored = StoredImages(
        name=train_path.stem,
        place=str(train_path),
        class_names=class_names,
        train=train,
        test=test,
        fractions=(config.validation_fraction, config.test_fraction),
    )
    return ImageSource(config, stored)


def _npz_paths(path: Path, test_path: str | None) -> tuple[Path, Path | None]:
    """Return training file and test file, if any."""
    given = Path(test_path) if test_path else None
    if path.is_dir():
        train = _only_npz(path, "train")
        if train is None:
            raise InvalidData(f"{path}: expected a file named *train*.npz in this folder")
        return train, given or _only_npz(path, "test")
    beside = path.with_name(path.name.replace("train", "test"))
    return path, given or (beside if beside != path and beside.exists() else None)


def _only_npz(folder: Path, word: str) -> Path | None:
    found = sorted(folder.glob(f"*{word}*.npz"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InvalidData(f"{folder}: expected one file named *{word}*.npz, found {names}; give the file as path")
    return found[0] if found else None


def _read_npz(path: Path) -> tuple[PackedSamples, tuple[str, ...]]:
    arrays = read_arrays(path, f"an npz with the arrays {', '.join(ARRAYS)}", ARRAYS)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise InvalidData(f"{path}: missing arrays {', '.join(missing)}; expected {', '.join(ARRAYS)}")
    _check_arrays(path, arrays)
    class_names = tuple(str(name) for name in arrays["classes"])
    labels = arrays["label"].astype(np.int64)
    return PackedSamples(path, arrays["jpeg"], arrays["offsets"].astype(np.int64), labels), class_names


def _check_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    packed, offsets, labels = arrays["jpeg"], arrays["offsets"], arrays["label"]
    for name, kinds, expected in (("jpeg", "u", "bytes"), ("offsets", "iu", "integers"), ("label", "iu", "integers")):
        if arrays[name].ndim != 1 or arrays[name].dtype.kind not in kinds:
            raise InvalidData(f"{path}: '{name}' must be a list of {expected}, got {arrays[name].dtype}")
    if packed.dtype != np.uint8:
        raise InvalidData(f"{path}: 'jpeg' must be a list of bytes, got {packed.dtype}")
    if len(labels) == 0 or len(offsets) != len(labels) + 1:
        raise InvalidData(
            f"{path}: 'offsets' must have one value more than 'label', got {len(offsets)} and {len(labels)}"
        )
    signed = offsets.astype(np.int64)
    if (np.diff(signed) <= 0).any():
        raise InvalidData(
            f"{path}: 'offsets' must increase, but not after image {int((np.diff(signed) <= 0).argmax())}"
        )
    if signed[0] < 0 or signed[-1] > len(packed):
        raise InvalidData(
            f"{path}: 'offsets' must lie within the {len(packed)} bytes of 'jpeg', got {signed[0]} to {signed[-1]}"
        )
    classes = len(arrays["classes"]) if arrays["classes"].ndim == 1 else 0
    if classes and (labels.min() < 0 or labels.max() >= classes):
        raise InvalidData(f"{path}: 'label' must be 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
