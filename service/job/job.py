"""A job: everything one run needs, as one tree of dataclasses that is checked as a whole.

People write it as YAML; beside its results it is kept as JSON. Whatever is wrong in it is reported at once.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict

from nas.data import DataConfig, DataShape, InvalidData, check_data
from nas.hardware.latency import mistakes as latency_mistakes
from nas.objectives import Bound, parse_bound
from nas.scoring import ProxyConfig
from nas.search.config import SearchConfig
from nas.search.reachable import contradiction
from search_spaces import Space
from service.catalogue import OBJECTIVES, PROXIES, check, resolve, suggestion
from service.errors import InvalidJob
from service.job import latency, samplers, searchers, splits
from service.job import proxies as job_proxies
from service.job.files import job_file, read_fields, split_setting, with_setting
from service.job.latency import LatencySection
from service.job.validation import Checked, check_fields, field_paths, keyword_mistakes, show
from service.tracking.sync import TrackingConfig
from supernets.training.config import TrainConfig

PLACEHOLDERS: dict[str, Any] = {"name": "job", "space": {"name": "small_mobilenet_v3"}}
FREE_FORM = {
    *(("space", "options"), ("train", "sampler_options")),
    *(("search", "constraints"), ("search", "searcher_options"), ("proxies", "options")),
}


@dataclass(frozen=True, kw_only=True)
class SpaceConfig:
    """Which search space.

    Args:
        name: Catalogue name, or `package.module:function`.
        options: Keyword arguments of that function. Image size, channels and classes come from the data.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run from data to a measured Pareto front.

    Args:
        name: What the job is called; output folders and MLflow runs are named after it.
        seed: Of everything random.
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        data: The images.
        space: What can be built.
        train: How the supernet is trained.
        search: How it is searched.
        proxies: Scores without training, beside or in the search.
        latency: How latency is measured, or predicted.
        tracking: Where the job is logged.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    seed: int = 0
    device: str = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    space: SpaceConfig
    train: TrainConfig = field(default_factory=TrainConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    proxies: ProxyConfig = field(default_factory=ProxyConfig)
    latency: LatencySection = field(default_factory=LatencySection)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name):
            allowed = "letters, digits, '.', '_' and '-', at most 100, the first a letter or digit"
            raise ValueError(f"name must be {allowed} (folders are named after it), got {self.name!r}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be from 0 to {2**32 - 1}, got {self.seed}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {self.device!r}")


def load_job(source: str | Path, sets: Sequence[str] = ()) -> Job:
    """Reads a job, applies ``path=value`` settings to it and checks the whole.

    Args:
        source: Name of a recipe, a `.yaml`, `.yml` or `.json` file, or the folder of an earlier job.
        sets: Settings such as ``train.epochs=5``; values are YAML.

    Raises:
        InvalidJob: With all mistakes at once.
    """
    try:
        fields = read_fields(job_file(source))
    except ValueError as error:
        raise InvalidJob([str(error)]) from error
    return job_of(fields, sets)


def job_of(
    data: Mapping[str, Any], sets: Sequence[str] = (), *, shape_of: Callable[[DataConfig], DataShape] = check_data
) -> Job:
    """The job with these fields, as nested mappings, and settings on top of them.

    Args:
        data: The fields.
        sets: Settings such as ``train.epochs=5``; values are YAML.
        shape_of: Looks at the data; who checks many jobs on the same data remembers what it said.

    Raises:
        InvalidJob: With all mistakes at once.
    """
    data, mistakes = with_settings(data, sets)
    checked = check_fields(Job, data, PLACEHOLDERS)
    order = list(Job.__dataclass_fields__)
    found = [*checked.mistakes.values(), *_deep_mistakes(checked, shape_of)]
    mistakes += sorted(found, key=lambda line: _place(line, order))
    if mistakes or checked.tree is None:
        raise InvalidJob(mistakes)
    return checked.tree


