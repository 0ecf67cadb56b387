"""The first job for data: the space, the length of the training, the number of evaluations, and the reasons."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from nas.data import DataConfig
from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.building import build_space, look_at
from service.job.found_weights import weights_line
from service.job.given_data import data_fields
from service.job.job import Job
from service.job.loading import job_of
from service.starting import measuring
from service.starting.budget import Shares, Speed, enough, shared_out
from service.starting.spaces import OfferedSpace, given_model, offered_spaces
from supernets.estimate import Estimate

_ROOM = 0.8  # share of the limit that the smallest network may take, so that there is something to search
_TOO_LONG = 1.3
_GENTLE = 0.02  # peak learning rate of a training that begins with given weights, for 64 examples a step


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The wishes of a user.

    Args:
        data: A folder of images, an npz file, or a dataset of timm.
        latency_ms: The limit on the latency of one image; None for no limit.
        size: Side of the square images in pixels; None for that of the data.
        budget_s: Seconds that the whole job may take.
        device: Device where it runs; None for the best one available.
        model: A model whose parts are searched, of timm or `package.module:function`; None for a space that fits.
        checkpoint: File of the weights of the model; None for those of timm.
    """

    data: str
    latency_ms: float | None = None
    size: int | None = None
    budget_s: float = 1800.0
    device: str | None = None
    model: str | None = None
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class FirstJob:
    """A job, with the facts behind its choices.

    Args:
        wish: Wishes of the user.
        job: The job.
        space: Its space.
        facts: Facts of the data.
        sizes: Examples of each split.
        speed: Measurements.
        shares: Shares of the budget.
        latencies: Latencies of the smallest and of the largest network, in ms.
        left_out: Names each example that cannot be used.
    """

    wish: Wish
    job: Job
    space: OfferedSpace
    facts: Mapping[str, Any]
    sizes: Mapping[str, int]
    speed: Speed
    shares: Shares
    latencies: tuple[Estimate, Estimate]
    left_out: tuple[str, ...] = ()


def chosen_job(wish: Wish, say: Callable[[str], None]) -> FirstJob:
    """Return a job for data, chosen by a short measurement on this machine.

    Args:
        wish: Wishes of the user.
        say: Receives lines about the progress.

    Raises:
        InvalidJob: The data cannot be used, or a limit or the budget cannot be kept.
        InvalidData: The data are missing or damaged.
    """
    fields = _common_fields(wish)
    size = _image_size(fields["data"])
    spaces = offered_spaces(size) if wish.model is None else [_checked_model(wish, fields)]
    say("reading the data")
    readable = {**fields, "data": {**fields["data"], "on_error": "skip"}}
    data, load_s = measuring.read_data(_job(readable, spaces[0]))
    if data.left_out:
        fields = readable
    fields["train"] = _training(len(data.train))
    fields["search"]["calibration_examples"] = min(1000, len(data.train))
    say("measuring the latency of the smallest and the largest networks")
    for fitting in _fitting(wish, fields, spaces):
        say(f"measuring training steps and evaluations: {fitting.space.about}")
        chosen = fitting
        speed = measuring.measured_speed(chosen.job, data, load_s)
        shares = shared_out(speed, wish.budget_s)
        if enough(shares):
            break
    if shares.total_s > _TOO_LONG * wish.budget_s:
        least = f"{shares.epochs:g} epochs and {shares.evaluations} networks take {shares.total_s / 60:.1f} min"
        raise InvalidJob([f"--budget: {wish.budget_s:g} s are too short for these data here: {least}"])
    return FirstJob(
        wish=wish,
        job=_budgeted(fields, chosen.space, shares),
        space=chosen.space,
        facts=data.facts,
        sizes=data.sizes,
        speed=speed,
        shares=shares,
        latencies=chosen.latencies,
        left_out=tuple(data.left_out),
    )


def _checked_model(wish: Wish, fields: Mapping[str, Any]) -> OfferedSpace:
    """Return the space of the model that is wished for, once its weights are found.

    Raises:
        InvalidJob: The model or its weights cannot be had.
    """
    assert wish.model is not None
    space = given_model(wish.model, wish.checkpoint)
    weights_line(build_space(_job(fields, space)))
    return space


def _image_size(data: Mapping[str, Any]) -> int:
    """Return the side of the images of data as networks get them.

    Raises:
        InvalidJob: A field has an invalid value, or the data are not images.
    """
    try:
        facts = look_at(DataConfig(**data)).facts
    except FieldError as error:
        raise InvalidJob([f"data.{error.field}: {error.text}"]) from error
    if "image_size" not in facts:
        raise InvalidJob([f"DATA: {data['source']} has no images; write the job by hand, from: nas show quickstart"])
    return facts["image_size"]


