"""A plug-in that is none is told in one line when the job is checked, before anything is trained."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.objectives import Computed, Estimate, Objective
from search_spaces import Architecture, Columns, Space
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.loading import load_job
from service.job.preparation import prepare_folder
from service.run.run import run
from supernets import Sampler
from supernets.samplers.sampler import exact_cost
from supernets.tasks import Metric, Task
from tests.search_spaces.vectors import vector_space
from tests.supernets.regression import Regression

HERE = "tests.service.job.test_wrong_plug_ins"
NUMBER = 3
JOB = """
name: plain
device: cpu
data: {source: "tests.plugin.diabetes:diabetes", validation_fraction: 0.25, test_fraction: 0.25}
space: {name: "tests.plugin.elastic_mlp:elastic_mlp"}
search: {objectives: [quality, params]}
"""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The file of a job of plug-ins that are right."""
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path / "job.yaml"


class NoTask:
    """Inherits from nothing."""


class NoLoss(Task):
    """Says how it judges, not how it learns."""

    metric = Metric("share", "%", maximise=True)

    def evaluate(self, model: Any, batches: Any) -> Estimate:
        return Estimate(0.0)


class NoMetric(Regression):
    """Judges by a number that is not described."""

    metric = "r2"  # type: ignore[assignment]


class MetricLikeACost(Regression):
    """Judges by what is a cost as well."""

    metric = Metric("params", "", maximise=True)


class NoDraw(Sampler):
    """Draws nothing."""


class NoRole(Computed):
    """Does not say whether it is a quality or a cost."""

    name, unit, maximise = "own", "", False

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return Estimate(1.0)

    def evaluate_encodings(self, encodings: Any) -> Any:
        return encodings[:, 0]


def a_number() -> int:
    """Return what is no space, and no source of data."""
    return NUMBER


def uncounted() -> Space:
    """Return a space that counts no multiply-accumulates."""
    own = vector_space()

    def cost(columns: Columns) -> dict[str, Any]:
        rows = zip(columns["width"], columns["depth"])
        return {"params": own.costs([own.architecture({"width": int(w), "depth": int(d)}) for w, d in rows])["params"]}

    return replace(own, places=None, cost=cost)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("task.name={}:NoTask", "is not a task: it does not inherit from supernets.Task"),
        ("task.name={}:NoLoss", "abstract method"),
        ("task.name={}:NoMetric", "is not a task: its metric is 'r2'"),
        ("task.name={}:MetricLikeACost", "its metric is called params"),
        ("task.name={}:NUMBER", "3 can't be called"),
        ("space.name={}:a_number", "is not a space: it returned int"),
        ("space.name={}:NUMBER", "3 can't be called"),
        ("data.source={}:a_number", "is not a source of data: it returned int"),
        ("train.sampler={}:NoDraw", "abstract method"),
        ("search.objectives=[quality, '{}:NoRole']", "an objective says its name, unit, maximise and role"),
        ("search.objectives=[quality, '{}:NUMBER']", "3 can't be called"),
    ],
)
def test_what_is_no_such_plug_in_is_told_when_the_job_is_checked(plain: Path, setting: str, told: str) -> None:
    with pytest.raises(InvalidJob) as refused:
        load_job(plain, [setting.format(HERE)])
    assert any(told in line for line in refused.value.mistakes)


def test_a_cost_that_a_space_does_not_count_is_not_taken_for_the_score_of_that_name(plain: Path) -> None:
    """The score `macs` is maximised; who names the cost wants it small."""
    with pytest.raises(InvalidJob, match="unknown objective 'macs'"):
        load_job(plain, [f"space.name={HERE}:uncounted", "search.objectives=[quality, macs]"])


def test_shift_goes_by_the_cost_that_a_space_counts() -> None:
    space = uncounted()
    assert exact_cost(space)(space.largest()) == 1009


def costless() -> Space:
    """Return a space that says no cost."""
    return replace(vector_space(), places=None)


def dear() -> Space:
    """Return a space whose cost is wrong."""
    own = vector_space()
    return replace(own, places=None, cost=lambda columns: {"params": columns["width"].astype(int)})


def broken() -> Space:
    """Return a space whose networks cannot run."""
    return replace(vector_space(), inputs=(replace(vector_space().inputs[0], shape=(3,)),))


def failing() -> Space:
    """Return nothing."""
    raise KeyError("width")


def test_costs_that_a_space_does_not_say_are_counted(plain: Path) -> None:
    job = load_job(plain, [f"space.name={HERE}:costless", "search.constraints.params=<= 300"])
    space, known = build_space(job), vector_space()
    ends = [space.smallest(), space.largest()]
    assert {name: list(column) for name, column in space.costs(ends).items()} == {
        name: list(column) for name, column in known.costs(ends).items()
    }


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("dear", ["says 4 params for the network", "which has 69", "leave out cost"]),
        ("broken", ["one of its networks can't be made or run: RuntimeError", "vectors.py, line"]),
        ("failing", ["failed: KeyError: 'width'", "test_wrong_plug_ins.py, line"]),
    ],
)
def test_a_space_that_is_wrong_is_one_line(plain: Path, name: str, parts: list[str]) -> None:
    with pytest.raises(InvalidJob) as refused:
        load_job(plain, [f"space.name={HERE}:{name}"])
    (line,) = [line for line in refused.value.mistakes if line.startswith("space")]
    assert all(part in line for part in parts), line


class GivesANumber(Regression):
    """Judges by a plain number."""

    def evaluate(self, model: Any, batches: Any) -> Any:
        return 0.5


class DrawsOne(Sampler):
    """Draws an architecture instead of a list."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def draw(self, generator: Any) -> Any:
        return self.space.largest()


class FlatCost(Objective):
    """Evaluates to a plain number."""

    name, unit, maximise, role = "flat", "", False, "cost"

    def __init__(self, space: Space, subnets: Any) -> None:
        pass

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Any:
        return 1.0


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("task.name={}:GivesANumber", "GivesANumber.evaluate must return an Estimate"),
        ("train.sampler={}:DrawsOne", "DrawsOne.draw must return a list of Architectures, got Architecture"),
        ("search.objectives=[quality, '{}:FlatCost']", "FlatCost.evaluate must return an Estimate"),
    ],
)
def test_a_part_that_gives_another_type_ends_the_job_in_one_line(
    plain: Path, tmp_path: Path, setting: str, told: str
) -> None:
    few = ["train.epochs=1", "search.evaluations=2", "search.population=2", "tracking.enabled=false"]
    job = load_job(plain, [setting.format(HERE), *few])
    with pytest.raises(InvalidJob, match=told) as refused:
        run(prepare_folder(job, tmp_path / "job"), job, lambda event: None)
    assert len(refused.value.mistakes) == 1
