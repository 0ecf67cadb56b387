"""Mistakes in a job that the types of its fields do not show."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nas.data import DataConfig
from search_spaces import Space
from search_spaces.errors import FieldError
from service import catalogue, own_code
from service.errors import InvalidJob
from service.job import (
    experts,
    latency_checks,
    objectives,
    parts,
    relaxations,
    samplers,
    searchers,
    splits,
    teachers,
    tickets,
)
from service.job import proxies as job_proxies
from service.job.building import LookedAt, build_space, build_task
from service.job.device import cuda_devices, device_type
from service.job.job import Job
from service.job.validation import Checked, option_mistakes, placed

if TYPE_CHECKING:
    from supernets.tasks.task import Task

_MOST_WEIGHTS = 2 * 10**10  # with gradients and momentum, this is more than the memory of any accelerator


def require_supernet_space(job: Job) -> Space:
    """Return the space of a job; refuse one whose networks share no weights, before any work.

    Raises:
        InvalidJob: It has no elastic network to train.
    """
    space = build_space(job)
    if not space.is_elastic:
        raise InvalidJob(
            [f"space.name: {job.space.name} has no supernet to train; its architectures are scored with: nas score"]
        )
    return space


def deep_mistakes(
    checked: Checked[Job],
    look: Callable[[DataConfig], LookedAt],
    warn: Callable[[str], None] = lambda line: None,
    *,
    trained: bool = False,
) -> Iterator[str]:
    """Yield mistakes that appear only once single fields are right; wrong fields have their defaults here.

    Args:
        checked: The job, as far as its fields are right.
        look: Function that looks at the data.
        warn: Receives a line for each thing that is allowed but probably not meant.
        trained: Whether its training is over: what it began with is not needed again.
    """
    job = checked.tree
    if job is None:
        return
    if checked.sound("device"):
        yield from _device_mistakes(job.device)
    data: LookedAt | None = None
    data_mistakes = list(_source_mistakes(job.data)) if checked.sound("data", "source") else []
    if checked.sound("data") and not data_mistakes:
        data, data_mistakes = _look_at(job.data, look)
    yield from data_mistakes
    if checked.sound("latency"):
        yield from _backend_mistakes(job, checked.sound("device"))
    task, task_mistakes = _try_task(job, data) if checked.sound("task") else (None, [])
    yield from task_mistakes
    if task is not None and checked.sound("train"):
        yield from _example_mistakes(job, task)
    space, space_mistakes = _try_space(job, data) if checked.sound("space") else (None, [])
    yield from space_mistakes
    yield from job_proxies.mistakes(job.proxies, () if space is None else space.cost_names)
    if checked.sound("train"):
        yield from samplers.mistakes(job.train, space)
        yield from splits.mistakes(job.train, space)
        if not trained:
            yield from teachers.mistakes(job.train, {} if data is None else data.facts)
        yield from relaxations.mistakes(job.train, space, has_table=bool(job.latency.table))
        if checked.sound("supernet"):
            yield from experts.mistakes(job.supernet.mixture, space, job.train)
        yield from tickets.mistakes(job.train.tickets, space, job.search.searcher, started=trained)
        _warn_of_given_weights(job, space, warn)
    learns = job.train.tickets is not None or (job.train.relaxation is not None and job.train.relaxation.learns)
    yield from searchers.mistakes(job.search, space, learns=learns or not checked.sound("train"))
    yield from parts.mistakes(job, space, trained=trained)
    yield from objectives.mistakes(job, task, space, warn)
    if checked.sound("latency") and checked.sound("device"):
        yield from latency_checks.mistakes(job, space, warn)


def _warn_of_given_weights(job: Job, space: Space | None, warn: Callable[[str], None]) -> None:
    """Say that a training of all sizes at once soon loses the weights that the largest network begins with."""
    if space is not None and space.weights is not None and job.train.schedule != "adapted":
        adapted = "train.schedule=adapted first trains the whole network on these data, and lets it teach the others"
        warn(
            f"train.schedule: {job.train.schedule} trains other sizes before the given weights fit the data; {adapted}"
        )


def _source_mistakes(config: DataConfig) -> Iterator[str]:
    """Yield what is wrong with the name of a source, and with options that it does not take."""
    unknown = list(_catalogue_mistakes("data", "data.source", [config.source]))
    yield from unknown
    if not unknown:
        yield from option_mistakes("data", config.source, config.options, path="data.options", hidden=("config",))


def _look_at(config: DataConfig, look: Callable[[DataConfig], LookedAt]) -> tuple[LookedAt | None, list[str]]:
    """Return what is known of the data, or why they cannot be used."""
    try:
        return look(config), []
    except FieldError as error:
        return None, [f"data.{error.field}: {error.text}"]
    except ValueError as error:
        return None, [f"data: {line}" for line in str(error).splitlines()]


def _device_mistakes(device: str) -> Iterator[str]:
    if not device.startswith("cuda"):
        return
    count, index = cuda_devices(), int(device.partition(":")[2] or 0)
    if index >= count:
        there = (
            f"there are {count}, cuda:0 to cuda:{count - 1}" if count else "PyTorch finds none here; use auto or cpu"
        )
        yield f"device: {device!r} is no CUDA device of this machine; {there}"


def _backend_mistakes(job: Job, device_is_known: bool) -> Iterator[str]:
    """Yield why a backend cannot be had: it does not exist, is not installed, or cannot do what is asked."""
    places = {"latency": job.latency, **({} if job.latency.server is None else {"latency.server": job.latency.server})}
    for path, config in places.items():
        unknown = list(_catalogue_mistakes("backend", f"{path}.backend", [config.backend]))
        yield from unknown
        if not unknown and device_is_known:
            from nas.hardware.checks import mistakes as hardware_mistakes

            yield from (f"{path}.{line}" for line in hardware_mistakes(config, device_type(job.device)))


def _catalogue_mistakes(kind: str, path: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        try:
            catalogue.check(kind, name)
        except ValueError as error:
            yield f"{path}: {error}"


def _try_task(job: Job, data: LookedAt | None) -> "tuple[Task | None, list[str]]":
    """Return the task, and what is wrong with its name and options, and where it and the data do not go together."""
    name = job.task.name or (data.task if data is not None else None)
    if name is None:
        return None, []
    found = list(_part_mistakes("task", name, job.task.options))
    if found or data is None:
        return None, found
    options, found = _fitting(job.task.options, data, "task.options")
    try:
        return build_task(replace(job, task=replace(job.task, options=options)), data), found
    except (ValueError, TypeError) as error:
        return None, [*found, placed(error, "task", _places("task", options, data))]


def _example_mistakes(job: Job, task: "Task") -> Iterator[str]:
    """Yield that classes are to be balanced where the examples of the task have none."""
    from supernets.tasks.task import Task

    if job.train.examples == "balanced" and type(task).groups is Task.groups:
        yield "train.examples: balanced needs a task whose examples have classes, such as classification"


def _try_space(job: Job, data: LookedAt | None) -> tuple[Space | None, list[str]]:
    """Return the space, and what is wrong with its name and options, and where it and the data do not go together."""
    found = list(_part_mistakes("space", job.space.name, job.space.options))
    if found or data is None:
        return None, found
    options, found = _fitting(job.space.options, data, "space.options")
    try:
        space = build_space(replace(job, space=replace(job.space, options=options)), data.facts)
        if ":" in job.space.name and (wrong := _own_space_mistake(space)):
            return None, [*found, f"space: {job.space.name}: {wrong}"]
        weights = int(space.costs([space.largest()]).get("params", [0])[0])
        if not 0 <= weights <= _MOST_WEIGHTS:
            raise ValueError(f"its largest network has more than {_MOST_WEIGHTS:,} weights; make its sizes smaller")
    except (OverflowError, MemoryError, RecursionError) as error:
        return None, [*found, f"space: its sizes are out of reach ({error or type(error).__name__}); make them smaller"]
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        return None, [*found, placed(error, "space", _places("space", options, data))]
    return space, [*found, *_input_mistakes(job, space, data)]


def _own_space_mistake(space: Space) -> str:
    """Return what is wrong with a space of the user's own that shows on its networks; empty where nothing is."""
    from search_spaces.counted_costs import wrong_costs

    try:
        wrong = wrong_costs(space)
    except Exception as error:  # the user's own networks may raise anything
        return f"one of its networks can't be made or run: {own_code.fault(error)}"
    if wrong is None:
        return ""
    said = f"says {wrong.said:,.0f} {wrong.name} for the network {wrong.architecture.key}"
    advice = (
        "leave out cost and places to have them counted" if space.places is None else "correct the blocks of its places"
    )
    return f"{said}, which has {wrong.counted:,.0f}; {advice} (its decisions: {dict(wrong.architecture)})"