def _common_fields(wish: Wish) -> dict[str, Any]:
    """Return the fields of a job that do not depend on what is measured."""
    data = data_fields(wish.data, "DATA")
    if wish.size is not None:
        data["image_size"] = wish.size
    limit = {} if wish.latency_ms is None else {"constraints": {"latency_ms": f"<= {wish.latency_ms:g}"}}
    return {
        "name": job_name(wish.data),
        "data": data,
        "search": {"objectives": ["accuracy", "latency_ms"], **limit},
        **({} if wish.device is None else {"device": wish.device}),
    }


def job_name(data: str) -> str:
    """Return a name for a job on data, from the last part of their path."""
    last = Path(data).expanduser().resolve().name if not data.startswith(("torch/", "hf")) else data
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last.removesuffix(".npz")).strip("-._")[:80] or "photos"


def _training(examples: int) -> dict[str, Any]:
    batch = 64 if examples >= 512 else 32 if examples >= 64 else max(2, examples // 4)
    return {"sampler": "sandwich", "subnets_per_step": 3, "batch_size": batch, "lr": round(0.1 * batch / 64, 4)}


def _adapted(batch: int) -> dict[str, Any]:
    """Return the settings that keep given weights: the whole network first, and smaller steps."""
    lr = round(_GENTLE * batch / 64, 4)
    return {"schedule": "adapted", "adapt": {"share": 0.4, "lr": lr / 2}, "lr": lr, "weight_decay": 1e-4}


def _job(fields: Mapping[str, Any], space: OfferedSpace) -> Job:
    return job_of({**fields, "space": {"name": space.name, "options": space.options}})


class _Fitting(NamedTuple):
    """A space, a job of it, and the latencies of its smallest and its largest network."""

    space: OfferedSpace
    job: Job
    latencies: tuple[Estimate, Estimate]


def _fitting(wish: Wish, fields: Mapping[str, Any], spaces: list[OfferedSpace]) -> list[_Fitting]:
    """Return the spaces with networks that keep the limit, the one with the largest networks first.

    Raises:
        InvalidJob: Even the smallest network of all is slower than the limit.
    """
    unlimited = {**fields, "search": {**fields["search"], "constraints": {}}}
    measured: list[_Fitting] = []
    for space in spaces:
        latencies = measuring.latency_range(_job(unlimited, space))
        measured.append(_Fitting(space, _job(fields, space), latencies))
    limit = wish.latency_ms
    if limit is None:
        return measured
    roomy = [one for one in measured if one.latencies[0].value <= _ROOM * limit]
    kept = roomy or [one for one in measured if (one.latencies[0].high or one.latencies[0].value) <= limit]
    if not kept:
        last = measured[-1]
        takes = f"the smallest network offered ({last.space.about}) takes {last.latencies[0].value:.3g} ms here"
        smaller = f"smaller images are faster: --size {_smaller(look_at(last.job.data).facts['image_size'])}"
        raise InvalidJob([f"--latency: {limit:g} ms can't be met: {takes}; {smaller}"])
    return kept


def _smaller(size: int) -> int:
    return max(8, size // 2)


def _budgeted(fields: Mapping[str, Any], space: OfferedSpace, shares: Shares) -> Job:
    population = max(6, min(24, shares.evaluations // 8))
    search = {**fields["search"], "evaluations": shares.evaluations, "population": population}
    train = {**fields["train"], "epochs": shares.epochs}
    if "model" in space.options:
        train |= _adapted(train["batch_size"])
    try:
        return _job({**fields, "search": search, "train": train}, space)
    except FieldError as error:
        raise InvalidJob([str(error)]) from error


def leading_from(first: FirstJob, file: Path) -> FirstJob:
    """Return a first job whose paths lead from its file: as typed in the current folder, else whole ones."""
    beside, wish = file.resolve().parent == Path.cwd(), first.wish
    if first.job.data.path is not None:
        path = wish.data if beside else _whole(wish.data)
        first = replace(first, job=replace(first.job, data=replace(first.job.data, path=path)))
    if wish.checkpoint is not None and not beside:
        options = {**first.space.options, "checkpoint": _whole(wish.checkpoint)}
        first = replace(first, space=first.space._replace(options=options))
    return first


def _whole(path: str) -> str:
    return str(Path(path).expanduser().resolve())
