"""Jobs that adapt the whole network first: what they keep of it, and who learns from it later."""

import json
import re
from pathlib import Path

import pytest
import torch

from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.front_file import read_front_file
from service.job.loading import load_job
from service.job.preparation import prepare_folder
from service.report.fronts import read_front, terms_of
from service.report.fronts_figure import axes_of, figure_of, pictures_of
from service.report.job_report import best_by_quality, summary_lines
from service.run.context import JobContext
from service.run.events import Events
from service.run.original import original_network
from service.run.retraining import chosen_teacher
from service.run.run import run
from service.run.stages.outputs import ADAPTED, SUPERNET
from service.run.stages.plan import Plan, stages_of
from service.run.teaching import named_teacher
from supernets import Processes, load_supernet

TINY = [
    *("train.schedule=adapted", "train.adapt.examples=64", "train.adapt.subnets=2", "train.epochs=0.6"),
    *("search.evaluations=8", "search.population=4", "search.calibration_examples=64"),
    *("latency.repeats=5", "latency.warmup_s=0", "latency.min_time_ms=0", "tracking.enabled=false"),
    *("search.objectives=[accuracy, macs]", "space.options.stage_widths=[8, 16]", "space.options.strides=[1, 2]"),
]
TO_RETRAIN = {"retrain": {"epochs": 0.3, "distil": True}}


def finished(folder: Path, *sets: str, plan: Plan | None = None) -> tuple[Path, list[dict]]:
    """A job that is over, and its events."""
    events: list[dict] = []
    job = load_job("quickstart", [*TINY, *sets])
    place = prepare_folder(job, folder)
    run(place, job, events.append, plan or Plan())
    return place, events


@pytest.fixture(scope="module")
def sandwich(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    return finished(tmp_path_factory.mktemp("jobs") / "sandwich")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    return finished(tmp_path_factory.mktemp("jobs") / "alone", "train.adapt.share=1", "train.adapt.order=l1")


def test_the_adapted_network_is_kept_beside_the_supernet(sandwich):
    folder, events = sandwich
    (order,) = [event for event in events if event["event"] == "order"]
    assert order["order"] in order["losses"]
    assert 0 <= order["largest"] <= 100
    assert order["unit"] == "%"
    space = context(folder).space
    adapted, trained = (load_supernet(space, folder / name) for name in (ADAPTED, SUPERNET))
    assert (adapted.own_statistics, trained.own_statistics) == (space.largest(), None)
    kept = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert order["losses"] in [event.get("losses") for event in kept]


def context(folder: Path) -> JobContext:
    job = load_job(folder)
    events = Events(folder, job, lambda event: None, Processes())
    return JobContext(folder, job, torch.device("cpu"), events, events.processes)


def test_where_nothing_follows_the_largest_is_judged_as_it_was_adapted(alone, tmp_path):
    folder, events = alone
    assert not (folder / ADAPTED).exists()
    (order,) = [event for event in events if event["event"] == "order"]
    here = context(folder)
    largest = here.space.largest()
    mine = here.supernet.eval()
    mine.activate(largest)
    x = torch.randn(4, *here.space.inputs[0].shape)
    assert torch.allclose(here.subnets(largest)(x), mine(x), atol=1e-5)
    quality = here.task.evaluate(here.subnets(largest), here.batches.looked_at()).value
    assert quality == order["largest"]
    other = tmp_path / "again"
    plan = Plan(stages=stages_of("search"), inputs={SUPERNET: folder})
    searched, _ = finished(other, "train.adapt.share=1", "train.adapt.order=l1", "search.evaluations=6", plan=plan)
    job = load_job(searched)
    silent = Events(searched, job, lambda event: None, Processes())
    elsewhere = JobContext(searched, job, torch.device("cpu"), silent, silent.processes, {SUPERNET: folder})
    assert torch.equal(elsewhere.subnets(largest)(x), here.subnets(largest)(x))


def test_members_are_fine_tuned_with_the_adapted_network_as_teacher(sandwich, alone):
    for folder, _ in (sandwich, alone):
        key = json.loads((folder / "front.json").read_text())["members"][0]["key"]
        options = {"retrain": {**TO_RETRAIN["retrain"], "members": [key]}}
        run(folder, load_job(folder), lambda event: None, Plan(stages=("retrain",), options=options))
        place = folder / "retrain" / key
        assert (place / "weights.safetensors").exists()
        assert json.loads((place / "result.json").read_text())["teacher"] == "adapted"


def test_members_are_fine_tuned_again_where_other_settings_are_asked_for(alone):
    folder, _ = alone
    key = json.loads((folder / "front.json").read_text())["members"][-1]["key"]
    result, events = folder / "retrain" / key / "result.json", list[dict]()

    def retrained(**options) -> dict:
        plan = Plan(stages=("retrain",), options={"retrain": {"members": [key], **options}})
        run(folder, load_job(folder), events.append, plan)
        return json.loads(result.read_text())

    def told() -> list[str]:
        return [event["message"] for event in events if event["event"] == "warning" and key in event["message"]]

    assert "teacher" not in retrained(epochs=0.1)
    assert (retrained(epochs=0.1), told()) == (retrained(), [])
    assert retrained(distil=True, epochs=0.1)["teacher"] == "adapted"
    assert retrained(epochs=0.2)["epochs"] == 0.2
    again = "and is fine-tuned again"
    assert told() == [
        f"{key} was fine-tuned without a teacher, {again}",
        f"{key} was fine-tuned with epochs 0.1, {again}",
    ]


def test_a_job_without_a_teacher_says_so(tmp_path):
    folder = prepare_folder(load_job("quickstart", ["tracking.enabled=false"]), tmp_path / "whole")
    with pytest.raises(InvalidJob, match=r"this job has no teacher.*--teacher NAME"):
        chosen_teacher(context(folder), None)


def test_a_finished_job_teaches_another(alone):
    folder, _ = alone
    here = context(folder)
    x = here.space.example()[0]
    best = best_by_quality(read_front_file(folder))
    inherited = here.subnets(here.space.architecture(best["architecture"]))(x)
    for teacher in (folder / best["weights"], folder / SUPERNET):
        network = named_teacher(str(teacher), None, supernet=here.supernet, batches=here.batches)
        assert not network.training
        if teacher.name != SUPERNET:
            assert torch.allclose(network(x), inherited, atol=1e-5)
    largest = here.subnets(here.space.largest())(x)
    assert torch.allclose(network(x), largest, atol=1e-5)


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        ("resnet18.a1_in1k", "resnet18.a1_in1k tells 1000 classes apart, the data have 10"),
        ("resnet81", "must be a model of timm.*got 'resnet81'; did you mean resnet"),
        ("resnet18.best", "has no weights 'best' of resnet18"),
        ("runs/none", "runs/none does not exist"),
        ("{folder}", "is no job folder"),
        ("{folder}/some.safetensors", "does not exist"),
        ("no.module:teacher", "cannot be imported"),
    ],
)
def test_a_teacher_that_cannot_be_had_is_one_line_before_any_work(tmp_path, teacher, told):
    with pytest.raises(InvalidJob) as caught:
        load_job("quickstart", [f"train.teacher={teacher.format(folder=tmp_path)}"])
    (line,) = caught.value.mistakes
    assert line.startswith("train.teacher: ")
    assert re.search(told, line)


