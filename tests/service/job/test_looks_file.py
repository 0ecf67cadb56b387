"""What is looked at of the members of a front, as files."""

import json
from base64 import b64encode
from io import BytesIO

import pytest
from PIL import Image

from search_spaces.anatomy import Anatomy, Piece
from service.job.damage import DamagedFile
from service.job.looks_file import (
    LARGEST_PICTURE_BYTES,
    Shown,
    has_anatomy,
    read_anatomy,
    read_mistakes,
    write_anatomy,
    write_mistakes,
)


def png(side=8):
    file = BytesIO()
    Image.new("L", (side, side)).save(file, "PNG")
    return file.getvalue()


def test_what_was_written_is_read(tmp_path):
    found = Anatomy(pieces=(Piece(place="a", shape=(3, 4), choices={"kernel": 3}), Piece(place="b", skipped=True)))
    assert (read_anatomy(tmp_path, "k"), has_anatomy(tmp_path, "k"), read_mistakes(tmp_path, "k")) == (None, False, [])
    write_anatomy(tmp_path, "k", found)
    shown = [Shown("a.png", "cat, taken for dog", png()), Shown("row 3", "far off")]
    write_mistakes(tmp_path, "k", shown)
    assert (read_anatomy(tmp_path, "k"), has_anatomy(tmp_path, "k"), read_mistakes(tmp_path, "k")) == (
        *(found, True, shown),
    )


def test_large_pictures_are_left_out(tmp_path):
    write_mistakes(tmp_path, "k", [Shown("a", "b", png() + b"\0" * LARGEST_PICTURE_BYTES)])
    assert read_mistakes(tmp_path, "k") == [Shown("a", "b")]


@pytest.mark.parametrize("key", ["../x", "..", "", "a/b", "/etc/x", "a\\b"])
def test_keys_that_lead_elsewhere_are_refused(tmp_path, key):
    for call in (read_anatomy, read_mistakes, has_anatomy):
        with pytest.raises(ValueError, match="must be a name"):
            call(tmp_path, key)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", '{"mistakes": 3}', '{"mistakes": [{"name": "a"}]}', '{"pieces": [{}], "graphs": []}'),
        json.dumps({"mistakes": [{"name": "a", "text": "b", "png": b64encode(b"<svg/>").decode()}]}),
    ],
)
def test_damaged_files_are_told_by_name(tmp_path, content):
    (tmp_path / "front").mkdir()
    for name, read in (("network", read_anatomy), ("mistakes", read_mistakes)):
        path = tmp_path / "front" / f"k.{name}.json"
        path.write_text(content)
        if name in content or not content.strip("[]{") or (name == "network" and "pieces" in content):
            with pytest.raises(DamagedFile, match=rf"k\.{name}\.json"):
                read(tmp_path, "k")
