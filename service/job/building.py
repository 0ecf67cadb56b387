"""The task and the search space of a job, fitted to its data."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.data import DataConfig, DataSource
from nas.objectives.limits import parse_bound
from search_spaces import Space
from search_spaces.accelerators.evaluation import CYCLES
from search_spaces.counted_costs import with_counted_costs
from search_spaces.errors import FieldError
from service import catalogue
from service.job.job import Job, SpaceConfig, TaskConfig
from service.job.tickets import supernet_file
from supernets.experts import with_experts

if TYPE_CHECKING:
    from supernets.tasks.task import Task


def data_source(config: DataConfig) -> DataSource:
    """Return the data of a job, found but not loaded yet.

    Raises:
        InvalidData: The data is missing, damaged, too small or not of the expected form.
        FieldError: A field has a value that does not go with the source.
        ValueError: There is no such source, or it refuses its options.
    """
    return catalogue.make("data", config.source, offered={"config": config}, options=config.options)


class LookedAt(NamedTuple):
    """The facts that are known of data without loading them.

    Attributes:
        task: Name of the task that they are for.
        facts: Facts by the name of the argument of a space or task.
    """

    task: str
    facts: Mapping[str, Any]


def look_at(config: DataConfig) -> LookedAt:
    """Return what is known of the data of a job without loading them.

    Raises:
        ValueError: As `data_source`.
    """
    return look_into(config, data_source(config))


def look_into(config: DataConfig, source: DataSource) -> LookedAt:
    """Return what is known of data that are found already.

    Raises:
        ValueError: The object is not a source of data.
    """
    if not isinstance(source, DataSource):
        what = f"it returned {type(source).__name__}, which has not all of task, facts, sizes and load"
        raise ValueError(f"{config.source} is not a source of data: {what}")
    return LookedAt(source.task, source.facts)


def data_facts(config: DataConfig) -> Mapping[str, Any]:
    """Return the facts of the data, by the name of the argument of a space or task.

    Raises:
        ValueError: As `data_source`.
    """
    return look_at(config).facts


def build_task(job: Job, data: LookedAt | None = None) -> "Task":
    """Return the task of the networks of a job: the one that the job names, or that of the data.

    Args:
        job: Job whose task is made.
        data: Facts of its data, where these were looked at already.

    Raises:
        ValueError: The task does not exist, or refuses its options.
    """
    data = look_at(job.data) if data is None else data
    offered = {
        **data.facts,
        "label_smoothing": job.train.label_smoothing,
        "make_task": partial(_task_of_each, job, data),
    }
    name = job.task.name or data.task
    made = catalogue.make("task", name, offered=offered, options=job.task.options)
    from supernets.tasks.task import Metric, Task

    if Task not in type(made).__mro__:
        raise ValueError(f"{name} is not a task: it does not inherit from supernets.Task")
    try:
        metric = made.metric
    except AttributeError as error:
        raise ValueError(f"{name} is not a task: {error}") from error
    if not isinstance(metric, Metric):
        raise ValueError(f"{name} is not a task: its metric is {metric!r}, not a supernets.tasks.Metric")
    return made


def _task_of_each(job: Job, data: LookedAt, name: str | None, options: Mapping[str, Any]) -> "Task":
    """Return a task that the task of a job is made of; None names that of the data."""
    return build_task(replace(job, task=TaskConfig(name=name, options=dict(options))), data)


def build_space(job: Job, facts: Mapping[str, Any] | None = None) -> Space:
    """Return the search space of a job, which is given the facts of the data that its options do not set.

    Costs that the space does not state are counted on its networks. Its supernets have the experts that the job wants.

    Args:
        job: Job whose space is meant.
        facts: Facts of the data, where they are known already; see `data_facts`.

    Raises:
        ValueError: The space does not exist, or refuses its options.
    """
    offered = {**_offered(job, facts), "call_own": catalogue.call_own, "make_space": partial(_part, job, facts)}
    made = catalogue.make("space", job.space.name, offered=offered, options=job.space.options)
    if not isinstance(made, Space):
        raise ValueError(f"{job.space.name} is not a space: it returned {type(made).__name__}, not search_spaces.Space")
    found = with_experts(with_counted_costs(made), job.supernet.mixture)
    precision = job.space.precision
    if precision is None:
        return found
    if job.supernet.mixture is not None:
        raise FieldError("precision", "must be null with supernet.mixture, whose layers are blends of several")
    from search_spaces.precision import with_precision

    start = None if precision.start is None else str(supernet_file(precision.start))
    return with_precision(found, replace(precision, start=start))


def _part(job: Job, facts: Mapping[str, Any] | None, name: str, options: Mapping[str, Any]) -> Space:
    """Return a space that the space of a job is made of, on the same data."""
    return build_space(replace(job, space=SpaceConfig(name=name, options=dict(options))), facts)


def space_options(job: Job, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the options of a job's space, with those that follow from its data."""
    taken = catalogue.parameters("space", job.space.name, hidden=catalogue.GIVEN_TO_SPACES)
    return {**{name: value for name, value in _offered(job, facts).items() if name in taken}, **job.space.options}


def _offered(job: Job, facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the facts of the data, and what a space may choose from, or keep within, unless its options say more."""
    facts = data_facts(job.data) if facts is None else facts
    sizes = {"resolutions": (facts["image_size"],)} if "image_size" in facts else {}
    return {**facts, **sizes, "deadline_cycles": _deadline(job)}


def _deadline(job: Job) -> float | None:
    """Return the most cycles that a job allows; None where it does not limit them."""
    try:
        return parse_bound(job.search.constraints.get(CYCLES, ""), unit=CYCLES, maximise=False).high
    except ValueError:  # no limit, or one that is refused where limits are checked
        return None
