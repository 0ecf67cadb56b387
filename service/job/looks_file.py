"""Pictures of the members of a front, as files of the job folder beside their weights.

`front/KEY.network.json` holds what the network is made of. `front/KEY.mistakes.json` holds the test examples on which
it went wrong the most, with small pictures where the data have some.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search_spaces.anatomy import Anatomy
from service.job.damage import DamagedFile
from service.job.folder import read_json, write_json
from service.job.outcomes_file import member_file

LARGEST_PICTURE_BYTES = 60_000
PNG = b"\x89PNG\r\n\x1a\n"
"""What every PNG file begins with."""


@dataclass(frozen=True)
class Shown:
    """A test example on which a network went wrong.

    Args:
        name: What the data call it, such as the path of its file.
        text: What was wrong.
        picture: A PNG file; None where there is none.
    """

    name: str
    text: str
    picture: bytes | None = None


def write_anatomy(folder: Path, key: str, anatomy: Anatomy) -> Path:
    """Write what a member is made of."""
    return write_json(member_file(folder, key, "network.json"), anatomy.to_json(), durable=False)


def has_anatomy(folder: Path, key: str) -> bool:
    """Return whether it is written what a member is made of."""
    return member_file(folder, key, "network.json").exists()


def read_anatomy(folder: Path, key: str) -> Anatomy | None:
    """Return what a member is made of; None where the job did not keep it.

    Raises:
        DamagedFile: The file is damaged.
        ValueError: The key is not a valid name of a file.
    """
    path = member_file(folder, key, "network.json")
    try:
        content = read_json(path)
        return None if content is None else Anatomy.from_json(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedFile([f"{path}: damaged ({error}); delete the file to go on without it"]) from error


def write_mistakes(folder: Path, key: str, mistakes: Sequence[Shown]) -> Path:
    """Write the examples on which a member went wrong the most; pictures that are too large are left out."""
    content = []
    for one in mistakes:
        fits = one.picture is not None and len(one.picture) <= LARGEST_PICTURE_BYTES
        picture = b64encode(one.picture).decode() if one.picture is not None and fits else None
        content.append({"name": one.name, "text": one.text, "png": picture})
    return write_json(member_file(folder, key, "mistakes.json"), {"mistakes": content}, durable=False)


def read_mistakes(folder: Path, key: str) -> list[Shown]:
    """Return the examples on which a member went wrong the most; none where the job did not keep them.

    Raises:
        DamagedFile: The file is damaged, or a picture is no PNG file.
        ValueError: The key is not a valid name of a file.
    """
    path = member_file(folder, key, "mistakes.json")
    try:
        content = (read_json(path) or {}).get("mistakes", [])
        return [Shown(str(one["name"]), str(one["text"]), _picture(one.get("png"))) for one in content]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedFile([f"{path}: damaged ({error}); delete the file to go on without it"]) from error


def _picture(text: str | None) -> bytes | None:
    if text is None:
        return None
    picture = b64decode(text, validate=True)
    if not picture.startswith(PNG) or len(picture) > LARGEST_PICTURE_BYTES:
        raise ValueError("a picture is no small PNG file")
    return picture
