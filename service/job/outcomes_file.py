"""The outcomes of the members of a front for each example, as files of the job folder beside their weights.

`front/KEY.validation.npz` and `front/KEY.test.npz` hold `Outcomes`, without pickles: the array `scores`, and the
columns of the task. `front/KEY.breakdown.json` holds what the task reads from them.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from service.job.damage import DamagedFile
from service.job.folder import read_json, write_json, write_whole
from supernets.tasks.outcomes import Breakdown, Outcomes

SPLITS = ("validation", "test")
_SCORES = "scores"


def write_outcomes(folder: Path, key: str, split: str, outcomes: Outcomes) -> Path:
    """Write the outcomes of a member on a split into a job folder, whole or not at all."""
    content = io.BytesIO()
    columns: dict[str, Any] = {**outcomes.columns, _SCORES: outcomes.scores}
    np.savez_compressed(content, **columns)
    return write_whole(member_file(folder, key, f"{split}.npz"), content.getvalue(), durable=False)


def read_outcomes(folder: Path, key: str, split: str) -> Outcomes | None:
    """Return the outcomes of a member on `validation` or `test`; None where the job has none.

    Raises:
        DamagedFile: The file is damaged.
        ValueError: The key is not a valid name of a file.
    """
    path = member_file(folder, key, f"{split}.npz")
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return Outcomes(arrays.pop(_SCORES), arrays)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, AttributeError, KeyError, ValueError) as error:
        raise DamagedFile([f"{path}: damaged outcomes ({error}); delete the file to go on without them"]) from error


def write_breakdowns(folder: Path, key: str, breakdowns: Mapping[str, Breakdown]) -> Path:
    """Write what the task reads from the outcomes of a member, by split."""
    content = {split: breakdown.to_json() for split, breakdown in breakdowns.items()}
    return write_json(member_file(folder, key, "breakdown.json"), content, durable=False)


def read_breakdown(folder: Path, key: str, split: str = "test") -> Breakdown:
    """Return what the task reads from the outcomes of a member on a split; empty where the job has nothing.

    Raises:
        DamagedFile: The file is damaged.
        ValueError: The key is not a valid name of a file.
    """
    path = member_file(folder, key, "breakdown.json")
    try:
        content = (read_json(path) or {}).get(split)
        return Breakdown() if content is None else Breakdown.from_json(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedFile([f"{path}: damaged breakdown ({error}); delete the file to go on without it"]) from error


def member_file(folder: Path, key: str, ending: str) -> Path:
    """Return where a file of a member lies; keys come from files that may be someone else's."""
    if key in ("", ".", "..") or Path(key).name != key or "\\" in key or "\0" in key:
        raise ValueError(f"{folder}: the key of a member must be a name, got {key!r}")
    return folder / "front" / f"{key}.{ending}"
