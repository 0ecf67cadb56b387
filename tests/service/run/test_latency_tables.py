"""Latency tables in jobs: built, checked, searched with; rooflines beside them."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from nas.hardware.latency_table_building import TableConfig
from service.cli import app
from service.errors import InvalidJob
from service.job.building import build_space, space_options
from service.job.job import Job
from service.job.latency_table import least_limit, read_table
from service.job.loading import job_of, load_job
from service.report.job_report import front_table
from service.run.latency_tables import build_table, journal_file
from service.run.run import run

FIELDS = {
    "name": "tabled",
    "device": "cpu",
    "data": {"source": "digits"},
    "space": {
        "name": "small_mobilenet_v3",
        "options": {
            **{"stem_width": 8, "first_width": 8, "stage_widths": [8, 16], "strides": [1, 2], "depths": [1, 2]},
            **{"kernels": [3, 5], "expands": [1, 2], "last_width": 16, "feature_width": 16},
        },
    },
    "train": {"epochs": 1, "batch_size": 128},
    "search": {"evaluations": 30, "population": 10, "calibration_examples": 100},
    "latency": {"repeats": 5, "warmup_s": 0.02},
    "tracking": {"enabled": False},
}


def job(*sets: str) -> Job:
    return job_of(FIELDS, sets)


def shown(folder: Path) -> str:
    """The front as it is printed."""
    console = Console(file=io.StringIO(), width=200)
    console.print(front_table(folder))
    return console.file.getvalue()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "here.json"
    made, config = job(), TableConfig(networks=10, held_out=6, minutes=2, passes=1)
    build_table(made, build_space(made), path, config, lambda event: None, options=space_options(made))
    return path


def test_a_table_is_written_and_not_measured_again(built):
    content = json.loads(built.read_text())
    assert len(content["blocks"]) == len(build_space(job()).blocks.distinct)
    assert {n["part"] for n in content["networks"]} == {"fit", "held_out"}
    assert content["held_out"]["corrected"]["networks"] == 6
    assert content["conditions"]["threads"] == 1
    before = journal_file(built).read_bytes()
    made = job()
    again = build_table(made, build_space(made), built, TableConfig(), lambda event: None, options={})
    assert journal_file(built).read_bytes() == before
    assert len(again.networks) == 16


def test_a_search_is_predicted_by_the_table_and_its_front_measured(built, tmp_path):
    table = read_table(job(f"latency.table={built}"), build_space(job()))
    limit = 1.5 * least_limit(table)
    made = job(f"latency.table={built}", f"search.constraints.latency_ms=<= {limit}")
    folder = tmp_path / "job"
    folder.mkdir()
    run(folder, made, lambda event: None)
    header, *records = [json.loads(line) for line in (folder / "search" / "journal.jsonl").read_text().splitlines()]
    assert header["latency_table"] == table.fingerprint
    space = build_space(made)
    for record in records:
        predicted = table.estimate(space.architecture(record["architecture"]))
        assert record["values"]["latency_ms"] == pytest.approx(predicted.value)
        assert record["intervals"]["latency_ms"] == pytest.approx([predicted.low, predicted.high])
        assert predicted.high <= limit
    front = json.loads((folder / "front.json").read_text())
    for member in front["members"]:
        assert member["intervals"]["latency_ms"][1] <= limit
    measured = [*front["members"], *front["dropped"]]
    assert measured
    for member in measured:
        assert member["values"]["predicted_latency_ms"] != member["values"]["latency_ms"]
    assert ("predicted" in shown(folder)) == bool(front["members"])


def test_an_analytic_device_is_searched_for_and_labelled(tmp_path):
    made = job("search.objectives=[accuracy, roofline_ms]", "latency.analytic={tflops: 0.05, bandwidth_gb_s: 20}")
    folder = tmp_path / "job"
    folder.mkdir()
    run(folder, made, lambda event: None)
    front = json.loads((folder / "front.json").read_text())
    assert {"name": "roofline_ms", "unit": "ms (analytic)"}.items() <= front["objectives"][1].items()
    assert all(member["values"]["roofline_ms"] > 0 for member in front["members"])
    assert "(ms (analytic))" in shown(folder)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["latency.threads=2"], r"was measured with threads 1 \(here 2\)"),
        (["latency.batch_size=4"], r"was measured with batch_size 1 \(here 4\)"),
        (["space.options.last_width=24"], "built for another space"),
        (["space.name=nasbench_macro", "space.options={}", "data.image_size=16"], "built for another space"),
        (["space.name=nasbench101", "space.options={}"], "does not tell what blocks"),
    ],
)
def test_a_table_of_something_else_is_refused_when_the_job_is_read(built, sets, message):
    with pytest.raises(InvalidJob, match=f"latency.table: .*{message}") as caught:
        job(f"latency.table={built}", *sets)
    assert len(caught.value.mistakes) == 1


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read"), ("{", "no latency table"), ("[]", "no latency table")]
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, message):
    path = tmp_path / "t.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidJob, match=f"latency.table: .*{message}"):
        job(f"latency.table={path}")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["search.objectives=[accuracy, roofline_ms]"], "latency.analytic: must be given for roofline_ms"),
        (["latency.analytic={device: a10}"], "latency.analytic.device: unknown device 'a10'; did you mean a100"),
        (["latency.analytic={tflops: 1}"], "latency.analytic.bandwidth_gb_s: must be more than 0"),
        (["latency.analytic={device: a100, tflops: 1}"], "latency.analytic.device: must be null where tflops"),
        (["latency.analytic={tflop: 1}"], "latency.analytic.tflop: unknown field"),
    ],
)
def test_a_wrong_device_on_paper_is_refused(sets, message):
    with pytest.raises(InvalidJob, match=message):
        job(*sets)


def test_a_limit_that_no_prediction_keeps_is_refused_before_training(built, tmp_path):
    made = job(f"latency.table={built}", "search.constraints.latency_ms=<= 0.0001")
    with pytest.raises(InvalidJob, match=r"can't be met: by latency.table no network is sure to take less than"):
        run(tmp_path, made, lambda event: None)
    assert not (tmp_path / "train").exists()


def test_a_journal_of_other_settings_is_refused(built, tmp_path):
    path = tmp_path / "t.json"
    journal_file(path).write_bytes(journal_file(built).read_bytes())
    made = job()
    config = TableConfig(networks=10, held_out=6, minutes=2, passes=1)
    other = replace(made, latency=replace(made.latency, threads=2))
    with pytest.raises(InvalidJob, match="journal of another latency table: its conditions is"):
        build_table(other, build_space(made), path, config, lambda event: None, options=space_options(made))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstart", "--space", "nasbench201"], "give a job or --space"),
        (["--option", "width=4"], "--option: is for --space"),
        (["--space", "nasbench20", "--table", "t.json"], "did you mean nasbench201"),
        (["--space", "nasbench201", "--option", "widht=4", "--table", "t.json"], "did you mean width"),
        (["--space", "nasbench201", "--option", "width", "--table", "t.json"], "must be path=value"),
        (["--space", "nasbench201", "--option", "image_size=3", "--table", "t.json"], "multiple of 4"),
        (["--space", "nasbench101", "--table", "t.json"], "does not tell what blocks"),
        (["--space", "small_hat", "--table", "t.json"], "small_hat does not read images; give a job"),
        (["--space", "nasbench201", "--table", "t.json", "--minutes", "0"], "--minutes: must be more than 0"),
        (
            [
                *("--space", "nasbench201", "--table", "t.json", "--device", "ssh://localhost:1"),
                *("--set", "latency.backend=onnxruntime"),
            ],
            "latency.device: ",
        ),
    ],
)
def test_wrong_options_of_the_command_are_refused(arguments, message):
    result = CliRunner().invoke(app, ["profile", *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_the_command_builds_a_table_and_tells_how_good_it_is(tmp_path):
    path = tmp_path / "t.json"
    quick = ["--set", "latency.repeats=5", "--set", "latency.warmup_s=0.01", "--minutes", "0.01"]
    options = ["--option", "image_size=8", "--option", "width=4", "--option", "head_width=8"]
    arguments = ["profile", "--space", "nasbench_macro", *options, "--table", str(path), *quick]
    result = CliRunner().invoke(app, [*arguments, "--networks", "8", "--held-out", "8"])
    assert result.exit_code == 0, result.output
    for said in ("plain sum of blocks", "corrected", "Spearman", f"latency.table={path}"):
        assert said in result.output.replace("\n", "")
    assert load_job("quickstart").latency.table is None