def _part_mistakes(kind: str, name: str, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the name of a space or task, and with its options."""
    unknown = list(_catalogue_mistakes(kind, f"{kind}.name", [name]))
    yield from unknown
    if not unknown:
        try:
            hidden = catalogue.GIVEN_TO_SPACES if kind == "space" else catalogue.GIVEN_TO_TASKS
            yield from option_mistakes(kind, name, options, path=f"{kind}.options", hidden=hidden)
        except ValueError as error:
            yield f"{kind}.name: {name}: {error}"


def _fitting(options: Mapping[str, Any], data: LookedAt, path: str) -> tuple[dict[str, Any], list[str]]:
    """Return the options without those that contradict the data, and a line for each of these."""
    wrong = [name for name, there in data.facts.items() if options.get(name, there) != there]
    lines = [
        f"{path}.{name}: {options[name]} does not fit the data, which has {data.facts[name]}; leave it out"
        for name in wrong
    ]
    return {name: value for name, value in options.items() if name not in wrong}, lines


def _places(section: str, options: Mapping[str, Any], data: LookedAt) -> dict[str, str]:
    """Return the place of the arguments of a space or task in a job."""
    given = {fact: f"data.{fact}" for fact in data.facts if fact in DataConfig.__dataclass_fields__}
    decided = {name: f"space.{name}" for name in ("precision", "precision.kinds", "precision.start")}
    return given | decided | {option: f"{section}.options.{option}" for option in options}


def _graph_mistakes(job: Job, data: LookedAt) -> Iterator[str]:
    """Yield that a space or a task does not go together with a graph."""
    graph, own_space, own_task = "graph" in data.facts, ":" in job.space.name, ":" in (job.task.name or "")
    if not own_space and ("graph" in catalogue.parameters("space", job.space.name)) != graph:
        needs, given = ("images or text", "a graph") if graph else ("a graph", "none")
        yield f"space: {job.space.name} needs {needs}, the data gives {given}"
    if graph and not own_task and job.task.name not in (None, data.task):
        yield f"task.name: must be {data.task} for the labels of these data, got {job.task.name!r}"


def _input_mistakes(job: Job, space: Space, data: LookedAt) -> Iterator[str]:
    """Yield that the networks of a space take images of another shape than the data has, where no option says it.

    On text, a task that is not that of the data may take other inputs than rows of tokens.
    """
    yield from _graph_mistakes(job, data)
    facts, tokens = data.facts, sum(not one.dtype.startswith("float") for one in space.inputs)
    rows = sum(name.endswith("vocabulary") for name in facts)  # the data name one for each input
    of_data = job.task.name in (None, data.task) and rows > 0 and len(space.inputs) > 0
    if of_data and not rows == tokens == len(space.inputs):
        inputs = len(space.inputs)
        has = f"has {inputs} input{'s' if inputs != 1 else ''}, {tokens or 'none'} of tokens"
        yield f"space: {job.space.name} {has}; the task {data.task} needs {rows} of tokens"
    shape = tuple(facts[name] for name in ("channels", "image_size", "image_size") if name in facts)
    if space.inputs and len(shape) == 3 and space.inputs[0].shape != shape:
        needs, has = (" x ".join(map(str, one)) for one in (space.inputs[0].shape, shape))
        takes, remedy = f"takes images of {needs}", "; set data.image_size"
        if tokens == len(space.inputs):
            takes, remedy = "takes rows of tokens", ""
        yield f"space: {job.space.name} {takes}, the data gives {'' if remedy else 'images of '}{has}{remedy}"
