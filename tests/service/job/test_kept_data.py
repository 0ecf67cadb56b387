"""A job keeps its split: changed data are refused before any work, or taken; data may move."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from nas.data.kept_split import KeptSplit
from service.cli import app
from service.job.files import read_fields
from service.job.kept_data import SPLIT
from tests.nas.data.pictures import picture, write_folder

SPACE = {"stage_widths": [8], "strides": [1], "depths": [1, 2], "last_width": 8, "feature_width": 8}
JOB = {
    "name": "photos",
    "device": "cpu",
    "data": {"source": "folder", "path": "photos", "validation_fraction": 0.2},
    "space": {"name": "small_mobilenet_v3", "options": SPACE},
    "train": {"epochs": 1, "batch_size": 8},
    "search": {"evaluations": 4, "population": 4, "calibration_examples": 16},
    "tracking": {"enabled": False},
}


def nas(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, a job file and the folder of the finished job, `run`."""
    place = tmp_path_factory.mktemp("kept")
    write_folder(place / "photos", {"cat": 12, "dog": 12})
    (place / "job.yaml").write_text(yaml.safe_dump(JOB))
    assert nas("run", str(place / "job.yaml"), "--output", str(place / "run"))[0] == 0
    return place


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    """The same in a place of its own, so that a test may change it; times of files are those of the copies."""
    return Path(shutil.copytree(finished, tmp_path / "place"))


def reopened(place: Path) -> Path:
    """The job folder as if it had not come to its result yet."""
    for name in ("result.json", "front.json"):
        (place / "run" / name).unlink()
    return place / "run"


def split_of(folder: Path) -> dict[str, set[str]]:
    kept = KeptSplit.from_bytes((folder / SPLIT).read_bytes())
    return {name: set(members.names or ()) for name, members in kept.splits.items()}


def test_a_relative_path_is_found_from_the_job_file_wherever_it_is_started(
    finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    assert read_fields(finished / "job.yaml")["data"]["path"] == str(finished / "photos")
    assert nas("run", str(finished / "run"))[0] == 0


def test_a_job_folder_that_moves_with_its_data_finds_them(place: Path, finished: Path):
    record = json.loads((place / "run" / "job.json").read_text())
    assert record["job"]["data"]["path"] == str(finished / "photos")
    record["job"]["data"]["path"] = "/no/such/place/photos"
    (place / "run" / "job.json").write_text(json.dumps(record))
    assert read_fields(place / "run" / "job.json")["data"]["path"] == str(place / "photos")


@pytest.mark.parametrize("text", ["~/photos", "$PLACE/photos", "${PLACE}/photos"])
def test_home_and_variables_are_followed(text: str, finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(finished))
    monkeypatch.setenv("PLACE", str(finished))
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(JOB | {"data": {"source": "folder", "path": text}}))
    code, output = nas("show", str(tmp_path / "job.yaml"))
    assert (code, yaml.safe_load(output)["data"]["path"]) == (0, str(finished / "photos"))


def test_a_variable_that_is_not_set_is_named(finished: Path):
    code, output = nas("run", str(finished / "job.yaml"), "--set", "data.path=$NOT_SET/photos")
    assert code == 2
    assert "the environment variable NOT_SET is not set" in output


def test_an_image_more_is_refused_before_any_work(place: Path):
    folder = reopened(place)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != "lock"}
    picture(5, 5).save(place / "photos" / "cat" / "00.png")
    photos = f"data.path={place / 'photos'}"
    code, output = nas("run", str(folder), "--set", photos)
    assert code == 2
    (line,) = output.strip().splitlines()
    assert "24 images (fingerprint" in line
    assert "25 (fingerprint" in line
    assert "1 added (cat/00.png)" in line
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != "lock"} == before


@pytest.mark.parametrize("command", [("retrain",), ("export",), ("profile",), ("search", "--from")])
@pytest.mark.parametrize("change", ["class", "names", "grey"])
def test_other_data_are_one_line_for_every_command(command: tuple[str, ...], change: str, place: Path):
    photos = place / "photos"
    if change == "class":
        write_folder(photos, {"bird": 6}, first=50)
    elif change == "names":
        (photos / "cat").rename(photos / "bird")
    else:
        shutil.rmtree(photos)
        write_folder(photos, {"cat": 12, "dog": 12}, mode="L")
    more = ("--output", str(place / "new")) if command[0] == "search" else ()
    code, output = nas(*command, str(place / "run"), "--set", f"data.path={photos}", *more)
    assert code == 2
    assert len(output.strip().splitlines()) == 1
    assert output.count("(fingerprint") == 2
    assert not (place / "new").exists()


