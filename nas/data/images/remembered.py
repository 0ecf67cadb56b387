"""A cache of facts about unchanged images, so that a large folder is not read again by every run.

It lies in the user's cache folder. Losing it costs only time.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.data.images.samples import Part
from nas.data.images.survey import Survey, Tell, survey

_FORM = 1
_WORTH_S = 2.0
"""Reading that takes less is repeated: that is as fast as remembering it."""


def remembered_survey(part: Part, *, threads: int, tell: Tell | None = None) -> Survey:
    """Return what the images of a part are like, from memory where no file has changed since they were read."""
    stamp = part.samples.stamp(part.indices)
    place = None if stamp is None else _place(stamp)
    if place is not None and (known := _recalled(place)) is not None:
        return known
    start = time.monotonic()
    found = survey(part, threads=threads, tell=tell)
    if place is not None and time.monotonic() - start > _WORTH_S:
        _remember(place, found)
    return found


def _place(stamp: str) -> Path | None:
    """Return the file for images with this stamp; None where the user has no place for caches."""
    try:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home folder
        return None
    name = hashlib.sha256(f"{_FORM} {stamp}".encode()).hexdigest()[:32]
    return root / "espalier" / "images" / f"{name}.json"


def _recalled(place: Path) -> Survey | None:
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
        return Survey(**{name: _plain(name, value) for name, value in content.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None  # there is no cache, or it is damaged


def _plain(name: str, value: Any) -> Any:
    if name == "bad":
        return {int(position): str(why) for position, why in value.items()}
    if name == "sizes":
        return value and tuple(tuple(size) for size in value)
    return tuple(value) if isinstance(value, list) else value


def _remember(place: Path, found: Survey) -> None:
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({**vars(found), "deep": []}), encoding="utf-8")
        temporary.replace(place)
    except OSError:  # a full or read-only disk; the images are read again next time
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
