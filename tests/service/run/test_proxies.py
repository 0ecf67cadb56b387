"""Proxies in a whole job: recorded, as an objective, as a filter, and judged honestly."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import InvalidJob
from service.job.job import Job
from service.job.loading import load_job
from service.job.preparation import prepare_folder
from service.report.job_report import proxy_lines
from service.run.run import run
from service.run.stages.outputs import SUPERNET
from service.run.stages.plan import Plan
from tests.conftest import Once

TINY = [
    "train.epochs=0.2", "search.evaluations=16", "search.population=4", "search.calibration_examples=64",
    "latency.repeats=5", "latency.warmup_s=0", "latency.min_time_ms=0", "tracking.enabled=false", "proxies.batch=8",
    "space.options.stage_widths=[8, 16]", "space.options.strides=[1, 2]", "space.options.stem_width=8",
    "space.options.depths=[1, 2]", "space.options.kernels=[3, 5]",
]  # fmt: skip


def job_with(*sets: str) -> Job:
    return load_job("quickstart", [*TINY, "search.objectives=[accuracy, macs]", *sets])


@pytest.fixture(scope="module")
def trained(once: Once) -> Path:
    def make(place: Path) -> None:
        job = job_with()
        run(prepare_folder(job, place / "job"), job, lambda event: None, Plan(stages=("train",)))

    return once("trained_for_proxies", make) / "job"


def searched(job: Job, folder: Path, trained: Path) -> tuple[list[dict], list[dict]]:
    """Records of the journal, and events."""
    events: list[dict] = []
    prepare_folder(job, folder)
    run(folder, job, events.append, Plan(stages=("search",), inputs={SUPERNET: trained}))
    lines = (folder / "search" / "journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]], events


def test_proxies_are_recorded_and_judged_beside_params_and_macs(tmp_path: Path, trained: Path) -> None:
    job = job_with("proxies.names=[gradsign, ntk]")
    records, events = searched(job, tmp_path / "job", trained)
    assert all(record["values"]["gradsign"] > 0 for record in records)
    found = json.loads((tmp_path / "job" / "search" / "proxies.json").read_text())
    assert set(found) == {"params", "macs", "gradsign", "ntk"}
    for agreement in found.values():
        value, low, high = agreement["spearman"]
        assert -1 <= low <= value <= high <= 1
        assert agreement["architectures"] == len(records) == 16
    warned = " ".join(event["message"] for event in events if event["event"] == "warning")
    assert all(name in warned for name, a in found.items() if name == "ntk" and a["spearman"][0] < 0)
    lines = proxy_lines(tmp_path / "job")
    assert len(lines) == 5
    assert "16 candidates" in lines[0]


def test_a_proxy_is_an_objective(tmp_path: Path, trained: Path) -> None:
    job = job_with("search.objectives=[gradsign, macs]", "search.constraints.gradsign='>= 100'")
    records, _ = searched(job, tmp_path / "job", trained)
    assert len(records) == 16
    assert all("accuracy" not in record["values"] and record["values"]["gradsign"] >= 100 for record in records)


@pytest.fixture(scope="module")
def unfiltered(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Keys of what a search without a filter evaluates."""
    records, _ = searched(job_with("proxies.names=[gradsign]"), tmp_path_factory.mktemp("plain") / "job", trained)
    return [record["key"] for record in records]


@pytest.mark.parametrize("filter_name", ["gradsign", "auto"])
def test_a_filter_resumed_after_an_interruption_ends_with_the_same_journal(
    tmp_path: Path, trained: Path, unfiltered: list[str], filter_name: str
) -> None:
    job = job_with("proxies.names=[gradsign]", f"proxies.filter={filter_name}", "proxies.proposals=3")
    whole, _ = searched(job, tmp_path / "whole", trained)
    half = replace(job, search=replace(job.search, evaluations=6))
    searched(half, tmp_path / "again", trained)
    again = tmp_path / "again" / "search" / "journal.jsonl"
    (tmp_path / "again" / "job.json").unlink()
    (tmp_path / "again" / "search" / "hypervolume.json").unlink()  # an interrupted search has not come so far
    for file in (tmp_path / "again").iterdir():
        if file.is_file():
            file.unlink()
    run(tmp_path / "again", job, lambda event: None, Plan(stages=("search",), inputs={SUPERNET: trained}))
    resumed = [json.loads(line) for line in again.read_text().splitlines()[1:]]
    assert [record["key"] for record in resumed] == [record["key"] for record in whole]
    assert [record["key"] for record in whole] != unfiltered


def test_mistakes_in_proxies_are_told_together() -> None:
    with pytest.raises(InvalidJob) as error:
        load_job("quickstart", ["proxies.names=[gradsgn]", "proxies.filter=nwott"])
    assert [line.split(":")[0] for line in error.value.mistakes] == ["proxies.names", "proxies.filter"]
    assert "did you mean gradsign" in error.value.mistakes[0]
    with pytest.raises(InvalidJob, match="auto learns from accuracy, the quality"):
        load_job("quickstart", ["proxies.names=[snip]", "proxies.filter=auto", "search.objectives=[macs, params]"])
