"""The latency table that a job names, read and checked against the job."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nas.hardware import DeviceUnreachable, Meter
from nas.hardware.latency_table import LatencyTable
from search_spaces import Space
from search_spaces.decoding_space import as_timed
from service.errors import InvalidJob
from service.job.damage import shape_mistake
from service.job.device import torch_device
from service.job.job import Job

_DRAWN = 2000


def read_table(job: Job, space: Space) -> LatencyTable:
    """Return the table that a job names.

    Raises:
        InvalidJob: It cannot be read, or is of another space or of other conditions; the message says what differs.
    """
    assert job.latency.table is not None
    found = list(mistakes(job, space))
    if found:
        raise InvalidJob(found)
    return LatencyTable.from_json(table_content(Path(job.latency.table)), as_timed(space, job.latency.decode))


def mistakes(job: Job, space: Space) -> Iterator[str]:
    """Yield why the table that a job names cannot predict its latencies; one line at most."""
    assert job.latency.table is not None
    path, space = Path(job.latency.table), as_timed(space, job.latency.decode)
    if space.places is None:
        yield f"latency.table: {no_blocks(space)}"
        return
    try:
        content = table_content(path)
        if wrote := differing_conditions(*({"decode": one} for one in (_decode(content), job.latency.decode))):
            yield _other_conditions(path, wrote)  # its blocks are others, too
            return
        table = LatencyTable.from_json(content, space)
        table.correction  # noqa: B018 - has its own opinion of how many networks it needs
    except ValueError as error:
        yield f"latency.table: {path}: {error}"
        return
    try:
        with Meter(job.latency) as meter:
            here = meter.conditions(torch_device(job.device), space.example()).to_dict()
    except (DeviceUnreachable, ValueError):
        return  # reported elsewhere
    if differing := differing_conditions(table.conditions, here):
        yield _other_conditions(path, differing)


def least_limit(table: LatencyTable) -> float:
    """Return the least limit in ms that a network is predicted to keep, as far as random ones and the smallest tell."""
    return least_of(table.space, table.predict)


def least_of(space: Space, predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """Return the same of any prediction, a function of encodings that gives values and both ends of intervals."""
    drawn = space.sample_encodings(_DRAWN, np.random.default_rng(0))
    _, _, high = predict(np.concatenate([drawn, space.encode(space.smallest())[None]]))
    return float(high.min())


def table_content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no latency table ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"no latency table (it holds {type(content).__name__})")
    if "latency_table" in content and (wrong := shape_mistake("latency table", content)) is not None:
        raise ValueError(f"damaged ({wrong})")
    return content


def differing_conditions(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return what was different when a table was measured; empty where nothing was."""
    here = json.loads(json.dumps(here))
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return ", ".join(f"{name} {json.dumps(there.get(name))} (here {json.dumps(here.get(name))})" for name in names)


def _decode(content: Mapping[str, Any]) -> Any:
    """Return how many tokens were written while a table was measured."""
    conditions = content.get("conditions")
    return conditions.get("decode") if isinstance(conditions, Mapping) else None


def _other_conditions(path: Path, differing: str) -> str:
    return f"latency.table: {path} was measured with {differing}; build one for this job with: nas profile --table"


def no_blocks(space: Space) -> str:
    return f"space {space.name} does not tell what blocks its networks are made of, so they cannot be measured"
