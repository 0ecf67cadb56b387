"""Datasets by the names that `timm.data.create_dataset` takes: torchvision's, Hugging Face's, image folders, tar files.

Published sets often have only two splits. The second one is the test split here, whatever it is called, and the
validation split for the search is taken out of the training images.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nas.data.config import DataConfig, InvalidData
from nas.data.images.layout import find_layout
from nas.data.images.samples import file_content, files_stamp
from nas.data.images.source import ImageSource
from nas.data.images.stored import StoredImages
from nas.data.images.tree import is_junk, read_folder
from nas.data.members import Members, as_text, members_of_files, members_of_rows

# torchvision's sets by the name of the split that is not for training.
SECOND_SPLIT = {"cifar10": "test", "cifar100": "test", "mnist": "test", "kmnist": "test", "fashion_mnist": "test"}
SECOND_SPLIT |= {"qmnist": "test", "imagenet": "validation", "places365": "validation"}
SECOND_SPLIT |= {"inaturalist": "validation", "inat": "validation"}
IMAGE_FOLDERS = {"", "torch/image_folder", "torch/folder"}
FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "eval", "evaluation"),
    "test": ("test",),
}
SYMBOLS = ("/mnist", "kmnist", "qmnist", "svhn")
STREAMS = {"hfids", "tfds", "wds"}


@dataclass(frozen=True)
class TimmSamples:
    """A map-style dataset of timm or torchvision.

    Args:
        dataset: As timm made it.
        title: Name in messages.
        labels: int64 [N].
        paths: The files of the images, where each is a file of its own; they are opened directly, because the datasets
            would turn 16 bits into 8 and lose most of the content.
    """

    dataset: Any
    title: str
    labels: np.ndarray
    paths: Sequence[Path] | None = None

    def open(self, index: int) -> Image.Image:
        if self.paths is not None:
            return Image.open(self.paths[index])
        reader = getattr(self.dataset, "reader", None)
        # timm's own `dataset[index]` returns a neighbour where an image is damaged.
        image = Image.open(reader[index][0]) if reader is not None else self.dataset[index][0]
        if not isinstance(image, Image.Image):
            raise ValueError(f"expected a PIL image, got {type(image).__name__}")
        return image

    def name(self, index: int) -> str:
        return f"{self.title}: image {index}" if self.paths is None else as_text(self.paths[index])

    def content(self, index: int) -> bytes | None:
        if self.paths is not None:
            return file_content(self.paths[index])
        rows = getattr(self.dataset, "data", None)  # of the sets of torchvision
        return np.asarray(rows[index]).tobytes() if rows is not None and len(rows) == len(self.labels) else None

    def stamp(self, indices: np.ndarray) -> str | None:
        return None if self.paths is None else files_stamp([self.paths[index] for index in indices])

    def members(self) -> Members:
        """Return what the images are recognised by: files, arrays, or else their places and labels."""
        if self.paths:
            root = Path(os.path.commonpath([path.parent.parent for path in self.paths]))
            return members_of_files(root, self.paths, self.labels)
        rows = getattr(self.dataset, "data", None)
        if rows is not None and len(rows) == len(self.labels):
            return members_of_rows(self.labels, lambda i: np.asarray(rows[i]).tobytes())
        return members_of_rows(self.labels, lambda i: f"{i} {self.labels[i]}".encode())


def open_timm(config: DataConfig) -> ImageSource:
    """Return the named dataset.

    Raises:
        InvalidData: timm does not know it, does not find it, or streams it.
        FieldError: No dataset is named.
    """
    config.require("dataset")
    config.refuse("test_path")
    name = config.dataset or ""
    _check_root(name, config.path)
    _check_splits(name, Path(config.path or ""))
    dataset = _create(config, "train")
    names = _class_names(dataset)
    train = _samples(dataset, name, "train")
    given = {split: _held_out(config, split) for split in _published_splits(config)}
    # Benchmarks keep the labels of their test images secret: such a split is useless here.
    splits = {split: found for split, found in given.items() if found is not None and found.labels.max(initial=-1) >= 0}
    if "test" not in splits and "validation" in splits and not _in_folders(name):
        splits["test"] = splits.pop("validation")
    stored = StoredImages(
        name=name or Path(config.path or "").resolve().name,
        place=_place(config),
        class_names=names or tuple(str(label) for label in range(int(train.labels.max(initial=-1)) + 1)),
        train=train,
        validation=splits.get("validation"),
        test=splits.get("test"),
        fractions=(config.validation_fraction, config.test_fraction),
        flip=not any(symbols in name.lower() for symbols in SYMBOLS),
    )
    return ImageSource(config, stored)


def _place(config: DataConfig) -> str:
    return f"timm dataset {config.dataset!r}" + (f" at {config.path}" if config.path else "")


def _prefix(name: str) -> str:
    return name.partition("/")[0].lower() if "/" in name else ""


def _in_folders(name: str) -> bool:
    """Return whether the splits are folders (or tar files) below the root."""
    return _prefix(name) not in {"torch", "hfds"} or name.lower() in {"torch/image_folder", "torch/folder"}


def _check_root(name: str, path: str | None) -> None:
    prefix = _prefix(name)
    if prefix in STREAMS:
        raise InvalidData(
            f"dataset {name!r} is a stream, which cannot be split or shuffled as a whole; "
            "expected a random-access dataset such as torch/..., hfds/... or an image folder"
        )
    if path is None and prefix != "hfds":
        raise InvalidData(f"path must be the root folder of timm dataset {name!r}, got None")
    if path is not None and _in_folders(name) and not Path(path).exists():
        raise InvalidData(f"{path}: no such folder; expected the images of timm dataset {name!r}")


def _check_splits(name: str, root: Path) -> None:
    """Refuse folders of splits whose names timm does not know: it would take them for classes.

    Raises:
        InvalidData: There are such folders, or folders that look like splits and are not understood.
    """
    if name not in IMAGE_FOLDERS or not root.is_dir():
        return
    layout = find_layout(read_folder(root))
    splits = {"train": layout.train, "validation": layout.validation, "test": layout.test}
    for split, folder in splits.items():
        if folder is not None and folder.path not in (root, *(root / known for known in FOLDERS[split])):
            asked = f"timm does not find the {split} split there"
            raise InvalidData(f"{folder.path}: {asked}; use source: folder, or call it {root / FOLDERS[split][0]}")


def _published_splits(config: DataConfig) -> list[str]:
    """Return the splits besides `train` that may exist."""
    name = config.dataset or ""
    if _in_folders(name):
        root = Path(config.path or "")
        held_out = {split: folders for split, folders in FOLDERS.items() if split != "train"}
        return [split for split, folders in held_out.items() if any((root / folder).is_dir() for folder in folders)]
    if _prefix(name) == "hfds":
        return ["validation", "test"]
    return [SECOND_SPLIT.get(name.lower().removeprefix("torch/"), "test")]


def _held_out(config: DataConfig, split: str) -> TimmSamples | None:
    """Return a published split; None where a Hugging Face dataset has none of that name."""
    try:
        dataset = _create(config, split)
    except InvalidData as error:
        if _prefix(config.dataset or "") == "hfds" and "split" in str(error.__cause__).lower():
            return None
        raise
    return _samples(dataset, config.dataset or "", split)


def _create(config: DataConfig, split: str) -> Any:
    from timm.data import create_dataset

    # Every read opens the tar file again: threads and processes cannot share an open one.
    options = {"cache_tarfiles": False} if (config.path or "").endswith(".tar") else {}
    try:
        return create_dataset(
            config.dataset or "",
            root=config.path,
            split=split,
            download=config.download,
            input_img_mode=None,
            **options,
        )
    # A dataset library may raise anything; the data cannot be used, and the reason is passed on.
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise InvalidData(f"{_place(config)}: timm cannot open its {split} split: {reason.splitlines()[0]}") from error


def _class_names(dataset: Any) -> tuple[str, ...]:
    """Return the names in the order of their labels; none where the dataset does not have them."""
    reader = getattr(dataset, "reader", None)
    mapping = getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None)
    if mapping:
        return tuple(str(name) for name in sorted(mapping, key=mapping.__getitem__))
    return tuple(str(name) for name in getattr(dataset, "classes", None) or ())


def _samples(dataset: Any, name: str, split: str) -> TimmSamples:
    title, labels, paths = (
        f"timm dataset {name!r}, {split} split",
        np.asarray(_labels(dataset), np.int64),
        _paths(dataset),
    )
    if paths is not None:
        kept = [index for index, path in enumerate(paths) if not is_junk(path.name)]
        labels, paths = labels[kept], [paths[index] for index in kept]
    return TimmSamples(dataset, title, labels, paths)


def _paths(dataset: Any) -> list[Path] | None:
    """Return the files of the images, where each is a file of its own."""
    from timm.data.readers.reader_image_folder import ReaderImageFolder
    from torchvision.datasets import DatasetFolder

    reader = getattr(dataset, "reader", None)
    if isinstance(dataset, DatasetFolder):
        return [Path(path) for path, _ in dataset.samples]
    return [Path(path) for path, _ in reader.samples] if isinstance(reader, ReaderImageFolder) else None


def _labels(dataset: Any) -> Any:
    """Return all labels, read from the cheapest place."""
    reader = getattr(dataset, "reader", None)
    for owner in (dataset, reader):
        targets = getattr(owner, "targets", None)
        if targets is not None:
            return targets
    if reader is not None and hasattr(reader, "iter_targets"):
        return list(reader.iter_targets())
    if reader is not None and hasattr(reader, "samples"):
        return [target for _, target in reader.samples]
    return [int(dataset[index][1]) for index in range(len(dataset))]
