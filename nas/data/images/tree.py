"""The content of a folder and of those below it: images, folders, other files, without the junk of systems and
archivers.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.data.config import InvalidData

SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".tga"),
}
_JUNK = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "system volume information"}
_DEEPEST = 100
_JUNK |= {"lost+found", "@eadir", "icon\r", "__pycache__"}


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or was left by a system or an archiver."""
    return name.startswith(".") or name.lower() in _JUNK


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder and its content, without junk.

    Args:
        path: Path of the folder.
        folders: Name -> the folder of that name, in order of the names.
        images: Image files directly in it.
        others: Other files directly in it.
    """

    path: Path
    folders: Mapping[str, Folder]
    images: tuple[Path, ...]
    others: tuple[Path, ...]

    def all_images(self) -> Iterator[Path]:
        """Yield the image files in it and below it."""
        yield from self.images
        for folder in self.folders.values():
            yield from folder.all_images()

    def all_others(self) -> Iterator[Path]:
        """Yield the other files in it and below it."""
        yield from self.others
        for folder in self.folders.values():
            yield from folder.all_others()

    @property
    def has_images_below(self) -> bool:
        """Whether one of its folders holds images, at whatever depth."""
        return any(has_images(folder) for folder in self.folders.values())


def has_images(folder: Folder) -> bool:
    """Return whether there is an image in a folder or below it."""
    return next(folder.all_images(), None) is not None


def read_folder(path: Path, above: tuple[tuple[int, int], ...] = ()) -> Folder:
    """Return a folder with everything below it; links are followed.

    Args:
        path: Path of the folder.
        above: Folders that it lies in, so that a link to one of them is not followed for ever.

    Raises:
        InvalidData: A folder cannot be read.
    """
    if len(above) > _DEEPEST:
        raise InvalidData(f"{path}: folders lie more than {_DEEPEST} deep in each other")
    try:
        here = os.stat(path)
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidData(f"{path}: this folder cannot be read: {error.strerror or error}") from error
    lying_in = (*above, (here.st_dev, here.st_ino))
    folders: dict[str, Folder] = {}
    images: list[Path] = []
    others: list[Path] = []
    for entry in entries:
        if is_junk(entry.name):
            continue
        place = path / entry.name
        if _is_folder(entry):
            there = entry.stat()
            if (there.st_dev, there.st_ino) not in lying_in:
                folders[entry.name] = read_folder(place, lying_in)
        else:
            is_image = place.suffix.lower() in SUFFIXES and _may_be_read(place)
            (images if is_image else others).append(place)
    return Folder(path=path, folders=folders, images=tuple(images), others=tuple(others))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a folder. A link to itself is none; it is named with the files that cannot be read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _may_be_read(place: Path) -> bool:
    """Return whether it is no pipe, socket or device: to open one may wait for ever."""
    try:
        mode = os.stat(place).st_mode
    except OSError:  # it is named with the files that cannot be read
        return True
    return stat.S_ISREG(mode)
