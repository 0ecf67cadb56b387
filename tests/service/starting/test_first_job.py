"""A first job for a folder of images is chosen by what was measured here, and every line of it says why."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nas.data import DataConfig
from service.cli import app
from service.commands.init import Asked, seconds_of
from service.errors import InvalidJob
from service.job.given_data import data_fields, is_data
from service.job.job import Job, SpaceConfig
from service.job.loading import load_job
from service.starting.budget import Speed, enough, predicted, shared_out
from service.starting.first_job import FirstJob, Wish, leading_from
from service.starting.spaces import given_model, offered_spaces
from supernets.estimate import Estimate

SPEED = Speed(load_s=1, step_s=0.1, look_s=1, quality_s=0.5, latency_s=0.2, epoch_steps=10, test_share=2)

NETWORKS = "tests.search_spaces.traced_spaces.networks"


def write_photos(folder: Path, count: int = 40, side: int = 16) -> Path:
    """Images of two classes that differ in brightness."""
    generator = np.random.default_rng(0)
    for number in range(count):
        place = folder / ("dark", "light")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 120, (side, side, 3)) + 120 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return folder


@pytest.mark.parametrize("budget_s", [120, 600, 1800, 7200])
def test_training_and_search_fill_the_budget(budget_s: float) -> None:
    shares = shared_out(SPEED, budget_s)
    assert 0.9 * budget_s <= shares.total_s <= 1.03 * budget_s or (shares.epochs, shares.evaluations) == (200, 400)
    assert shares == predicted(SPEED, shares.epochs, shares.evaluations)


def test_a_budget_that_is_too_short_gets_the_least_that_makes_sense() -> None:
    shares = shared_out(SPEED, 10)
    assert (shares.epochs, shares.evaluations) == (3, 30)
    assert shares.total_s > 13
    assert not enough(shares)


@pytest.mark.parametrize("size", [8, 16, 28, 32, 48, 64, 65, 96, 224])
def test_every_offered_space_is_one_and_they_go_from_large_to_small(size: int) -> None:
    costs = []
    for offered in offered_spaces(size):
        data = f"data={{source: noise, image_size: {size}}}"
        job = load_job("quickstart", [data, f"space={{name: {offered.name}, options: {offered.options}}}"])
        from service.job.building import build_space

        space = build_space(job)
        costs.append(space.costs([space.largest()])["macs"][0])
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("1.5h", 5400), ("90s", 90), ("2 hours", 7200), ("5 min", 300)]
)
def test_budgets_are_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["30", "-3m", "0m", "soon", "1e9h", ""])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InvalidJob, match="--budget: must be a time such as 30m"):
        seconds_of(text)


@pytest.mark.parametrize(("text", "limit"), [("2 ms", 2), ("2", 2), ("<= 2 ms", 2), ("2000 us", 2), ("0.002 s", 2)])
def test_a_limit_is_a_time(text: str, limit: float) -> None:
    wish = Asked(latency=text).wish("photos", None)
    assert wish.latency_ms == pytest.approx(limit)


@pytest.mark.parametrize("text", ["2 GB", ">= 2 ms", "fast", "-1 ms", "0"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(InvalidJob, match="--latency: "):
        Asked(latency=text).wish("photos", None)


def test_data_are_told_from_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "quickstart", "job"):
        Path(folder).mkdir()
    Path("job/job.json").touch()
    assert [is_data(name) for name in ("photos", "photos/", "quickstart", "job", "my.yaml", "")] == [
        True,
        True,
        *[False] * 4,
    ]


def test_what_is_no_data_is_refused_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for text, told in (
        ("nowhere", "no such folder, file or source"),
        ("", "no such folder, file or source"),
        (str(tmp_path / "notes.txt"), "is not a source of data"),
    ):
        with pytest.raises(InvalidJob, match=f"DATA: .*{told}; give a folder with one folder of images"):
            data_fields(text, "DATA")
    (tmp_path / "PHOTOS.NPZ").touch()
    assert data_fields(str(tmp_path / "PHOTOS.NPZ"), "DATA")["source"] == "npz"
    assert data_fields("hfds/owner/name", "DATA") == {"source": "timm", "dataset": "hfds/owner/name"}


def test_a_recipe_runs_on_other_data(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    job = load_job("quickstart", data=str(photos))
    assert (job.data.source, job.data.path, job.data.crop_padding) == ("folder", str(photos), None)
    assert job.space == load_job("quickstart").space
    again = load_job("quickstart", ["data.image_size=16"], data=str(photos))
    assert again.data.image_size == 16
    own = tmp_path / "my.yaml"
    own.write_text("{name: my, data: {source: folder, path: gone, flip: false}, space: {name: small_mobilenet_v3}}")
    assert load_job(own, data=str(photos)).data.flip is False


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["init", "empty"], "no images"),
        (["init", "nowhere"], "no such folder"),
        (["init", "photos", "--latency", "2 GB"], "'GB' is not a unit"),
        (["init", "photos", "--output", "there.yaml"], "is there already"),
        (["init", "photos", "--output", "job.txt"], "must be a .yaml file"),
        (["run", "empty"], "no images"),
        (["run", "quickstart", "--latency", "2 GB"], "--latency: 'GB' is not a unit"),
        (["run", "photos", "--set", "space.name=timm"], "--set space.name=timm: the space for photos is chosen by"),
        (["run", "photos", "--checkpoint", "a.pth"], "--checkpoint: needs --model NAME, whose weights 'a.pth' holds"),
        (["init", "photos", "--model", "resnet19"], "space.options.model: must be a name of timm or package.module:"),
        (["init", "photos", "--model", "test_resnet", "--checkpoint", "a.pth"], "space.options.checkpoint: must be a "),
        (["run", "photos", "--data", "photos"], "is data already"),
        (["run", "quickstart", "--data", "nowhere"], "--data: 'nowhere': no such folder, file or source"),
    ],
)
def test_what_cannot_be_a_first_job_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    Path("empty").mkdir()
    Path("there.yaml").touch()
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert told in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "photos", "there.yaml"]


def test_options_of_a_first_job_are_settings_of_a_recipe() -> None:
    asked = Asked(latency="2000 us", size=64, model="resnet18", checkpoint="a.pth")
    assert asked.sets() == [
        "search.constraints.latency_ms=<= 2",
        "data.image_size=64",
        "space.options.model=resnet18",
        "space.options.checkpoint=a.pth",
    ]
    assert Asked().sets() == []
    own = Asked(model="package.module:function").sets()
    assert own == ["space.options.model=package.module:function", "space.options.pretrained=false"]


def test_a_file_in_another_folder_names_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wish = Wish(data="photos", model="resnet18", checkpoint="a.pth")
    first = FirstJob(
        wish=wish,
        job=Job(name="photos", space=SpaceConfig(name="timm"), data=DataConfig(source="folder", path="photos")),
        space=given_model("resnet18", "a.pth"),
        facts={},
        sizes={},
        speed=SPEED,
        shares=shared_out(SPEED, 600),
        latencies=(Estimate(1), Estimate(2)),
    )
    beside, below = (leading_from(first, Path(file)) for file in ("a.yaml", "runs/a.yaml"))
    assert (beside.job.data.path, beside.space.options["checkpoint"]) == ("photos", "a.pth")
    whole = (str(tmp_path.resolve() / "photos"), str(tmp_path.resolve() / "a.pth"))
    assert (below.job.data.path, below.space.options["checkpoint"]) == whole


@pytest.mark.integration
def test_a_model_and_a_folder_become_a_job_that_adapts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    model = f"{NETWORKS}:small"
    done = CliRunner().invoke(app, ["init", "photos", "--model", model, "--latency", "1 s", "--budget", "10m"])
    assert done.exit_code == 0, done.stderr
    text = Path("photos.yaml").read_text()
    assert all("#" in line for line in text.splitlines() if line)
    job = load_job("photos.yaml")
    assert "pixels, found in the data;" in text
    assert (job.space.name, job.space.options) == ("timm", {"model": model})
    assert (job.train.schedule, job.train.adapt.lr) == ("adapted", job.train.lr / 2)
    assert job.search.constraints == {"latency_ms": "<= 1000"}


@pytest.mark.integration
def test_a_folder_becomes_a_job_that_says_why_and_an_impossible_limit_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    refused = CliRunner().invoke(app, ["init", "photos", "--latency", "1 us"])
    assert refused.exit_code == 2
    assert "--latency: 0.001 ms can't be met: the smallest network offered" in refused.stderr
    assert not Path("photos.yaml").exists()
    first = next(Path("photos").rglob("*.png"))
    (first.parent / "half.png").write_bytes(first.read_bytes()[:40])
    done = CliRunner().invoke(app, ["init", "photos", "--latency", "1 s", "--budget", "10m"])
    assert done.exit_code == 0, done.stderr
    assert "half.png cannot be decoded" in next(
        line for line in done.stdout.splitlines() if line.startswith("left out")
    )
    assert "next       nas run photos.yaml --output runs/photos" in done.stdout
    text = Path("photos.yaml").read_text()
    assert all("#" in line for line in text.splitlines() if line)
    job = load_job("photos.yaml")
    assert "path: photos " in text
    assert (Path(str(job.data.path)).name, job.data.image_size, job.data.on_error) == ("photos", 16, "skip")
    assert job.search.constraints == {"latency_ms": "<= 1000"}
    assert job.train.epochs >= 3