def test_changed_data_are_taken_where_the_job_says_so(place: Path):
    folder = reopened(place)
    before = split_of(folder)
    for number in range(3):
        picture(9, number).save(place / "photos" / "cat" / f"00{number}.png")
    gone = sorted(before["test"])[0]
    (place / "photos" / gone).unlink()
    code, output = nas("run", str(folder), "--set", f"data.path={place / 'photos'}", "--set", "data.changed=keep")
    assert code == 0, output
    assert "3 added" in output
    after = split_of(folder)
    assert after["validation"] == before["validation"]
    assert after["test"] == before["test"] - {gone}
    assert after["train"] == before["train"] | {f"cat/00{number}.png" for number in range(3)}
    assert nas("retrain", str(folder), "--epochs", "1")[0] == 0  # what was taken once is the data of the job


def test_moved_data_are_taken_by_their_content_and_remembered(place: Path):
    new = (place / "photos").rename(place / "elsewhere")
    for command in (("export", "--format", "safetensors"), ("retrain", "--epochs", "1"), ("run",)):
        code, output = nas(*command, str(place / "run"), "--set", f"data.path={new}")
        assert code == 0, output
    assert json.loads((place / "run" / "job.json").read_text())["job"]["data"]["path"] == str(new)
    assert nas("export", str(place / "run"), "--format", "safetensors")[0] == 0


def test_another_job_is_still_another_job(place: Path):
    code, output = nas("retrain", str(place / "run"), "--set", "train.batch_size=4")
    assert code == 2
    assert "train.batch_size: 8 there, 4 now" in output


def test_a_search_of_another_split_is_refused(finished: Path, tmp_path: Path):
    arguments = ("search", "--from", str(finished / "run"), "--output", str(tmp_path / "new"))
    code, output = nas(*arguments, "--set", "data.validation_fraction=0.4")
    assert code == 2
    assert "data.validation_fraction: 0.2 there, 0.4 now" in output


def test_a_job_of_an_earlier_version_goes_on_and_is_compared_by_its_numbers(place: Path):
    folder, photos = place / "run", f"data.path={place / 'photos'}"
    record = json.loads((folder / "job.json").read_text())
    record["job"]["data"]["path"] = str(place / "photos")
    (folder / "job.json").write_text(json.dumps(record))
    (folder / SPLIT).unlink()
    assert nas("retrain", str(folder), "--epochs", "1")[0] == 0
    assert split_of(folder)["train"]  # written from now on
    (folder / SPLIT).unlink()
    shutil.rmtree(folder / "retrain")
    for number in range(8):
        picture(9, number).save(place / "photos" / "cat" / f"00{number}.png")
    code, output = nas("retrain", str(folder), "--epochs", "1")
    assert code == 2
    assert "when they were judged" in output
    assert photos.removeprefix("data.path=") in output


def test_a_damaged_split_is_one_line(place: Path):
    (place / "run" / SPLIT).write_bytes(b"no")
    code, output = nas("retrain", str(place / "run"))
    assert code == 2
    assert f"{place / 'run' / SPLIT}: damaged" in output


def test_a_class_folder_with_a_name_that_is_no_text_trains_and_exports(tmp_path: Path):
    write_folder(tmp_path / "photos", {"cat": 12, "dog": 12})
    os.rename(os.fsencode(tmp_path / "photos" / "cat"), os.fsencode(tmp_path / "photos") + b"/caf\xe9")
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(JOB))
    code, output = nas("run", str(tmp_path / "job.yaml"), "--output", str(tmp_path / "run"))
    assert code == 0, output
    code, output = nas("export", str(tmp_path / "run"), "--format", "safetensors")
    assert code == 0, output
    (card,) = (tmp_path / "run").glob("export/*/card.json")
    assert "caf\\\\xe9" in card.read_text()
    kept = KeptSplit.from_bytes((tmp_path / "run" / SPLIT).read_bytes())
    assert np.unique(kept.splits["test"].labels).tolist() == [0, 1]
