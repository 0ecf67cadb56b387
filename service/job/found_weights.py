"""Weights that the space of a job was given: looked for before any work, and what they ask of the data."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from search_spaces import Space
from search_spaces.errors import FieldError
from search_spaces.weights.found import FoundWeights
from service import catalogue
from service.errors import InvalidJob
from service.job.job import Job


def with_wanted_data(job: Job) -> Job:
    """Return the job with the settings of data that its weights were trained with, where it leaves them open.

    They become a part of the job, so that whatever runs in its folder later prepares its data in the same way.
    """
    wanted = catalogue.wanted_data(job.space.name, job.space.options)
    if job.data.mean is not None or job.data.std is not None:
        wanted = {name: value for name, value in wanted.items() if name not in ("mean", "std")}
    missing = {name: value for name, value in wanted.items() if getattr(job.data, name) is None}
    return replace(job, data=replace(job.data, **missing)) if missing else job


def weights_line(space: Space, training: Path | None = None) -> str:
    """Look for the weights that a training begins with; return a line for people, empty where there are none.

    Args:
        space: Space whose supernet is trained.
        training: Folder where an interrupted training may have left its checkpoint; one that goes on needs no weights.

    Raises:
        InvalidJob: The weights cannot be had, or are of another network.
    """
    weights = space.weights
    if not isinstance(weights, FoundWeights):
        return ""
    from supernets.training.checkpoint import has_begun  # not needed where jobs are only read

    if training is None or not has_begun(training):
        taken(weights.check)
    return f"weights: {weights.describe()}"


def taken(use: Callable[..., Any], *arguments: Any) -> None:
    """Use given weights; what is wrong with them is a mistake of the job.

    Raises:
        InvalidJob: The weights cannot be had, or are of another network.
    """
    try:
        use(*arguments)
    except FieldError as error:
        section = "space" if error.field.startswith("precision.") else "space.options"
        raise InvalidJob([f"{section}.{error.field}: {error.text}"]) from error
    except ValueError as error:
        raise InvalidJob([f"space: {error}"]) from error
