"""Data named on a command line: a folder, an npz file, or a dataset of timm."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service import catalogue
from service.errors import InvalidJob

_TEXT = ("parallel_text", "text")
_TIMM = ("torch/", "hfds/", "hfids/", "tfds/", "wds/")


def data_fields(text: str, option: str) -> dict[str, Any]:
    """Return the fields of the section `data` that stand for what was named.

    Args:
        text: A folder with images, an npz file, a dataset of timm such as `hfds/owner/name`, or the name of a source.
        option: Name of the option in messages.

    Raises:
        InvalidJob: There is no such thing.
    """
    path = Path(text).expanduser()
    if text and path.is_dir():  # an empty text would be the current folder
        return {"source": "npz" if any(path.glob("*train*.npz")) else "folder", "path": str(path)}
    if path.is_file() and path.suffix.lower() == ".npz":
        return {"source": "npz", "path": str(path)}
    if text.startswith(_TIMM):
        return {"source": "timm", "dataset": text}
    if text in catalogue.DATA or ":" in text:
        return {"source": text}
    others = f"a dataset of timm such as hfds/OWNER/NAME, or one of {', '.join(catalogue.DATA)}"
    allowed = f"a folder with one folder of images for each class, an .npz file, {others}"
    wrong = f"{text} is not a source of data" if text and path.exists() else f"{text!r}: no such folder, file or source"
    raise InvalidJob([f"{option}: {wrong}; give {allowed}"])


def on_other_data(fields: Mapping[str, Any], text: str, option: str = "--data") -> dict[str, Any]:
    """Return the fields of a job on other data.

    The settings of data belong to their source: they are kept where the other data have the same source. A path that is
    given to a job on text is one of text.

    Raises:
        InvalidJob: There are no such data.
    """
    own = fields.get("data")
    source = own.get("source") if isinstance(own, Mapping) else None
    if source in _TEXT and text and Path(text).expanduser().exists():
        named = {"source": source, "path": str(Path(text).expanduser())}
    else:
        named = data_fields(text, option)
    kept = dict(own) if isinstance(own, Mapping) and source == named["source"] else {}
    for name in ("path", "test_path", "dataset"):
        kept.pop(name, None)
    return {**fields, "data": {**kept, **named}}


def is_data(text: str) -> bool:
    """Return whether a folder that is named as a job holds data instead: it is no job folder, and no recipe."""
    path = Path(text).expanduser()
    return text != "" and text not in catalogue.recipes() and path.is_dir() and not (path / "job.json").exists()
