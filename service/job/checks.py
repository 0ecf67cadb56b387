"""What is wrong with a job that the types of its fields cannot say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nas.data import DataConfig
from nas.objectives import Bound, costs_of, parse_bound
from search_spaces import Space
from search_spaces.errors import FieldError
from service import catalogue
from service.catalogue import OBJECTIVES, PROXIES, suggestion
from service.errors import InvalidJob
from service.job import latency_checks, samplers, searchers, splits
from service.job import proxies as job_proxies
from service.job.building import build_space
from service.job.device import cuda_devices, device_type
from service.job.job import Job
from service.job.validation import Checked, option_mistakes, placed, show


def require_supernet_space(job: Job) -> None:
    """Refuse a space whose networks share no weights, before any work.

    Raises:
        InvalidJob: It has no elastic network to train.
    """
    if not build_space(job).is_elastic:
        raise InvalidJob(
            [f"space.name: {job.space.name} has no supernet to train; its architectures are scored with: nas score"]
        )


def deep_mistakes(checked: Checked[Job], facts_of: Callable[[DataConfig], Mapping[str, Any]]) -> Iterator[str]:
    """Mistakes that show only once single fields are right; wrong ones have their defaults here."""
    job = checked.tree
    if job is None:
        return
    if checked.sound("device"):
        yield from _device_mistakes(job.device)
    facts: Mapping[str, Any] | None = None
    data_mistakes = list(_source_mistakes(job.data)) if checked.sound("data", "source") else []
    if checked.sound("data") and not data_mistakes:
        facts, data_mistakes = _look_at(job.data, facts_of)
    yield from data_mistakes
    if checked.sound("latency"):
        yield from _backend_mistakes(job, checked.sound("device"))
    objectives = [name for name in job.search.objectives if name not in PROXIES]
    yield from _catalogue_mistakes("objective", "search.objectives", objectives)
    yield from job_proxies.mistakes(job.proxies)
    if job.proxies.filter == "auto" and "accuracy" not in job.search.objectives:
        yield "proxies.filter: auto learns from accuracy, which must be among search.objectives"
    space: Space | None = None
    if checked.sound("space"):
        option_mistakes = list(_option_mistakes(job))
        yield from option_mistakes
        if facts is not None and not option_mistakes:
            space, space_mistakes = _try_space(job, facts)
            yield from space_mistakes
    if checked.sound("train"):
        yield from samplers.mistakes(job.train, space)
        yield from splits.mistakes(job.train, space)
    yield from searchers.mistakes(job.search, space)
    yield from _constraint_mistakes(job, space)
    if checked.sound("latency") and checked.sound("device"):
        yield from latency_checks.mistakes(job, space)


def _source_mistakes(config: DataConfig) -> Iterator[str]:
    """A source that does not exist, or options that it does not take."""
    unknown = list(_catalogue_mistakes("data", "data.source", [config.source]))
    yield from unknown
    if not unknown:
        yield from option_mistakes("data", config.source, config.options, path="data.options", hidden=("config",))


def _look_at(
    config: DataConfig, facts_of: Callable[[DataConfig], Mapping[str, Any]]
) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The facts of the data, or why they cannot be used."""
    try:
        return facts_of(config), []
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
    """A backend that does not exist, is not installed, or cannot do what is asked."""
    unknown = list(_catalogue_mistakes("backend", "latency.backend", [job.latency.backend]))
    yield from unknown
    if not unknown and device_is_known:
        from nas.hardware.latency import mistakes as hardware_mistakes

        yield from (f"latency.{line}" for line in hardware_mistakes(job.latency, device_type(job.device)))


