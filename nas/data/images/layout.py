"""Finds folders that are splits: by their names in any case and in the usual spellings, also inside other folders.

A folder is a split only if its images lie in folders of classes. So a class may be called `train`, for pictures of
trains.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nas.data.config import InvalidData
from nas.data.images.tree import Folder, has_images

SPELLINGS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "validate", "valid", "val", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
_SPLITS = {spelling: split for split, spellings in SPELLINGS.items() for spelling in spellings}
_FILLING = ("dataset", "data", "set", "seg", "split", "images", "image", "imgs", "img", "photos", "pictures", "folder")
_MOST_SPLITS = 4
_EXPECTED = "expected train/CLASS/, and val/CLASS/ and test/CLASS/ if there are any, or CLASS/ folders alone"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The splits of a folder; each holds one folder per class.

    Args:
        train: Training images, or all of them where there are no splits.
        validation: Published validation split, if any.
        test: Published test split, if any.
        unused: Folders and images beside the splits.
    """

    train: Folder
    validation: Folder | None = None
    test: Folder | None = None
    unused: tuple[Path, ...] = ()

    def with_test(self, folder: Folder) -> Layout:
        """Return the same splits with another test split."""
        return replace(self, test=_unwrapped(folder, self.train.folders))


def split_of(name: str) -> str | None:
    """Return which split a folder is called after: `train`, `validation`, `test`, or None."""
    spread = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()  # TrainData is two words
    meaning = [word for word in re.findall(r"[^\W\d_]+", spread) if word not in _FILLING]
    if len(meaning) != 1:
        return None
    for filling in ("", *_FILLING):  # testset is two words as well
        if (split := _SPLITS.get(meaning[0].removesuffix(filling))) is not None:
            return split
    return None


def find_layout(root: Folder) -> Layout:
    """Return the splits of a folder.

    Raises:
        InvalidData: The folder looks like splits, but cannot be understood.
    """
    root = _unwrapped(root)
    named = {name: split for name in root.folders if (split := split_of(name)) is not None}
    splits = {name: split for name, split in named.items() if root.folders[name].has_images_below}
    if not splits:
        _refuse_splits_without_classes(root, named)
        _refuse_foreign_splits(root)
        return Layout(train=root)
    for split in SPELLINGS:
        both = [name for name, meant in splits.items() if meant == split]
        if len(both) > 1:
            raise InvalidData(f"{root.path}: {_and(both)} are both called like the {split} split; leave one of them")
    by_split = {split: root.folders[name] for name, split in splits.items()}
    if "train" not in by_split:
        raise InvalidData(f"{root.path}: {_and(list(splits))} look like splits, but there is no train/; {_EXPECTED}")
    _refuse_doubtful_neighbours(root, named, splits)
    train = _unwrapped(by_split.pop("train"))
    others = {split: _unwrapped(folder, train.folders) for split, folder in by_split.items()}
    return Layout(
        train=train,
        validation=others.get("validation"),
        test=others.get("test"),
        unused=(*(folder.path for name, folder in root.folders.items() if name not in named), *root.images),
    )


def _unwrapped(folder: Folder, classes: Mapping[str, Folder] | Sequence[str] = ()) -> Folder:
    """Return the innermost of folders that hold one folder each, as archives have them; a class is no wrapping."""
    while len(folder.folders) == 1 and not folder.images:
        (name, inner), *_ = folder.folders.items()
        if name in classes or inner.images or not inner.has_images_below:
            break
        folder = inner
    return folder


def _refuse_doubtful_neighbours(root: Folder, named: Mapping[str, str], splits: Mapping[str, str]) -> None:
    """Refuse folders beside splits that may be meant to be splits or classes as well.

    Raises:
        InvalidData: There are such folders.
    """
    for name in sorted(named.keys() - splits.keys()):
        folder = root.folders[name]
        what = "images without folders of classes" if has_images(folder) else "no images"
        raise InvalidData(f"{folder.path}: looks like the {named[name]} split, but has {what}; fill it or move it away")
    beside = [name for name, folder in root.folders.items() if name not in named and has_images(folder)]
    if beside and len(splits) == 1:
        one, them = f"{next(iter(splits))}/", "is" if len(beside) == 1 else "are"
        told = f"{one} looks like a split, but {_and(beside)} beside it {them} not called like one"
        advice = "name it so, or move it away; if all are classes, put their images directly into them"
        raise InvalidData(f"{root.path}: {told}; {advice}")


def _refuse_splits_without_classes(root: Folder, named: Mapping[str, str]) -> None:
    """Refuse folders called like splits, and no others, that have no folders of classes.

    Raises:
        InvalidData: There are such folders.
    """
    with_images = [name for name, folder in root.folders.items() if has_images(folder)]
    if with_images and all(name in named for name in with_images):
        raise InvalidData(
            f"{root.path}: {_and(with_images)} look like splits but have no folders of classes; {_EXPECTED}"
        )


def _refuse_foreign_splits(root: Folder) -> None:
    """Refuse a few folders that all hold the same folders: classes in splits of names that are not understood.

    Raises:
        InvalidData: There are such folders.
    """
    tops = [folder for folder in root.folders.values() if has_images(folder)]
    if not 2 <= len(tops) <= _MOST_SPLITS or any(folder.images for folder in tops):
        return
    inside = [{name for name, below in _unwrapped(top).folders.items() if has_images(below)} for top in tops]
    if len(shared := set.intersection(*inside)) >= 2:
        names, same = _and([top.path.name for top in tops]), ", ".join(sorted(shared)[:3])
        told = f"{names} look like splits, as each has the folders {same}, but are not called so"
        raise InvalidData(f"{root.path}: {told}; {_EXPECTED}. If they are classes, put their images directly into them")


def _and(names: Sequence[str]) -> str:
    shown = [f"{name}/" for name in names]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)
