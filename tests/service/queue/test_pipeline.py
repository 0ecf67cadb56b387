"""Pipelines and sweeps of real jobs: what they become, how they are refused, how far they get after a failure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from service.errors import InvalidJob
from service.queue.executors.executor import Ticket, read_ticket
from service.queue.pipeline import drafts
from service.queue.queue import Draft
from service.queue.submission import Checker, read_source
from service.queue.sweeps import combinations, jobs
from service.run.stages.outputs import FRONT, SUPERNET
from tests.service.queues import environment, finish, make_queue, result, start_worker
from tests.service.run.test_run import TINY

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
TICKET = Ticket(name="", directory=str(ROOT))
SMALL = [*TINY, "train.epochs=1", "search.evaluations=6", "search.population=3", "search.calibration_examples=50"]


def pipeline(*stages: dict, **more) -> list[Draft]:
    content = {"name": "study", "job": "quickstart", "stages": list(stages), **more}
    return drafts(content, [], TICKET, "study.yaml")


def mistakes(*stages: dict, **more) -> list[str]:
    with pytest.raises(InvalidJob) as refused:
        pipeline(*stages, **more)
    return refused.value.mistakes


def test_stages_become_jobs_that_wait_for_each_other():
    made = {
        draft.key: draft
        for draft in pipeline(
            {"name": "tuned", "from": "small", "run": "retrain", "epochs": 3},
            {"name": "small", "from": "supernet", "settings": {"search.constraints.macs": "<= 2e6"}},
            {"name": "supernet", "run": "train"},
            {"name": "last", "run": "train", "after": ["tuned"], "priority": 2},
        )
    }
    assert list(made) == ["supernet", "small", "tuned", "last"]
    tickets = {key: draft.ticket for key, draft in made.items()}
    assert tickets["supernet"].stages == ("train",)
    assert (tickets["small"].inputs, tickets["small"].after) == ({SUPERNET: "supernet"}, ["supernet"])
    assert made["small"].job.search.constraints == {"macs": "<= 2e6"}
    assert tickets["tuned"].stages == ("retrain",)
    assert tickets["tuned"].inputs == {FRONT: "small", SUPERNET: "supernet"}
    assert tickets["tuned"].stage_options == {"retrain": {"epochs": 3}}
    assert (tickets["last"].after, tickets["last"].priority) == (["tuned"], 2)
    assert [draft.job.name for draft in made.values()] == [f"study-{name}" for name in made]


RETRAINED = {"name": "b", "from": "a", "run": "retrain"}


@pytest.mark.parametrize(
    ("stages", "line"),
    [
        (
            [{"name": "a", "after": ["b"]}, {"name": "b", "after": ["c"]}, {"name": "c", "after": ["a"]}],
            "stages: each waits for the next: a -> b -> c -> a",
        ),
        ([{"name": "a", "after": ["a"]}], "stages: each waits for the next: a -> a"),
        ([{"name": "train"}, {"name": "b", "after": ["trian"]}], "after: unknown stage 'trian'; did you mean train?"),
        ([{"name": "a"}, {"name": "b", "from": "nowhere"}], "from: unknown stage or job folder 'nowhere'"),
        ([{"name": "a"}, {"name": "a"}], "stage a: the name is given twice"),
        (
            [{"name": "a", "run": "tran"}],
            "run: must be all or stages of a job, got 'tran': unknown stage 'tran'",
        ),
        ([{"name": "a", "run": "search"}], "stage a: run: search needs `from`"),
        ([{"name": "a", "epoch": 3}], "epoch: unknown field"),
        (
            [{"name": "a"}, {**RETRAINED, "lr": 0}],
            "retrain: lr must be more than 0, got 0",
        ),
        (
            [{"name": "a"}, {**RETRAINED, "epochs": "x"}],
            "retrain.epochs: must be a number",
        ),
        ([{"name": "a", "run": "train", "options": {"retrain": {}}}], "retrain is not among the stages train"),
        ([{"name": "a", "settings": {"train.epoch": 3}}], "stage a: --set 'train.epoch=3'"),
        (
            [{"name": "a", "run": "train"}, {"name": "b", "from": "a", "run": "retrain"}],
            "leaves no front.json, which retrain needs",
        ),
        (
            [{"name": "a", "run": "train"}, {"name": "b", "from": "a", "settings": {"space.options.stem_width": 8}}],
            "the supernet of a must be of the same space, data and task",
        ),
        ([], "stages: must be a list of at least one stage"),
    ],
)
def test_a_pipeline_that_cannot_be_run_is_refused(stages, line):
    found = mistakes(*stages)
    assert any(line in mistake for mistake in found), found


def test_sweeps_take_lists_and_comparisons_as_values():
    assert combinations([]) == [[]]
    assert combinations(["a=1,2", "b=x"]) == [["a=1", "b=x"], ["a=2", "b=x"]]
    assert combinations(["o=[a, b],[c]"]) == [["o=[a, b]"], ["o=[c]"]]
    assert combinations(["m=<= 5e6,<= 1e7"]) == [["m=<= 5e6"], ["m=<= 1e7"]]


def test_jobs_of_a_sweep_are_checked_and_named_by_their_values():
    fields = read_source("quickstart")
    made = jobs(fields, ["train.epochs=1"], ["seed=1,2", "train.lr=0.1,0.2"], TICKET)
    assert [draft.job.name for draft in made] == [
        f"quickstart-seed{seed}-lr{lr}" for seed in (1, 2) for lr in ("0.1", "0.2")
    ]
    assert [(draft.job.seed, draft.job.train.lr) for draft in made] == [(1, 0.1), (1, 0.2), (2, 0.1), (2, 0.2)]
    for sweep, line in (("seed=1,-2", "seed"), ("seed=1,a", "seed"), ("train.lr=0.1,-1", "train.lr")):
        with pytest.raises(InvalidJob, match=line):
            jobs(fields, [], [sweep], TICKET)
    with pytest.raises(InvalidJob, match="chooses the GPU"):
        Checker().job({**fields, "device": "cuda:1"}, [])


@pytest.mark.timeout(900)
def test_a_pipeline_gets_as_far_as_it_can_and_no_job_loads_mlflow(tmp_path):
    """Training, two searches of it, one of which is impossible, fine-tuning; all by one worker, logged by another."""
    queue = make_queue(tmp_path, cpus=1)
    stages = [
        {"name": "supernet", "run": "train"},
        {"name": "wrong", "from": "supernet", "settings": {"search.constraints": {"latency_ms": "<= 1e-6"}}},
        {"name": "small", "from": "supernet"},
        {"name": "tuned", "from": "small", "run": "retrain", "epochs": 0.2},
        {"name": "never", "from": "wrong", "run": "retrain"},
    ]
    content = {"name": "study", "job": "quickstart", "stages": stages}
    tracked = [*SMALL, "tracking.enabled=true", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"]
    folders = dict(zip([s["name"] for s in stages], [None] * 5))
    for folder in queue.add(drafts(content, tracked, TICKET, "study.yaml")):
        folders[read_ticket(folder).name.removeprefix("study-")] = folder
    finish(queue, start_worker(queue), patience_s=800)
    states = {name: result(folder)["status"] for name, folder in folders.items()}
    assert states == {
        **{"supernet": "finished", "wrong": "failed", "small": "finished", "tuned": "finished", "never": "skipped"}
    }
    assert "can't be met" in result(folders["wrong"])["reason"]
    assert (folders["small"] / "front.json").is_file()
    assert json.loads((folders["tuned"] / "retrain" / "retrain.json").read_text())
    assert json.loads((folders["small"] / "tracking.json").read_text())["synced"]


def test_a_whole_job_loads_neither_grpc_nor_mlflow(tmp_path):
    queue = make_queue(tmp_path)
    made = jobs(read_source("quickstart"), [*SMALL, "tracking.enabled=true"], [], TICKET)
    (folder,) = queue.add(made)
    code = (
        "import sys; from pathlib import Path; from service.queue.runner import run_job;"
        "status = run_job(Path(sys.argv[1]));"
        "print(status, sorted({name.partition('.')[0] for name in sys.modules} & {'grpc', 'mlflow', 'google'}))"
    )
    env = {**environment(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout
    assert result(folder)["status"] == "finished"
    assert os.listdir(folder / "front")


def test_the_pipeline_of_the_documentation_is_one():
    import service.queue.pipeline

    text = (service.queue.pipeline.__doc__ or "").partition("::")[2].partition("`run` is")[0]
    made = drafts(yaml.safe_load(text) | {"job": "quickstart"}, [], TICKET, "study.yaml")
    assert [draft.key for draft in made] == ["supernet", "small", "large", "tuned"]