def _catalogue_mistakes(kind: str, path: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        try:
            catalogue.check(kind, name)
        except ValueError as error:
            yield f"{path}: {error}"


def _option_mistakes(job: Job) -> Iterator[str]:
    """The name of the space, and its options against the arguments of its function."""
    try:
        catalogue.check("space", job.space.name)
    except ValueError as error:
        yield f"space.name: {error}"
        return
    yield from option_mistakes("space", job.space.name, job.space.options, path="space.options")


def _try_space(job: Job, facts: Mapping[str, Any]) -> tuple[Space | None, list[str]]:
    """The space, and where it and the data do not go together."""
    mistakes = []
    options = dict(job.space.options)
    for name, there in facts.items():
        given = job.space.options.get(name, there)
        if given != there:
            mistakes.append(f"space.options.{name}: {given} does not fit the data, which has {there}; leave it out")
            del options[name]
    try:
        space = build_space(replace(job, space=replace(job.space, options=options)), facts)
        space.costs([space.largest()])
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        own = {fact: f"data.{fact}" for fact in facts if fact in DataConfig.__dataclass_fields__}
        given = {option: f"space.options.{option}" for option in options}
        return None, [*mistakes, placed(error, "space", own | given)]
    shape = (facts.get("channels"), facts.get("image_size"), facts.get("image_size"))
    if space.inputs and None not in shape and space.inputs[0].shape != shape:
        needs, has = (" x ".join(map(str, one)) for one in (space.inputs[0].shape, shape))
        mistakes.append(f"space: {job.space.name} takes images of {needs}, the data gives {has}; set data.image_size")
    return space, mistakes


def _constraint_mistakes(job: Job, space: Space | None) -> Iterator[str]:
    possible: dict[str, Bound] = {}
    for name, text in job.search.constraints.items():
        path = f"search.constraints.{name}"
        known = dict.fromkeys([*OBJECTIVES, *(own for own in job.search.objectives if own not in OBJECTIVES)])
        if name not in known:
            yield f"{path}: {name!r} is no objective (got {show(text)}){suggestion(name, known)}"
            continue
        try:
            bound = parse_bound(text)
        except ValueError as error:
            yield f"{path}: {error}"
            continue
        reachable = _reachable(name, space)
        if reachable is not None and not _meets(bound, *reachable):
            yield f"{path}: {show(text)} is impossible; {_range(name, reachable, job)}"
        elif reachable is not None and name in ("macs", "params"):
            possible[name] = bound
    if space is not None and len(possible) > 1:
        yield from _contradiction(job, space, possible)


def _contradiction(job: Job, space: Space, bounds: Mapping[str, Bound]) -> Iterator[str]:
    """Limits that can each be kept, but not together."""
    from nas.search.reachable import contradiction

    found = contradiction(space, costs_of(space), bounds)
    if found is not None:
        name, best = found
        others = " and ".join(f"{n} {job.search.constraints[n]}" for n in bounds if n != name)
        text = job.search.constraints[name]
        yield f"search.constraints.{name}: {show(text)} is impossible with {others}; the best reachable is {best:,.0f}"


def _reachable(name: str, space: Space | None) -> tuple[float, float] | None:
    """The range of an objective over the whole space, where it is known without measuring."""
    if name == "accuracy":
        return 0.0, 100.0
    if name in ("latency_ms", "roofline_ms"):
        return 1e-9, float("inf")
    if name not in ("macs", "params") or space is None:
        return None
    try:
        low, high = space.costs([space.smallest(), space.largest()])[name]
    except TypeError:  # a space without exact costs
        return None
    return float(low), float(high)


def _meets(bound: Bound, low: float, high: float) -> bool:
    """Whether a value from `low` to `high` can lie within the bound."""
    return (bound.high is None or bound.high >= low) and (bound.low is None or bound.low <= high)


def _range(name: str, reachable: tuple[float, float], job: Job) -> str:
    low, high = reachable
    if name == "accuracy":
        return "accuracy is a percentage, from 0 to 100"
    if name in ("latency_ms", "roofline_ms"):
        return "latency is more than 0 ms"
    return f"{name} of {job.space.name} reach from {low:,.0f} to {high:,.0f}"
