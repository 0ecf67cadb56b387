"""Folders with one file of lines for each split and language, such as train.en.gz, val.en.gz and test.en.gz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nas.data.config import InvalidData
from search_spaces.errors import FieldError

_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test",),
}
_COMPRESSED = ".gz"


def find_files(folder: Path, endings: Sequence[str], test: str | None = None) -> Mapping[str, tuple[Path, ...]]:
    """Return split -> its files, one for each ending; only `train` must be there.

    Args:
        folder: The folder.
        endings: What the files of each language end in, such as `en`; `.gz` may follow.
        test: Name of the test split, such as `test_2016_flickr`, where several begin with `test`.

    Raises:
        InvalidData: A file is missing.
        FieldError: There are several test splits, and none is named.
    """
    there = _by_name(folder, endings)
    found = {}
    for split, names in _NAMES.items():
        name = next((name for name in names if name in there), None)
        if split == "test" and (test is not None or name is None):
            name = _test_name(folder, there, test)
        if name is None:
            continue
        missing = [ending for ending in endings if ending not in there[name]]
        if missing:
            raise InvalidData(f"{folder}: no file {name}.{missing[0]} or {name}.{missing[0]}{_COMPRESSED}")
        found[split] = tuple(there[name][ending] for ending in endings)
    if "train" not in found:
        wanted = " and ".join(f"train.{ending}" for ending in endings)
        raise InvalidData(f"{folder}: no training lines; expected {wanted} ({_COMPRESSED} may follow)")
    return found


def two_endings(folder: Path) -> list[str]:
    """Return what files of a training split end in, such as `en` and `de`."""
    found = {_parts(path)[1] for path in folder.iterdir() if path.is_file() and _parts(path)[0] in _NAMES["train"]}
    return sorted(found - {""})


def text_advice(folder: Path) -> str:
    """Return how a job reads the lines of a folder, to follow a message; empty where it holds no such files."""
    endings = two_endings(folder)
    if not endings:
        return ""
    if len(endings) == 1:
        return f"; its text is read with data.source: text and data.options.language: {endings[0]}"
    listed = ", ".join(endings[:2] if len(endings) == 2 else ["SOURCE", "TARGET"])
    return f"; its text is read with data.source: parallel_text and data.options.languages: [{listed}]"


def _by_name(folder: Path, endings: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Return name -> ending -> file; a plain file comes before a compressed one."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir(), reverse=True):
        name, ending = _parts(path)
        if ending in endings and path.is_file():
            found.setdefault(name, {})[ending] = path
    return found


def _parts(path: Path) -> tuple[str, str]:
    """Return the name and the ending of a file, without what says that it is compressed."""
    name, _, ending = path.name.removesuffix(_COMPRESSED).rpartition(".")
    return name, ending


def _test_name(folder: Path, there: Mapping[str, object], test: str | None) -> str | None:
    """Return the name of the test split; None where there is none."""
    known = sorted(name for name in there if name.startswith("test"))
    if test is not None and test not in there:
        raise FieldError("options.test", f"must be one of {', '.join(known) or 'none'}, in {folder}, got {test!r}")
    if test is None and len(known) > 1:
        raise FieldError("options.test", f"must name the test split, one of {', '.join(known)}, in {folder}")
    return test or (known[0] if known else None)
