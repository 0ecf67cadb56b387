"""Jobs whose supernet is split while it is trained."""

import json
from pathlib import Path

import pytest

from search_spaces import Architecture
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.loading import job_of, load_job
from service.job.preparation import prepare_folder
from service.run.run import run
from service.run.stages.outputs import SUPERNET
from service.run.stages.plan import Plan
from supernets import Partition, Supernet, load_supernet

SETS = [
    *("data.image_size=8", "train.epochs=2", "train.batch_size=64", "train.split.rounds=1", "train.split.repeats=1"),
    *("train.split.decisions=[stage1.depth, stage2.depth]", "search.evaluations=16", "search.population=4"),
    *("search.calibration_examples=20", "search.objectives=[accuracy, macs]", "search.constraints={}"),
    *("space.options.stage_widths=[8, 16]", "space.options.strides=[1, 2]", "space.options.stem_width=8"),
    *("latency.repeats=5", "latency.warmup_s=0.01", "tracking.enabled=false"),
]


def staged(folder: Path, stage: str, *sets: str, supernet_from: Path | None = None) -> Path:
    """A job run to the end of one stage."""
    job = load_job("quickstart", [*SETS, *sets])
    plan = Plan(stages=(stage,), inputs={SUPERNET: supernet_from} if supernet_from else {})
    run(prepare_folder(job, folder), job, lambda event: None, plan)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return staged(tmp_path_factory.mktemp("jobs") / "trained", "train")


def test_a_job_trains_in_parts_and_says_so(trained):
    events = [json.loads(line) for line in (trained / "progress.jsonl").read_text().splitlines()]
    supernet = load_supernet(build_space(load_job(trained)), trained / "supernet.safetensors")
    assert isinstance(supernet, Partition)
    (split,) = [event for event in events if event["event"] == "split"]
    assert split["tree"] == supernet.tree()
    assert {event["leaves"] for event in events if event["event"] in ("train", "validate")} == {1, 2}


@pytest.mark.parametrize("per_leaf", ["false", "true", "halving"])
def test_all_parts_are_searched_as_one_or_each_by_itself(trained, tmp_path, per_leaf):
    folder = staged(tmp_path / "job", "search", f"search.per_leaf={per_leaf}", supernet_from=trained)
    supernet = load_supernet(build_space(load_job(folder)), trained / "supernet.safetensors")
    journal = (folder / "search" / "journal.jsonl").read_text().splitlines()[1:]
    found = [Architecture.from_json(json.loads(line)["architecture"]) for line in journal]
    assert len(found) == 16
    assert {supernet.leaf_of(architecture) for architecture in found} == {0, 1}


def test_mistakes_in_splits_are_told_before_anything_runs():
    split = {"rounds": 0, "nonsense": 1, "repeats": "many"}
    with pytest.raises(InvalidJob) as caught:
        job_of({"name": "job", "space": {"name": "nasbench201"}, "train": {"split": split}})
    assert len(caught.value.mistakes) == 3
    assert "train.split.rounds: must be at least 1, got 0" in caught.value.mistakes
    assert any(line.startswith("train.split.nonsense: unknown field") for line in caught.value.mistakes)
    with pytest.raises(InvalidJob, match=r"train.split.decisions: must allow 1 rounds of splits .* \['edge'\] are 0"):
        load_job("quickstart", ["train.split.rounds=1", "train.split.decisions=[edge]"])


def test_a_search_by_parts_of_a_supernet_without_parts_is_refused(tmp_path):
    Supernet(build_space(load_job("quickstart", SETS))).save(tmp_path / "supernet.safetensors")
    with pytest.raises(InvalidJob, match=r"search.per_leaf: must be false, the supernet is not split"):
        staged(tmp_path / "job", "search", "search.per_leaf=true", supernet_from=tmp_path)
