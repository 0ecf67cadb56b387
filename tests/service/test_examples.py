"""The examples do what they say, started as their first lines show."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from nas.data import DataConfig
from nas.data.load import open_source
from service.cli import app
from service.queue.executors.executor import Ticket
from service.queue.pipeline import drafts
from service.queue.sweeps import combinations

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
QUICK = ["train.epochs=1", "search.evaluations=8", "search.population=4", "tracking.enabled=false"]


def run(command: list[str], folder: Path) -> str:
    """What a command prints, run in a folder that is not that of the examples."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def nas(folder: Path, *arguments: str, sets: tuple[str, ...] | list[str] = ()) -> str:
    changed = [word for setting in sets for word in ("--set", setting)]
    return run([sys.executable, "-m", "service.cli", *arguments, *changed], folder)


@pytest.mark.integration
@pytest.mark.parametrize("name", ["own_space", "own_objective", "own_sampler"])
def test_jobs_with_parts_of_one_s_own_run_from_another_folder(name: str, tmp_path: Path) -> None:
    nas(tmp_path, "run", str(EXAMPLES / f"{name}.yaml"), "--output", "job", sets=QUICK)
    front = json.loads((tmp_path / "job" / "front.json").read_text())
    assert front["members"]
    if name == "own_objective":
        assert all(0 < member["values"]["activations_kb"] <= 64 for member in front["members"])
    if name == "own_space":
        assert all(member["values"]["macs"] > 0 for member in front["members"])


def test_the_pipeline_is_one() -> None:
    content = yaml.safe_load((EXAMPLES / "pipeline.yaml").read_text())
    made = drafts(content, [], Ticket(name="", directory=str(ROOT)), "pipeline.yaml")
    assert [draft.key for draft in made] == ["supernet", "small", "large", "tuned"]


def test_the_sweep_is_a_command_that_is_understood_and_has_six_jobs() -> None:
    words = shlex.split((EXAMPLES / "slurm_sweep.sh").read_text().splitlines()[-1])
    assert words[:3] == ["nas", "submit", "$job"]
    assert words[-1] == "$@"
    command = typer.main.get_command(app).commands["submit"]
    given = command.make_context("submit", ["quickstart", *words[3:-1]]).params
    assert given["queue"] == "slurm"
    sweeps = next(value for value in given.values() if isinstance(value, list | tuple) and "seed=1,2,3" in value)
    assert len(combinations(sweeps)) == 6


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of photos with all oddities."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    sys.path.insert(0, str(EXAMPLES / "photos"))
    try:
        import make_photos
    finally:
        sys.path.pop(0)
    make_photos.make(folder, train=12, test=6)
    return folder


def test_photos_are_read_in_spite_of_their_oddities(photos: Path) -> None:
    source = open_source(DataConfig(source="folder", path=str(photos), on_error="skip"))
    assert source.facts["classes"] == 4
    assert source.sizes["test"] == 4 * (6 + 7) + 1


@pytest.mark.integration
def test_photos_end_to_end(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
    sets = [
        *("data.source=folder", f"data.path={photos}", "data.on_error=skip", "data.image_size=32"),
        *("space.options.strides=[2, 2, 2]", "search.objectives=[accuracy, macs]", *QUICK),
    ]
    nas(tmp_path, "run", "quickstart", "--output", "job", sets=sets)
    nas(tmp_path, "export", "job", "--format", "onnx", "--with-preprocessing")
    (model,) = (tmp_path / "job" / "export").glob("*/model.from_image.onnx")
    shown = [photos / "Test" / "star" / name for name in ("star_000.jpg", "star_rotated.jpg", "star_alpha.png")]
    said = run([sys.executable, str(EXAMPLES / "photos" / "predict.py"), str(model), *map(str, shown)], tmp_path)
    assert len(said.splitlines()) == 3
    assert all(
        any(shape in line.split(": ")[1] for shape in ("circle", "square", "star")) or "triangle" in line
        for line in said.splitlines()
    )


def test_rotated_photos_are_stored_lying(photos: Path) -> None:
    image = Image.open(photos / "Train" / "star" / "star_rotated.jpg")
    assert image.getexif()[0x0112] == 6
    assert np.asarray(image).ndim == 3
