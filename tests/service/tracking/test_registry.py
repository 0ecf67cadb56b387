"""The model registry of MLflow: complete versions, each file once, loaded where there is nothing of ours."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.export.export_members import Exported, ExportRequest, export
from service.job.loading import load_job
from service.job.tracking import TrackingConfig
from service.tracking.connection import connect
from service.tracking.registry import name_mistake, register
from tests.nas.export.test_export import BLOCK, OURS
from tests.service.test_cli import lines_of_failure, nas
from tests.service.trained_job import keys_of, trained_job

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")

LOAD = """
import mlflow, numpy
uri, place, *models = sys.argv[1:]
mlflow.set_tracking_uri(uri)
example = numpy.load(pathlib.Path(place) / "example.npz")
for model in models:
    loaded = mlflow.pyfunc.load_model(model)
    assert tuple(loaded.metadata.signature.inputs.inputs[0].shape) == (-1, 1, 8, 8)
    assert loaded.input_example["input"].shape == (2, 1, 8, 8)
    # beyond four images comes noise, which calibration has not seen
    exact, sizes = "int8" not in model, (1, 4) if "int8" in model else (1, 8)
    for size in sizes:
        logits, expected = loaded.predict({"input": example["input"][:size]})["output"], example["output"][:size]
        assert logits.shape == (size, 10)
        difference = abs(logits - expected).max() / abs(expected).max()
        assert difference < (1e-3 if exact else 0.25), (model, difference)
    print(model)
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[Exported]]:
    """A finished job, its store, and its members as ONNX, the first in 8 bits too."""
    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    trained_job(folder / "job", tracking=TrackingConfig(enabled=False, uri=uri))
    checked, keys = load_job(str(folder / "job"), []), keys_of(folder / "job")
    first = ExportRequest(folder=folder / "job", job=checked, members=keys[:1], formats=["onnx", "int8"])
    second = ExportRequest(folder=folder / "job", job=checked, members=keys[1:], formats=["onnx"])
    return folder / "job", uri, [*export(first, print), *export(second, print)]


def versions(uri: str) -> dict[str, Any]:
    client = connect(uri)
    found = client.get_registered_model("digits")
    return {alias: client.get_model_version("digits", version) for alias, version in found.aliases.items()}


def test_every_file_is_one_version_and_is_registered_once(job: tuple[Path, str, list[Exported]]) -> None:
    folder, uri, exported = job
    made = register(folder, exported, "digits")
    first, second = keys_of(folder)
    aliases = [first, f"{first}-int8", second]
    assert [version.uri for version in made] == [f"models:/digits@{alias}" for alias in aliases]
    assert all(version.new for version in made)
    again = register(folder, exported, "digits")
    assert [(v.uri, v.version, v.new) for v in again] == [(v.uri, v.version, False) for v in made]
    assert len(connect(uri).search_model_versions("name = 'digits'")) == 3
    registered = versions(uri)
    assert set(registered) == set(aliases)
    for alias, version in registered.items():
        card = exported[alias == second].card
        assert version.tags["nas.key"] == card["key"]
        assert float(version.tags["latency_ms"]) == card["measured"]["latency_ms"]["value"]
        assert {"validation_accuracy", "test_accuracy", "macs", "params"} <= set(version.tags)
        assert version.tags["latency_device"] == "AMD EPYC"
        assert "AMD EPYC" in version.description
        assert "inf" not in json.dumps(version.tags).lower()
        run = connect(uri).get_run(version.run_id)
        assert run.data.tags["nas.key"] == card["key"]


def test_what_an_interrupted_call_left_is_taken_up(job: tuple[Path, str, list[Exported]]) -> None:
    folder, uri, exported = job
    register(folder, exported, "digits")
    client, before = connect(uri), versions(uri)
    for version in before.values():
        client.delete_model_version("digits", version.version)
    register(folder, exported, "digits")
    after = versions(uri)
    assert {alias: version.model_id for alias, version in after.items()} == {
        alias: version.model_id for alias, version in before.items()
    }


@pytest.mark.integration
def test_registered_models_load_without_this_package_and_without_torch(job: tuple[Path, str, list[Exported]]) -> None:
    folder, uri, exported = job
    models = [version.uri for version in register(folder, exported[:1], "digits")]
    blocked = {*OURS, "torch"} - {"mlflow"}
    command = [sys.executable, "-I", "-W", "ignore", "-c", BLOCK.format(names=repr(blocked)) + LOAD]
    done = subprocess.run(
        [*command, uri, str(exported[0].place), *models], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == models


def test_a_store_that_is_away_is_one_line_and_the_files_stay(tmp_path: Path) -> None:
    folder = trained_job(tmp_path / "job", members=1, tracking=TrackingConfig(uri="http://127.0.0.1:9"))
    (line,) = lines_of_failure(nas("export", str(folder), "--format", "onnx", "--register", "digits"), status=1)
    assert line.startswith("nas: --register: MLflow at http://127.0.0.1:9: ")
    assert line.endswith("the files are there, the same command registers them")
    assert (folder / "export" / keys_of(folder)[0] / "model.onnx").is_file()


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "a:b", "a@1.0", "it's"])
def test_names_that_no_model_can_have(name: str) -> None:
    assert "must be a name without" in str(name_mistake(name))


def test_names_that_a_model_can_have() -> None:
    assert [name_mistake(name) for name in ("digits", "my-model_2")] == [None, None]
