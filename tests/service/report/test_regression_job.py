"""A job that is not about images: nothing that a person sees of it speaks of them, and everything has its own names."""

import html
import json
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from service.job.folder import read_json, write_json
from service.job.tracking import TrackingConfig
from service.report.job_report import front_table, summary_lines, write_report
from service.tracking.sync import sync
from tests.service.synthetic_job import REGRESSION, complete_job
from tests.service.test_cli import nas

FOREIGN = re.compile(r"image|accura|top-?1|\bclass|logit|pixel|digits", re.IGNORECASE)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def job(place):
    return regression_job(place / "job", name="progress")


def regression_job(folder, **start):
    job = complete_job(folder, of=REGRESSION, **start)
    front = read_json(job / "front.json")
    front |= {"examples": {"validation": 88, "test": 89}, "space": {"name": "mlp", "architectures": 4096}}
    front["latency"]["input_shape"] = [10]
    write_json(job / "front.json", front)
    return job


def assert_at_home(text: str) -> None:
    found = FOREIGN.search(text)
    assert found is None, text[max(0, found.start() - 60) : found.end() + 60]


def words_of(page: str) -> str:
    """What a browser shows of a page, and the texts of its figure; not its markup, nor the code that draws it."""
    figure = page.rpartition("Plotly.newPlot(")[2].partition("</script>")[0]
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", body)) + figure


def test_terminal_shows_quality_and_costs_under_their_own_names(job):
    write_report(job)
    console = Console(file=StringIO(), width=140)
    console.print(front_table(job))
    text = console.file.getvalue() + "\n".join(line for line in summary_lines(job) if not line.startswith("report:"))
    assert_at_home(text)
    members = read_json(job / "front.json")["members"]
    best = max(members, key=lambda member: member["values"]["R2"])
    assert all(label in text for label in ("(R2)", "(ms)", "(mJ)", "parameters", "energy"))
    assert (
        f"best R2:       {best['key']}  {best['test_quality']:.4g} test, {best['values']['R2']:.4g} validation" in text
    )
    assert all(member["key"] in text for member in members)


def test_pages_speak_of_the_task_and_its_examples(job):
    write_report(job)
    assert nas("report", "job").exit_code == 0
    report = words_of((job / "report" / "report.html").read_text())
    for said in (
        "The best network by validation R2", "0.9543 R2 on patients never seen before", "energy (mJ)", "parameters (k)",
        "Validation R2 was computed on patients", "inputs of 10", "Energy was measured", "on the patients",
    ):  # fmt: skip
        assert said in " ".join(report.split()), said
    assert_at_home(report)
    front = words_of((job / "report" / "front.html").read_text())
    assert all(label in front for label in ("validation R2", "latency (ms)", "energy (mJ)", "MACs (M)"))
    assert_at_home(front)
    assert_at_home((job / "report" / "candidates.csv").read_text())


def test_two_jobs_are_compared_by_their_quality(job, place):
    regression_job(place / "other", name="other", job_id="1" * 32)
    done = nas("compare", "job", "other")
    assert done.exit_code == 0, done.output
    assert_at_home(done.stdout)
    assert "Best validation R2 within a budget (test R2)" in done.stdout
    assert nas("report", "job", "other", "--output", "both.html").exit_code == 0
    assert_at_home(words_of((place / "both.html").read_text()))


def test_other_data_forbid_a_comparison_by_quality_and_not_by_costs(job, place):
    other = regression_job(place / "other", name="other", job_id="1" * 32)
    content = read_json(other / "job.json")
    content["job"]["data"]["source"] = "own.data:wine"
    write_json(other / "job.json", content)
    assert "data progress and other differ" in nas("compare", "job", "other").stderr
    assert nas("compare", "job", "other", "--objectives", "latency_ms,params").exit_code == 0


def test_everything_in_mlflow_is_named_by_the_task(job, uri):
    from mlflow import MlflowClient

    write_report(job)
    result = sync(job, TrackingConfig(uri=uri), final=True)
    assert (result.error, result.synced) == (None, True)
    client = MlflowClient(tracking_uri=uri)
    runs = [client.get_run(run) for run in (result.run_id, *result.members.values())]
    summary, member = runs[0], runs[1]
    assert {"train/patients_per_s", "validation/largest_R2", "test_R2", "evaluations"} <= set(summary.data.metrics)
    costs = {"latency_ms", "energy", "macs", "params"}
    ends = {f"{name}_{end}" for name in ("latency_ms", "energy") for end in ("low", "high")}
    assert set(member.data.metrics) == {"R2", "test_R2", *costs, *ends}
    units = {name: value for name, value in member.data.tags.items() if name.startswith("nas.unit.")}
    assert units["nas.unit.energy"] == "mJ"
    assert "nas.unit.R2" not in units
    table = json.loads(Path(client.download_artifacts(result.run_id, "candidates.json")).read_text())
    assert {"R2", *costs, *ends} <= set(table["columns"])
    for run in runs:
        shown = {name: value for name, value in run.data.tags.items() if name not in ("mlflow.user",)}
        shown.pop("mlflow.source.name", None)
        assert_at_home(json.dumps([run.data.metrics, run.data.params, shown]))
