"""Damaged files of a job folder: what is lost with each of them, and how to get it back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from service.errors import InvalidJob


class DamagedFile(InvalidJob):
    """A file of a job folder that cannot be read; the message names it, what is lost and how to go on."""


@dataclass(frozen=True)
class _Kept:
    """The role of a file of a job folder.

    Args:
        below: Number of folders between the job folder and the file.
        lost: What is lost with the file.
        again: How to go on; `{folder}` stands for the job folder.
    """

    below: int
    lost: str
    again: str


_RUN = "make it again with: nas run {folder}"
_KEPT = {
    "job.json": _Kept(0, "the settings of the job", "put a copy back, or run the job in another folder"),
    "front.json": _Kept(0, "the front", _RUN),
    "result.json": _Kept(0, "the summary of the job", _RUN),
    "task.json": _Kept(0, "what the job is for", _RUN),
    "hypervolume.json": _Kept(1, "the progress of the search", _RUN),
    "proxies.json": _Kept(1, "how well proxies ranked", "remove it to go on without it"),
    "journal.jsonl": _Kept(
        1,
        "what the search has evaluated",
        "put a copy back, or remove it: nas run {folder} searches again where that is needed",
    ),
    "progress.jsonl": _Kept(0, "the course of the job", "remove it to go on without it"),
    "retrained": _Kept(2, "the record of this fine-tuning", "make it again with: nas retrain {folder}"),
}
MADE_AGAIN = ("front.json", "result.json", "task.json", "search/hypervolume.json")
"""Files of a job folder that a run makes again from the others."""


def check_shape(path: Path, content: Any) -> None:
    """Refuse content that the file of a job folder cannot have.

    Raises:
        DamagedFile: The content is wrong; the message says where.
    """
    if (wrong := shape_mistake(_kind(path), content)) is not None:
        refuse(path, wrong)


def shape_mistake(kind: str, content: Any) -> str | None:
    """Return what is wrong with the content of a kind of file, None where nothing is; see `mistake_in`."""
    from service.job.file_shapes import mistake_in  # takes a while to import

    return mistake_in(kind, content)


def refuse(path: Path, why: str) -> NoReturn:
    """Say what is lost with a file of a job folder, and how to go on.

    Raises:
        DamagedFile: Always.
    """
    kept = _KEPT.get(_kind(path))
    if kept is None:
        raise DamagedFile([f"{path}: damaged ({why}); put a copy back, or remove it"])
    folder = path.parents[kept.below] if len(path.parents) > kept.below else path.parent
    raise DamagedFile([f"{path}: damaged ({why}), {kept.lost} cannot be read; {kept.again.format(folder=folder)}"])


def _kind(path: Path) -> str:
    return "retrained" if path.name == "result.json" and path.parent.parent.name == "retrain" else path.name
