"""What every stage promises: it says what it needs, leaves and is called, reports progress, and is done once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service import catalogue
from service.cli import app
from service.errors import InvalidJob
from service.job.loading import load_job
from service.job.preparation import prepare_folder
from service.queue.executors.distributed import process_count
from service.queue.executors.executor import Resources, Ticket
from service.queue.pipeline import drafts
from service.run.run import run
from service.run.stages.outputs import FRONT, SUPERNET
from service.run.stages.plan import Plan, make_stages, needed_files, stages_of, whole_job
from tests.service.run.own_stage import NAME
from tests.service.trained_job import trained_job

TINY = [
    *("train.epochs=0.2", "search.evaluations=8", "search.population=4", "search.calibration_examples=64"),
    *("latency.repeats=5", "latency.warmup_s=0", "latency.min_time_ms=0", "tracking.enabled=false"),
    *("search.objectives=[accuracy, macs]", "space.options.stage_widths=[8, 16]", "space.options.strides=[1, 2]"),
]
ALL = tuple(catalogue.STAGES)
Events = list[dict[str, Any]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Events]]:
    """The folder of a job that every stage of the catalogue was run for, and the events of each."""
    job = load_job("quickstart", TINY)
    folder = prepare_folder(job, tmp_path_factory.mktemp("jobs") / "job")
    said: dict[str, Events] = {name: [] for name in ALL}
    run(folder, job, (current := _Sorted(said)), Plan())
    for after in ("retrain", "scratch"):
        run(folder, job, current, Plan(stages=(after,), options={after: {"epochs": 0.2}}))
    return folder, said


class _Sorted:
    """An observer that keeps events by the stage that runs."""

    def __init__(self, said: dict[str, Events]) -> None:
        self.said, self.running = said, ""

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "stage":
            self.running = event["stage"]
        self.said.setdefault(self.running, []).append(event)  # what is said before any stage has no name


# ---- what stages declare --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_stage_needs_no_options_and_is_not_done_in_an_empty_folder(name: str, tmp_path: Path) -> None:
    stage = catalogue.make("stage", name)
    assert stage.title
    assert not stage.is_done(tmp_path)
    assert stage.summary(tmp_path) is not None
    for option in catalogue.parameters("stage", name).values():
        assert not option.required


def test_a_whole_job_needs_nothing_and_ends_with_its_result() -> None:
    stages = make_stages(whole_job(), {})
    assert list(stages) == ["train", "search", "measure", "test"]
    assert needed_files(stages) == []
    assert [stage.result for stage in stages.values()] == ["before", "before", "before", "writes"]
    assert needed_files(make_stages(stages_of("search"), {})) == [SUPERNET]
    assert needed_files(make_stages(("retrain",), {})) == [FRONT, SUPERNET]


def test_all_processes_take_part_where_a_stage_says_so() -> None:
    resources = Resources(gpus=4)
    assert process_count(Ticket(name="a", stages=("train", "search"), resources=resources)) == 4
    assert process_count(Ticket(name="a", stages=("search", "retrain"), resources=resources)) == 1
    assert process_count(Ticket(name="a", stages=(NAME,), resources=resources)) == 1


def test_mistakes_in_stages_and_their_options_are_all_told() -> None:
    with pytest.raises(InvalidJob) as refused:
        make_stages(("trian", "retrain"), {"retrain": {"epochs": -1}, "search": {}})
    lines = "\n".join(refused.value.mistakes)
    for part in ("unknown stage 'trian'; did you mean train", "epochs must be more than 0", "search is not among"):
        assert part in lines


# ---- what they do ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_stage_leaves_its_files_says_how_far_it_is_and_is_done_then(
    name: str, whole: tuple[Path, Mapping[str, Events]]
) -> None:
    (folder, said), stage = whole, catalogue.make("stage", name)
    assert stage.is_done(folder)
    assert all((folder / file).exists() for file in stage.leaves)
    first, *_, last = said[name]
    assert (first["status"], first["title"], last["status"]) == ("started", stage.title, "finished")
    progress = [event for event in said[name] if event["event"] == name]
    done = [event.get("done", event.get("step")) for event in progress]
    assert done == sorted(done)
    assert progress[-1].get("total", progress[-1].get("steps")) == done[-1]


def test_stages_that_are_done_are_not_run_again(whole: tuple[Path, Mapping[str, Events]]) -> None:
    folder, _ = whole
    job, events = load_job(folder), Events()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    result = run(folder, job, events.append)
    assert run(folder, job, events.append, Plan(stages=("train", "search")))["hypervolume"] == result["hypervolume"]
    assert run(folder, job, events.append, Plan(stages=("retrain",)))["retrained"] == result["front_size"]
    assert events == []
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_fine_tuning_leaves_the_result_of_the_job_as_it_is(whole: tuple[Path, Mapping[str, Events]]) -> None:
    folder, said = whole
    result, front = (json.loads((folder / name).read_text()) for name in ("result.json", FRONT))
    assert "retrained" not in result
    (record, *_) = json.loads((folder / "retrain" / "retrain.json").read_text())
    assert record["costs"].keys() == {"macs", "params"}
    assert record["inherited_quality"] == front["members"][0]["values"]["accuracy"]
    assert front["task"] == {
        "name": "classification",
        "metric": {"name": "accuracy", "unit": "%", "maximise": True},
        "examples": "images",
    }
    kept = [json.loads(line)["event"] for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert kept.count("validate") == sum(event["event"] == "validate" for event in said["train"])


def test_a_member_that_is_not_on_the_front_is_no_end_of_the_job(whole: tuple[Path, Mapping[str, Events]]) -> None:
    folder, _ = whole
    with pytest.raises(InvalidJob, match="'0123456789' is not on the front"):
        run(folder, load_job(folder), lambda event: None, _only("0123456789"))
    assert "failed" not in (folder / "progress.jsonl").read_text()


def _only(key: str) -> Plan:
    return Plan(stages=("retrain",), options={"retrain": {"members": [key]}})


# ---- stages of one's own --------------------------------------------------------------------------------------------


def test_a_stage_of_ones_own_is_run_by_name_on_a_finished_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trained_job(Path("job"))
    command = ["run", "job", "--stages", NAME, "--option", f"{NAME}.first=5"]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "counting: 2/2" in done.output
    assert json.loads(Path("job/count.json").read_text()) == {"count": 7}
    again = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert again.exit_code == 0
    assert "counting" not in again.output
    wrong = CliRunner().invoke(app, ["run", "job", "--stages", NAME, "--option", f"{NAME}.frist=5"])
    assert wrong.exit_code == 2
    assert "has no option 'frist'; did you mean first?" in wrong.stderr


def test_a_stage_of_ones_own_takes_its_files_from_a_stage_of_a_pipeline() -> None:
    stages = [
        {"name": "found"},
        {"name": "counted", "from": "found", "run": NAME, "first": 3},
        {"name": "tuned", "from": "found", "run": f"retrain,{NAME}", "options": {"retrain": {"epochs": 1}}},
    ]
    content = {"name": "study", "job": "quickstart", "stages": stages}
    made = {draft.key: draft.ticket for draft in drafts(content, [], Ticket(name=""), "study.yaml")}
    assert made["counted"].stages == (NAME,)
    assert made["counted"].inputs == {FRONT: "found"}
    assert made["counted"].stage_options == {NAME: {"first": 3}}
    assert made["tuned"].stages == ("retrain", NAME)
    assert made["tuned"].inputs == {FRONT: "found", SUPERNET: "found"}
