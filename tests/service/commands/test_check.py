"""`nas check`, and the same lines at the start of a job."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from service.cli import app
from service.job.building import build_task, data_source
from service.job.loading import load_job
from service.run.data_check import DATA_FILE, check_data
from service.run.events import Events
from supernets import Processes
from tests.nas.data.pictures import write_folder, write_npz

PLUGIN = Path(__file__).parents[2] / "plugin" / "job.yaml"
TOPICS = ["data", "classes", "images", "treatment", "duplicates", "resolution"]


def check(*arguments: str, status: int = 0) -> str:
    """What `nas check` prints."""
    done = CliRunner().invoke(app, ["check", *map(str, arguments)])
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_folder(tmp_path / "photos", {"cat": 60, "dog": 70})
    return tmp_path / "photos"


def test_an_empty_name_is_not_the_current_folder_and_endings_may_be_capitals(tmp_path: Path, photos: Path) -> None:
    assert "DATA: '': no such folder" in check("", status=2)
    shutil.copy(PLUGIN, tmp_path / "JOB.YAML")
    assert "is a job, and" in check(tmp_path / "JOB.YAML", "my.yaml", status=2)


def test_a_folder_has_six_lines(photos: Path) -> None:
    lines = check(photos).splitlines()
    assert [line.partition(":")[0] for line in lines[:6]] == TOPICS
    assert all(line.startswith("warning: ") for line in lines[6:])
    assert "130 images of 2 classes" in lines[0]


def test_data_are_named_by_folder_file_source_or_job(photos: Path, tmp_path: Path) -> None:
    npz = write_npz(tmp_path / "small_train.npz")
    for named in (npz, "digits", "quickstart", photos):
        assert check(named).startswith("data: ")
    assert check("digits", "--set", "data.image_size=16") != check("digits")


def test_a_job_says_what_is_done_with_the_data(photos: Path) -> None:
    found = check(photos, "quickstart", "--set", "train.batch_size=16", "--set", "data.image_size=8")
    assert "centre of 8 x 8 cut out" in found
    assert "train.batch_size" not in found
    assert "train.batch_size=90" in check(photos, "quickstart", "--set", "train.batch_size=90")


def test_json_has_everything(photos: Path) -> None:
    found = json.loads(check(photos, "--json"))
    assert found["sizes"] == {"train": 93, "validation": 11, "test": 26}
    assert sum(sum(counts.values()) for counts in found["by_class"].values()) == 130
    assert found["duplicates"] == {"within": {}, "across": [], "contradicting": 0, "examples": []}
    assert found["resolution"]["test"]["likely"] == pytest.approx(100 * 6 / 26)
    assert found["lines"] == check(photos).splitlines()


def test_data_that_are_no_images_have_the_lines_that_hold_for_them() -> None:
    lines = check(PLUGIN).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["data", "facts", "duplicates"]
    assert "400 patients" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nowhere/photos"], ["nowhere/photos", "no such folder"]),
        (["photoz"], ["photoz", "digits, npz, folder"]),
        (["quickstart", "cifar10"], ["quickstart is a job"]),
        (["digits", "no.yaml"], ["no.yaml"]),
        (["digits", "--set", "data.imag_size=3"], ["image_size"]),
    ],
)
def test_what_cannot_be_checked_is_one_line(arguments: list[str], parts: list[str]) -> None:
    output = check(*arguments, status=2)
    assert all(part in output for part in parts), output
    assert "Traceback" not in output


def test_all_bad_files_are_named(photos: Path) -> None:
    for number in range(12):
        (photos / "cat" / f"bad{number:02}.png").write_bytes(b"no image")
    output = check(photos, status=2)
    assert "12 of 142 images cannot be used" in output
    assert all(f"bad{number:02}.png" in output for number in range(12))


def test_a_job_says_it_once_and_keeps_it(photos: Path, tmp_path: Path) -> None:
    job = load_job("quickstart", ["data.source=folder", f"data.path={photos}", "device=cpu"])
    told: list[dict] = []
    events = Events(tmp_path, job, told.append, Processes())
    data, task = data_source(job.data).load(torch.device("cpu")), build_task(job)
    for _ in range(2):
        check_data(data, job, task, tmp_path, events)
    (event,) = told
    kept = json.loads((tmp_path / DATA_FILE).read_text())
    assert event["lines"] == kept["lines"]
    assert [line.partition(":")[0] for line in kept["lines"][:6]] == TOPICS
    assert kept["targets"]["classes"] == ["cat", "dog"]


def test_it_is_said_again_where_the_data_have_changed(photos: Path, tmp_path: Path) -> None:
    job = load_job("quickstart", ["data.source=folder", f"data.path={photos}", "device=cpu"])
    task, told = build_task(job), list[dict]()
    events = Events(tmp_path, job, told.append, Processes())
    check_data(data_source(job.data).load(torch.device("cpu")), job, task, tmp_path, events)
    shutil.copy(next((photos / "cat").iterdir()), photos / "dog" / "another.png")
    for _ in range(2):
        check_data(data_source(job.data).load(torch.device("cpu")), job, task, tmp_path, events)
    assert [event["lines"][0].split(":")[0] for event in told] == ["data", "data"]
    assert any("are in more than one class" in line for line in told[1]["lines"])
