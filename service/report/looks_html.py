"""Pictures of the networks of a front, and the mistakes of the best one."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search_spaces.anatomy import Anatomy, decided
from service.job.looks_file import Shown, read_anatomy, read_mistakes
from service.report.markup import text
from service.report.network_svg import network_svg

Record = Mapping[str, Any]


def anatomy_of(folder: Path, front: Record, member: Record) -> Anatomy:
    """Return what a member is made of; its decisions where the job did not keep more.

    Args:
        folder: Folder of the job.
        front: Content of its `front.json`.
        member: Member of the front.

    Raises:
        DamagedFile: The file that tells it is damaged.
        ValueError: The key is not a valid name of a file.
    """
    kept = read_anatomy(folder, str(member["key"]))
    return kept if kept is not None else decided(list(front.get("decisions") or ()), member["architecture"])


def picture(folder: Path, front: Record, member: Record) -> str:
    """Return the picture of a member as HTML, or why there is none."""
    try:
        return f"<div class='picture'>{network_svg(anatomy_of(folder, front, member))}</div>"
    except ValueError as error:
        return f"<p class='mark'>{text(error)}</p>"


def mistakes_html(folder: Path, key: str, examples: str) -> Iterator[str]:
    """Yield the test examples on which a member went wrong the most; nothing where a job has none.

    Args:
        folder: Folder of the job.
        key: Key of the member.
        examples: Name of the examples of the data, in the plural.
    """
    try:
        found = read_mistakes(folder, key)
    except ValueError as error:
        yield f"<p class='mark'>{text(error)}</p>"
        return
    if found:
        yield f"<h3>The worst mistakes on the test {text(examples)}</h3>"
        yield f"<div class='shots'>{''.join(map(_figure, found))}</div>"


def _figure(shown: Shown) -> str:
    name = text(Path(shown.name).name)
    image = ""
    if shown.picture is not None:
        source = f"data:image/png;base64,{b64encode(shown.picture).decode()}"
        image = f"<img alt='{name}' src='{source}'>"
    caption = f"{text(shown.text)}<br><span class='quiet' title='{text(shown.name)}'>{name}</span>"
    kind = "" if image else " class='said'"
    return f"<figure{kind}>{image}<figcaption>{caption}</figcaption></figure>"