def with_settings(data: Mapping[str, Any], sets: Sequence[str]) -> tuple[Mapping[str, Any], list[str]]:
    """The fields with settings on top of them, and what is wrong with the settings."""
    mistakes: list[str] = []
    for setting in sets:
        try:
            path, value = split_setting(setting)
            if path[:2] in FREE_FORM and len(path) > 3:  # a key that has dots of its own, such as package.module:object
                last = path[-1:] if path[0] == "proxies" else ()  # the option of a proxy
                path = (*path[:2], ".".join(path[2 : len(path) - len(last)]), *last)
            _check_path(setting, path)
            data = with_setting(data, path, value)
        except ValueError as error:
            mistakes.append(str(error))
    return data, mistakes


def _place(line: str, order: Sequence[str]) -> int:
    """Where in a job file a mistake lies, so that mistakes are told from top to bottom."""
    section = re.split(r"[.:]", line)[0]
    return order.index(section) if section in order else -1


def require_supernet_space(job: Job) -> None:
    """Refuse a space whose networks share no weights, before any work.

    Raises:
        InvalidJob: It has no elastic network to train.
    """
    if not build_space(job).is_elastic:
        raise InvalidJob(
            [f"space.name: {job.space.name} has no supernet to train; its architectures are scored with: nas score"]
        )


def to_dict(job: Job) -> dict[str, Any]:
    """The job as nested mappings that JSON and YAML can write, and `load_job` can read."""
    return asdict(job)


def build_space(job: Job, data_shape: DataShape | None = None) -> Space:
    """The search space of a job; image size, channels and classes are those of the data unless its options say.

    Args:
        job: Whose space.
        data_shape: What the data are like, where that is known already.

    Raises:
        ValueError: The space does not exist, or refuses its options.
    """
    return resolve("space", job.space.name)(**space_options(job, data_shape))


def space_options(job: Job, data_shape: DataShape | None = None) -> dict[str, Any]:
    """The options of a job's space, with those that follow from its data."""
    data_shape = data_shape or check_data(job.data)
    taken = inspect.signature(resolve("space", job.space.name)).parameters
    size = data_shape.image_size
    offered = {
        "image_size": size,
        "channels": data_shape.channels,
        "classes": data_shape.classes,
        "resolutions": (size,),
    }
    filled = {name: value for name, value in offered.items() if name in taken}
    return {**filled, **job.space.options}


# ---- what the types cannot say ------------------------------------------------------------------------------------


def _deep_mistakes(checked: Checked[Job], shape_of: Callable[[DataConfig], DataShape]) -> Iterator[str]:
    """Mistakes that show only once single fields are right; wrong ones have their defaults here."""
    job = checked.tree
    if job is None:
        return
    if checked.sound("device"):
        yield from _device_mistakes(job.device)
    shape: DataShape | None = None
    if checked.sound("data"):
        try:
            shape = shape_of(job.data)
        except InvalidData as error:
            yield from (f"data: {line}" for line in str(error).splitlines())
    if checked.sound("latency"):
        yield from _latency_mistakes(job, checked.sound("device"))
    objectives = [name for name in job.search.objectives if name not in PROXIES]
    yield from _catalogue_mistakes("objective", "search.objectives", objectives)
    yield from job_proxies.mistakes(job.proxies)
    if job.proxies.filter == "auto" and "accuracy" not in job.search.objectives:
        yield "proxies.filter: auto learns from accuracy, which must be among search.objectives"
    space: Space | None = None
    if checked.sound("space"):
        option_mistakes = list(_option_mistakes(job))
        yield from option_mistakes
        if shape is not None and not option_mistakes:
            space, space_mistakes = _try_space(job, shape)
            yield from space_mistakes
    if checked.sound("train"):
        yield from samplers.mistakes(job.train, space)
        yield from splits.mistakes(job.train, space)
    yield from searchers.mistakes(job.search, space)
    yield from _constraint_mistakes(job, space)
    if checked.sound("latency") and checked.sound("device"):
        yield from latency.mistakes(job, space)


