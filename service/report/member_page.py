"""One network of a front as files for places without a whole report: its picture, and a page with all about it."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from service.job.certainty_keys import TEST, TEST_INTERVAL
from service.job.folder import job_name
from service.job.looks_file import PNG
from service.report.job_sections import member_html
from service.report.looks_html import anatomy_of
from service.report.markup import page_of, table, text
from service.report.network_svg import network_svg
from service.report.quantities import shown_of

TRAINING_FILE = "report/training.png"


def member_files(folder: Path, front: Mapping[str, Any], member: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names and the contents of the files about one network.

    Args:
        folder: Folder of the job.
        front: Content of its `front.json` in the terms of this version.
        member: Member of the front.
    """
    yield "network.html", page_of(f"{job_name(folder)} {member['key']}", _body(folder, front, member))
    try:
        yield "network.svg", network_svg(anatomy_of(folder, front, member))
    except ValueError:
        return  # the page says why


def _body(folder: Path, front: Mapping[str, Any], member: Mapping[str, Any]) -> Iterator[str]:
    shown = shown_of(dict(front))
    yield f"<h1><code>{text(member['key'])}</code> of {text(job_name(folder))}</h1>"
    intervals = member.get("intervals") or {}
    rows = [
        (axis.label, axis.sure(member["values"].get(axis.name), intervals.get(axis.name)))
        for axis in (shown.quality, *shown.costs)
    ]
    rows.insert(1, (shown.test.label, shown.test.sure(member.get(TEST), member.get(TEST_INTERVAL))))
    yield table(["", "value"], rows)
    yield from member_html(folder, front, member)
    path = folder / TRAINING_FILE
    if path.is_file() and (content := path.read_bytes()).startswith(PNG):
        source = f"data:image/png;base64,{b64encode(content).decode()}"
        yield "<h3>How the training of its supernet went</h3>"
        yield f"<img alt='training curves' style='max-width:100%' src='{source}'>"
