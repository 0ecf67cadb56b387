"""Image files in one folder per class."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.config import DataConfig, InvalidData
from nas.data.images.layout import Layout, find_layout
from nas.data.images.samples import FileSamples
from nas.data.images.source import ImageSource
from nas.data.images.stored import StoredImages
from nas.data.images.tree import Folder, has_images, read_folder
from nas.data.members import as_text
from nas.data.text.text_files import text_advice

_NAMED = 3


def open_folder(config: DataConfig) -> ImageSource:
    """Return the images of a folder; its splits are folders, too, where there are some.

    Raises:
        InvalidData: A folder is missing, has no images, or looks like splits that are not understood.
        FieldError: There is no path.
    """
    config.require("path")
    config.refuse("dataset")
    root = Path(config.path or "")
    if not root.is_dir():
        raise InvalidData(f"{root}: no such folder; expected train/CLASS/ or CLASS/ with images in it")
    layout = find_layout(read_folder(root))
    if config.test_path:
        layout = layout.with_test(_given_folder(Path(config.test_path)))
    names = tuple(layout.train.folders)
    splits = {"train": layout.train, "validation": layout.validation, "test": layout.test}
    found = {split: _Found.of(folder, names) for split, folder in splits.items() if folder is not None}
    _check_classes(found["train"], names)
    stored = StoredImages(
        name=as_text(root.resolve().name),
        place=as_text(root),
        class_names=tuple(map(as_text, names)),
        train=found["train"].samples(),
        validation=found["validation"].samples() if "validation" in found else None,
        test=found["test"].samples() if "test" in found else None,
        fractions=(config.validation_fraction, config.test_fraction),
        remarks=tuple(_remarks(layout, found.values())),
    )
    return ImageSource(config, stored)


@dataclass(frozen=True)
class _Found:
    """The files below the class folders of one split, in order of class and path."""

    folder: Folder
    paths: Sequence[Path]
    labels: Sequence[int]
    others: Sequence[Path]

    @classmethod
    def of(cls, folder: Folder, names: tuple[str, ...]) -> "_Found":
        unknown = [name for name, one in folder.folders.items() if name not in names and has_images(one)]
        if unknown:
            among = f"is not among the training classes {', '.join(names)}"
            raise InvalidData(f"{folder.path}: class {unknown[0]!r} {among}")
        paths: list[Path] = []
        labels: list[int] = []
        others: list[Path] = list(folder.images) + list(folder.others)
        for label, name in enumerate(names):
            if name in folder.folders:
                found = sorted(folder.folders[name].all_images())
                paths += found
                labels += [label] * len(found)
                others += folder.folders[name].all_others()
        if not paths:
            there = f"{len(folder.images)} images and no folders of classes" if folder.images else "no images found"
            advice = text_advice(folder.path) or _advice(others)
            raise InvalidData(f"{folder.path}: {there}; expected CLASS/ folders with images in them{advice}")
        return cls(folder, paths, labels, others)

    def samples(self) -> FileSamples:
        return FileSamples(self.folder.path, self.paths, np.array(self.labels, np.int64))


def _given_folder(path: Path) -> Folder:
    if not path.is_dir():
        raise InvalidData(f"{path}: no such folder; expected CLASS/ folders with images")
    return read_folder(path)


def _check_classes(train: _Found, names: tuple[str, ...]) -> None:
    """Refuse a class of the training split without images.

    Raises:
        InvalidData: There is such a class.
    """
    counts = np.bincount(np.array(train.labels, np.int64), minlength=len(names))
    empty = [name for name, count in zip(names, counts) if count == 0]
    if empty:
        first = train.folder.folders[empty[0]]
        more = f" (and {len(empty) - 1} more: {_some(empty[1:])})" if len(empty) > 1 else ""
        advice = "put images into it, or remove it"
        raise InvalidData(f"{first.path}: this class folder has no images{more}; {advice}{_advice(first.all_others())}")


def _remarks(layout: Layout, found: Iterable[_Found]) -> Iterator[str]:
    """Yield what was found and is not used."""
    if layout.unused:
        yield f"not used, as it belongs to no split: {_some([as_text(path) for path in layout.unused])}"
    others = [path for split in found for path in split.others]
    if others:
        yield f"not used, as it is of another kind or in no class folder: {_kinds(others)}, e.g. {as_text(others[0])}"


def _advice(others: Iterable[Path]) -> str:
    """Return which kinds of files are there instead of images, to follow a message."""
    kinds = _kinds(others)
    return f"; files of kinds that are not read are there: {kinds}" if kinds else ""


def _kinds(paths: Iterable[Path]) -> str:
    """Return how many files of which kinds there are."""
    kinds = Counter(path.suffix.lower() or path.name for path in paths)
    named = _some([f"{count} {kind}" for kind, count in kinds.most_common()])
    photos = [kind for kind in (".heic", ".heif") if kinds[kind]]
    return f"{named} (convert {photos[0]} to JPEG)" if photos else named


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