def wide_teacher(classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes + 1))


def test_a_teacher_of_one_s_own_with_other_outputs_is_refused(tmp_path):
    folder = prepare_folder(load_job("quickstart", ["tracking.enabled=false"]), tmp_path / "job")
    here = context(folder)
    with pytest.raises(FieldError, match=r"gives \[11\] for an example, the networks here give \[10\]"):
        named_teacher(f"{__name__}:wide_teacher", None, supernet=here.supernet, batches=here.batches)


@pytest.mark.parametrize("name", ["sandwich", "alone"])
def test_the_original_network_stands_beside_the_front(name, request):
    folder, _ = request.getfixturevalue(name)
    front, here = read_front_file(folder), context(folder)
    original, largest = front["original"], here.space.largest()
    assert original["key"] == largest.key
    costs = here.space.costs([largest])
    assert original["values"]["macs"] == costs["macs"][0]
    assert original["values"]["latency_ms"] > 0
    adapted = original_network(here)
    judged = here.task.evaluate(adapted, here.batches.validation()).value
    assert judged == original["values"]["accuracy"]
    assert original["test_quality"] == here.task.evaluate(adapted, here.batches.test()).value
    if name == "alone":  # nothing was trained after it: it is the largest network of the supernet
        assert judged == here.task.evaluate(here.subnets(largest), here.batches.validation()).value
    (line,) = [line for line in summary_lines(folder) if line.startswith("original:")]
    assert largest.key in line
    low, high = original["intervals"]["accuracy"]
    assert low < original["values"]["accuracy"] < high
    low, high = original["test_interval"]
    assert low < original["test_quality"] < high
    assert line.count("[") >= 2
    assert original["test_groups"]
    assert "original network (1)" in (folder / "report" / "front.html").read_text()
    fronts = [read_front(folder)]
    axes = axes_of(fronts, terms_of(fronts))
    star = figure_of(pictures_of(fronts, axes), axes).data[3]
    assert star.marker.symbol == "star"
    assert star.error_y.array[0] > 0
