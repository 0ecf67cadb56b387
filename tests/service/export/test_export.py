"""`nas export`: cards that are true, files that are made once, failures that stop nothing else."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nas.data import DataConfig, load_data
from nas.export import load_network
from nas.export.onnx import runtime
from nas.objectives import top1_percent
from service import catalogue
from service.export.card import _placeless
from service.export.export_members import Exported, ExportRequest, export
from service.job.loading import load_job
from tests.killing import kill_after_progress
from tests.service.test_cli import lines_of_failure, nas
from tests.service.trained_job import keys_of, retrain_member, trained_job

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_job(tmp_path_factory.mktemp("finished") / "job")


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "job"))


def exported(folder: Path, *formats: str, weights: str = "auto", members: int = 1) -> list[Exported]:
    job = load_job(str(folder), [])
    keys = keys_of(folder)[:members]
    return export(
        ExportRequest(folder=folder, job=job, members=keys, formats=formats, weights=weights), lambda event: None
    )


def states(entry: Exported) -> tuple[list[str], list[str], list[str]]:
    return entry.made, entry.there, list(entry.failed)


def test_all_formats_of_a_member_and_a_card_that_says_what_they_are(folder: Path) -> None:
    whole = {name: listed for name, listed in catalogue.EXPORT_FORMATS.items() if not name.startswith("halves")}
    formats = [name for name, listed in whole.items() if all(map(find_spec, listed.needs))]
    assert set(formats) >= {"onnx", "pt2", "safetensors", "int8", "onnx_from_image"}
    (entry,) = exported(folder, *formats)
    assert states(entry) == (formats, [], [])
    member = json.loads((folder / "front.json").read_text())["members"][0]
    card = json.loads((entry.place / "card.json").read_text())
    data = load_data(DataConfig(source="digits"), device=torch.device("cpu"))
    assert card["architecture"] == member["architecture"]
    assert card["input"]["shape"] == ["batch", 1, 8, 8]
    assert card["input"]["mean"] == list(data.mean)
    assert card["output"]["classes"] == [str(digit) for digit in range(10)]
    assert "logits" in card["output"]["meaning"]
    assert card["accuracy"]["validation"] == member["values"]["accuracy"]
    assert card["accuracy"]["test"] == member["test_quality"]
    latency = card["measured"]["latency_ms"]
    assert (latency["value"], latency["unit"], latency["device"]) == (1.5, "ms", "AMD EPYC")
    assert latency["input_shape"] == [1, 8, 8]
    assert {name: cost["unit"] for name, cost in card["costs"].items()} == {"macs": "MACs", "params": "weights"}
    assert card["provenance"]["job_id"] == json.loads((folder / "job.json").read_text())["id"]
    assert "git_" not in (entry.place / "card.json").read_text()
    assert str(folder.parent) not in (entry.place / "card.json").read_text()
    assert not list(entry.place.glob(".writing*"))
    # the accuracies of the card are those of the files
    assert card["formats"]["int8"]["accuracy"]["test"]["before_percent"] == pytest.approx(member["test_quality"])
    run = runtime(entry.place / "model.onnx")
    right = sum(int((run(images).argmax(1) == labels).sum()) for images, labels in data.test.sequential(100))
    assert 100 * right / len(data.test) == pytest.approx(member["test_quality"])
    rebuilt = load_network(entry.place / "card.json")
    assert top1_percent(rebuilt, data.validation.sequential(200)) == pytest.approx(member["values"]["accuracy"])


def test_what_is_there_is_left_alone_and_what_is_missing_or_damaged_is_made(folder: Path) -> None:
    exported(folder, "safetensors")
    place = folder / "export" / keys_of(folder)[0]
    before = (place / "model.safetensors").stat().st_mtime_ns
    (entry,) = exported(folder, "safetensors", "pt2")
    assert states(entry) == (["pt2"], ["safetensors"], [])
    assert (place / "model.safetensors").stat().st_mtime_ns == before
    (place / "model.safetensors").write_bytes(b"damaged")
    (entry,) = exported(folder, "safetensors", "pt2")
    assert states(entry) == (["safetensors"], ["pt2"], [])
    (entry,) = exported(folder, "safetensors", "pt2")
    assert states(entry) == ([], ["safetensors", "pt2"], [])
    (place / "card.json").write_text("{")
    (entry,) = exported(folder, "safetensors")
    assert states(entry) == (["safetensors"], [], [])


def test_retrained_weights_are_preferred_and_make_files_anew(folder: Path) -> None:
    key = keys_of(folder)[0]
    exported(folder, "safetensors", "pt2")
    retrain_member(folder, key)
    (entry,) = exported(folder, "safetensors")
    assert states(entry) == (["safetensors"], [], [])
    assert not (entry.place / "model.pt2").exists()  # it has the weights of before
    assert entry.card["accuracy"]["weights"] == "retrained"
    assert entry.card["accuracy"]["test"] == 87.0
    assert (
        entry.card["accuracy"]["before"]["test"]
        == json.loads((folder / "front.json").read_text())["members"][0]["test_quality"]
    )
    tuned = load_file(folder / "retrain" / key / "weights.safetensors")
    written = load_file(entry.place / "model.safetensors")
    assert all(torch.equal(written[name], tensor) for name, tensor in tuned.items())
    (entry,) = exported(folder, "safetensors", weights="inherited")
    assert entry.card["accuracy"]["weights"] == "inherited"


def failing(deployable, path):
    """A format that writes half a file."""
    path.write_bytes(b"half")
    raise RuntimeError("cannot\ndo this")


def test_a_failing_format_is_reported_and_the_others_are_made(folder: Path) -> None:
    (entry,) = exported(folder, f"{__name__}:failing", "safetensors")
    assert states(entry) == (["safetensors"], [], [f"{__name__}:failing"])
    assert entry.failed[f"{__name__}:failing"] == "RuntimeError: cannot"
    assert sorted(path.name for path in entry.place.iterdir()) == ["card.json", "example.npz", "model.safetensors"]
    result = nas("export", str(folder), "--member", entry.key, "--format", f"{__name__}:failing,safetensors")
    (line,) = lines_of_failure(result, status=1)
    assert line == f"nas: {entry.key}: {__name__}:failing: RuntimeError: cannot"
    assert "model.safetensors" in result.stdout


def test_a_network_with_nan_fails_in_every_format(folder: Path) -> None:
    path = folder / "front" / f"{keys_of(folder)[0]}.safetensors"
    weights = load_file(path)
    save_file({n: torch.full_like(t, torch.nan) if n == "classifier.weight" else t for n, t in weights.items()}, path)
    broken, sound = exported(folder, "safetensors", "pt2", members=2)
    assert states(broken) == ([], [], ["safetensors", "pt2"])
    assert "NaN or infinity" in broken.failed["pt2"]
    assert states(sound) == (["safetensors", "pt2"], [], [])


def test_infinities_are_null_in_the_card(folder: Path) -> None:
    entry = exported(folder, "safetensors", members=2)[1]
    assert json.loads((entry.place / "card.json").read_text())["measured"]["latency_ms"]["interval"] == [2.4, None]


def test_a_card_names_files_of_options_without_their_place(folder: Path) -> None:
    options = {"checkpoint": str(folder / "weights.safetensors"), "model": "package.module:function", "widths": [1]}
    assert _placeless(options) == {**options, "checkpoint": "weights.safetensors"}


def slow(deployable, path):
    """A format that begins, and takes very long."""
    import time

    path.write_bytes(b"half")
    time.sleep(600)


def export_slowly(folder: str) -> None:
    exported(Path(folder), "safetensors", f"{__name__}:slow")


@pytest.mark.integration
def test_a_killed_export_goes_on(folder: Path) -> None:
    place = folder / "export" / keys_of(folder)[0]
    kill_after_progress(export_slowly, folder, place / ".writing-model.slow", delay_s=0.0)
    assert not (place / "model.slow").exists()
    before = (place / "model.safetensors").stat().st_mtime_ns
    (entry,) = exported(folder, "safetensors", "pt2")
    assert states(entry) == (["pt2"], ["safetensors"], [])
    assert (place / "model.safetensors").stat().st_mtime_ns == before


def test_the_command_exports_the_most_accurate_member_by_default(folder: Path, tmp_path: Path) -> None:
    members = json.loads((folder / "front.json").read_text())["members"]
    best = max(members, key=lambda member: member["values"]["accuracy"])["key"]
    result = nas("export", str(folder), "--format", "safetensors", "--output", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == [best]
    assert "output differs by" in result.stdout
    again = nas("export", str(folder), "--format", "safetensors", "--output", str(tmp_path / "out"), "--all")
    assert again.stdout.count("there already") == 1
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "onx"], "unknown format 'onx'; did you mean onnx?"),
        (["--format", ","], "must name one or more of onnx, pt2"),
        (["--member", "0000000000"], "'0000000000' is not on the front; allowed: "),
        (["--weights", "retraned"], "did you mean retrained?"),
        (["--weights", "retrained"], "has no retrained weights; make them with: nas retrain"),
        (["--format", "pt2", "--register", "digits"], "--register: needs the format onnx or int8"),
        (["--register", "a/b"], "--register: must be a name without"),
        (["--output", "job.json"], "is a file; must be a folder"),
    ],
)
def test_mistakes_are_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str) -> None:
    monkeypatch.chdir(folder)
    (line,) = lines_of_failure(nas("export", str(folder), *arguments))
    assert told in line
    assert not (folder / "export").exists()


def test_member_and_all_exclude_each_other(folder: Path) -> None:
    (line,) = lines_of_failure(nas("export", str(folder), "--all", "--member", keys_of(folder)[0]))
    assert "exclude each other" in line


def test_a_job_without_front_is_refused(folder: Path) -> None:
    (folder / "front.json").unlink()
    (line,) = lines_of_failure(nas("export", str(folder)))
    assert f"finish it with: nas run {folder}" in line


def test_weights_that_are_gone_are_named(folder: Path) -> None:
    (folder / "front" / f"{keys_of(folder)[0]}.safetensors").unlink()
    (line,) = lines_of_failure(nas("export", str(folder), "--all"))
    assert "there is no such file; finish the job" in line


def test_a_missing_package_is_named_with_how_to_install_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        catalogue.EXPORT_FORMATS, "onnx", catalogue.EXPORT_FORMATS["onnx"]._replace(needs=("not_there",))
    )
    (line,) = lines_of_failure(nas("export", str(folder), "--format", "onnx"))
    assert line == "nas: --format: onnx needs not_there, not installed: pip install 'espalier-nas[onnx]'"


def test_the_example_lets_any_runtime_check_itself(folder: Path) -> None:
    (entry,) = exported(folder, "onnx")
    with np.load(entry.place / "example.npz") as example:
        logits = runtime(entry.place / "model.onnx")(torch.from_numpy(example["input"]))
        assert np.abs(logits.numpy() - example["output"]).max() < 1e-4


def test_openvino_s_two_files_are_kept_and_made_together(folder: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="needs the extra `openvino`")
    (entry,) = exported(folder, "openvino")
    assert states(entry) == (["openvino"], [], [])
    example = np.load(entry.place / "example.npz")
    compiled = openvino.Core().compile_model(str(entry.place / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert compiled([example["input"]])[0] == pytest.approx(example["output"], abs=1e-3)
    assert entry.card["formats"]["openvino"]["companions"].keys() == {"model.bin"}
    (entry.place / "model.bin").write_bytes(b"damaged")
    (entry,) = exported(folder, "openvino")
    assert states(entry) == (["openvino"], [], [])
    (entry,) = exported(folder, "openvino")
    assert states(entry) == ([], ["openvino"], [])


def test_with_preprocessing_is_an_option_and_the_card_says_how_the_file_is_opened(folder: Path) -> None:
    key = keys_of(folder)[0]
    result = nas("export", str(folder), "--member", key, "--format", "safetensors", "--with-preprocessing")
    assert result.exit_code == 0, result.output
    card = json.loads((folder / "export" / key / "card.json").read_text())
    assert card["use"].keys() == {"model.safetensors", "model.from_image.onnx", "example.npz"}
    assert card["formats"]["onnx_from_image"]["output"] == "the probability of each class"
    assert card["formats"]["onnx_from_image"]["input"]["shape"] == ["batch", "height", "width", 1]