def _device_mistakes(device: str) -> Iterator[str]:
    if not device.startswith("cuda"):
        return
    count, index = torch.cuda.device_count(), int(device.partition(":")[2] or 0)
    if index >= count:
        there = (
            f"there are {count}, cuda:0 to cuda:{count - 1}" if count else "PyTorch finds none here; use auto or cpu"
        )
        yield f"device: {device!r} is no CUDA device of this machine; {there}"


def _latency_mistakes(job: Job, device_is_known: bool) -> Iterator[str]:
    """A backend that does not exist, is not installed, or cannot do what is asked."""
    unknown = list(_catalogue_mistakes("backend", "latency.backend", [job.latency.backend]))
    yield from unknown
    if not unknown and device_is_known:
        yield from (f"latency.{line}" for line in latency_mistakes(job.latency, device_type(job.device)))


def device_type(name: str) -> str:
    """`cpu` or `cuda`, for a device as a job names it."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name.partition(":")[0]


def _catalogue_mistakes(kind: str, path: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        try:
            check(kind, name)
        except ValueError as error:
            yield f"{path}: {error}"


def _option_mistakes(job: Job) -> Iterator[str]:
    """The name of the space, and its options against the arguments of its function."""
    try:
        function = resolve("space", job.space.name)
    except ValueError as error:
        yield f"space.name: {error}"
        return
    yield from keyword_mistakes(function, job.space.options, path="space.options", owner=job.space.name)


def _try_space(job: Job, shape: DataShape) -> tuple[Space | None, list[str]]:
    """The space, and where it and the data do not go together."""
    mistakes = []
    options = dict(job.space.options)
    for name, there in (("classes", shape.classes), ("channels", shape.channels), ("image_size", shape.image_size)):
        given = job.space.options.get(name, there)
        if given != there:
            mistakes.append(f"space.options.{name}: {given} does not fit the data, which has {there}; leave it out")
            del options[name]
    try:
        space = build_space(replace(job, space=replace(job.space, options=options)), shape)
        space.costs([space.largest()])
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        option = str(error).partition(" ")[0]
        where = f"space.options.{option}" if option in job.space.options else "space"
        where = "data.image_size" if option == "image_size" and option not in options else where
        rest = str(error).removeprefix(option).strip() if where != "space" else str(error)
        return None, [*mistakes, f"{where}: {rest}"]
    if space.input_shape and tuple(space.input_shape) != (shape.channels, shape.image_size, shape.image_size):
        needs = " x ".join(map(str, space.input_shape))
        has = f"{shape.channels} x {shape.image_size} x {shape.image_size}"
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
    if space is not None and len(possible) > 1 and (found := contradiction(space, possible)) is not None:
        name, best = found
        others = " and ".join(f"{n} {job.search.constraints[n]}" for n in possible if n != name)
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
        low, high = getattr(space.costs([space.smallest(), space.largest()]), name)
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


def _check_path(setting: str, path: tuple[str, ...]) -> None:
    """Whether a setting names a field, or an entry of a field with free names."""
    valid = [known for known, _ in field_paths(Job)]
    if path[:2] in FREE_FORM or any(known[: len(path)] == path for known in valid):
        return
    same_end = [".".join(known) for known in valid if known[-1] == path[-1]]
    if same_end:
        raise ValueError(f"--set {setting!r}: no field {'.'.join(path)!r}; did you mean {' or '.join(same_end)}?")
    for depth in range(len(path) - 1, 0, -1):  # the innermost section that there is
        names = dict.fromkeys(known[depth] for known in valid if len(known) > depth and known[:depth] == path[:depth])
        if names:
            where = ".".join(path[:depth])
            raise ValueError(f"--set {setting!r}: {where} has no field {path[depth]!r}{suggestion(path[depth], names)}")
    top = dict.fromkeys(known[0] for known in valid)
    raise ValueError(f"--set {setting!r}: no field {'.'.join(path)!r}{suggestion(path[0], top)}")
