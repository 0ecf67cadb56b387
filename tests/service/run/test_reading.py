"""A job reads its data before anything is trained, names what is unusable in its folder, and says what was done."""

from pathlib import Path
from typing import Any

import pytest
import torch

from service.errors import InvalidJob
from service.job.kept_data import job_data
from service.job.loading import job_of
from service.job.preparation import prepare_folder
from service.run import reading
from service.run.events import Events
from service.run.reading import UNUSABLE, read_data
from service.run.run import run
from supernets import Processes
from tests.nas.data.odd_pictures import photo
from tests.nas.data.pictures import picture, write_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = write_folder(tmp_path / "photos", {"cat": 6, "dog": 6})
    for number in range(12):
        (root / "cat" / f"bad{number}.jpg").write_text("no image")
    (root / "dog" / "turned.png").write_bytes(photo("PNG", 6))
    return root


def job_on(photos: Path, **data: Any):
    fields = {"source": "folder", "path": str(photos), "image_size": 16, **data}
    return job_of({"name": "photos", "data": fields, "space": {"name": "conv_macro"}, "tracking": {"enabled": False}})


def test_unusable_examples_are_all_named_before_anything_is_trained(photos: Path, tmp_path: Path):
    job = job_on(photos)
    folder = prepare_folder(job, tmp_path / "job")
    events: list[dict[str, Any]] = []
    with pytest.raises(InvalidJob) as caught:
        run(folder, job, events.append)
    first, *_, more, where = caught.value.mistakes
    assert "12 of 25 images cannot be used" in first
    assert (more, where) == ("  and 2 more", f"  all of them: {folder / UNUSABLE}")
    assert len((folder / UNUSABLE).read_text().splitlines()) == 12
    assert {event["event"] for event in events} == {"failed"}


def test_a_job_without_them_says_so_and_names_them(photos: Path, tmp_path: Path):
    job = job_on(photos, on_error="skip")
    events = Events(tmp_path, job, lambda event: None, Processes())
    data = read_data(job_data(job, tmp_path), torch.device("cpu"), events)
    assert sum(data.sizes.values()) == 13
    assert list(data.remarks) == [
        "12 of 25 images cannot be used and are left out",
        "1 of 13 images is turned upright, as EXIF says",
    ]
    assert "bad11.jpg" in (tmp_path / UNUSABLE).read_text()
    for path in photos.rglob("bad*.jpg"):
        picture(0, int(path.stem[3:]) + 50).save(path)
    assert sum(read_data(job_data(job, tmp_path), torch.device("cpu"), events).sizes.values()) == 25
    assert not (tmp_path / UNUSABLE).exists()


def test_long_reading_tells_how_far_it_is(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[dict[str, Any]] = []
    job = job_on(photos, on_error="skip")
    monkeypatch.setattr(reading, "_QUICK_S", -1.0)
    events = Events(tmp_path, job, told.append, Processes())
    read_data(job_data(job, tmp_path), torch.device("cpu"), events)
    assert {"event": "data", "done": 25, "total": 25} in told
    assert not (tmp_path / "progress.jsonl").exists(), "that is for displays alone"
