"""Latency tables as files: built beside a journal, and checked against the job that is to be predicted by them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.hardware import DeviceUnreachable, Measurement, Meter
from nas.hardware.latency_table import LatencyTable, space_digest
from nas.hardware.latency_table_building import TableBuilder, TableConfig, TableFailed
from nas.search.journal import Records
from search_spaces import Space
from service import catalogue
from service.job.files import split_setting
from service.job.folder import write_json
from service.job.job import InvalidJob, Job, build_space, job_of, load_job, space_options
from service.job.validation import keyword_mistakes
from service.run.events import Observer
from service.run.profiling import torch_device
from supernets.estimate import Estimate

_DRAWN = 2000


@dataclass(frozen=True, kw_only=True)
class TableRequest:
    """Whose latencies a command line asks for: those of a job, or of a space by its name.

    Attributes:
        source: Job, if any; `quickstart` where there is no space either.
        space: Name of the space instead.
        options: Options ``name=value`` of that space.
        sets: Settings ``path=value`` of the job.
    """

    source: str | None = None
    space: str | None = None
    options: Sequence[str] = ()
    sets: Sequence[str] = ()

    def job_and_space(self) -> tuple[Job, Space, dict[str, Any]]:
        """The checked job, the space, and the options that it was made with.

        Raises:
            InvalidJob: With all mistakes at once.
        """
        if self.space is None:
            job = load_job(self.source or "quickstart", self.sets)
            return job, build_space(job), space_options(job)
        options = self._options()
        try:
            function = catalogue.resolve("space", self.space)
        except ValueError as error:
            raise InvalidJob([f"--space: {error}"]) from error
        found = list(keyword_mistakes(function, options, path="--option", owner=self.space))
        if found:
            raise InvalidJob(found)
        try:
            space = function(**options)
        except (ValueError, TypeError, IndexError) as error:
            raise InvalidJob([f"--option: {error}"]) from error
        data = {"source": "noise", "image_size": space.input_shape[-1]}
        fields = {"name": "profile", "data": data, "space": {"name": self.space}}
        return job_of(fields, self.sets), space, options

    def _options(self) -> dict[str, Any]:
        options = {}
        for text in self.options:
            try:
                (name, *below), value = split_setting(text)
            except ValueError as error:
                raise InvalidJob([str(error).replace("--set", "--option", 1)]) from error
            if below:
                raise InvalidJob([f"--option {text!r}: must be NAME=VALUE"])
            options[name] = value
        return options


def read_table(job: Job, space: Space) -> LatencyTable:
    """The table that a job names.

    Raises:
        InvalidJob: It cannot be read, or is of another space or of other conditions; says what differs.
    """
    assert job.latency.table is not None
    found = list(mistakes(job, space))
    if found:
        raise InvalidJob(found)
    return LatencyTable.from_json(_content(Path(job.latency.table)), space)


def mistakes(job: Job, space: Space) -> Iterator[str]:
    """Why the table that a job names cannot predict its latencies; one line at most."""
    assert job.latency.table is not None
    path = Path(job.latency.table)
    if space.places is None:
        yield f"latency.table: {_no_blocks(space)}"
        return
    try:
        table = LatencyTable.from_json(_content(path), space)
        table.correction  # noqa: B018 - has its own opinion of how many networks it needs
    except ValueError as error:
        yield f"latency.table: {path}: {error}"
        return
    try:
        with Meter(job.latency) as meter:
            here = meter.conditions(torch_device(job.device), space.input_shape).to_dict()
    except (DeviceUnreachable, ValueError):
        return  # said elsewhere
    if differing := _differing(table.conditions, here):
        yield f"latency.table: {path} was measured with {differing}; build one for this job with: nas profile --table"


def build_table(
    job: Job, space: Space, path: Path, config: TableConfig, observer: Observer, *, options: Mapping[str, Any]
) -> LatencyTable:
    """Measure a table and write it; an interrupted build goes on, a finished table is read.

    Args:
        job: Device and how to measure.
        space: Whose networks.
        path: The file to write; the journal of measurements lies beside it.
        config: Of how many networks, in what time.
        observer: Told of progress.
        options: What the space was made with.

    Raises:
        InvalidJob: The space does not tell its blocks, or what lies there is something else.
    """
    if space.places is None:
        raise InvalidJob([f"--table: {_no_blocks(space)}"])
    device = torch_device(job.device)
    try:
        with Meter(job.latency) as meter:
            here = meter.conditions(device, space.input_shape).to_dict()
            if path.exists():
                return _finished(path, space, here)
            described = {"options": dict(options), "conditions": here}
            with closing(_journal(path, job, space, config, described)) as journal:
                builder = TableBuilder(space, config, partial(_measured, device, meter), journal, observer)
                table = builder.build(options=dict(options), conditions=here)
    except TableFailed as error:
        raise InvalidJob([f"--table: {error}"]) from error
    except DeviceUnreachable as error:
        raise InvalidJob([f"latency.device: {error}; the same command goes on where it stopped"]) from error
    write_json(path, table.to_json())
    return table


def _journal(path: Path, job: Job, space: Space, config: TableConfig, described: Mapping[str, Any]) -> Records:
    """The journal beside a table.

    Raises:
        InvalidJob: It is of another table, or cannot be written.
    """
    header = {
        **{"latency_table": 1, "space": space.name, "digest": space_digest(space), **described},
        **{"repeats": job.latency.repeats, "seed": config.seed},
        **{"networks": config.networks, "held_out": config.held_out},
    }
    try:
        return Records(journal_file(path), header, what="latency table")
    except ValueError as error:
        raise InvalidJob([f"--table: {error}; give another --table, or remove that journal"]) from error
    except OSError as error:
        raise InvalidJob([f"--table: cannot write {journal_file(path)}: {error.strerror or error}"]) from error


def least_limit(table: LatencyTable) -> float:
    """The least limit in ms that some network is predicted to keep, as far as random ones and the smallest tell."""
    space = table.space
    drawn = space.sample_encodings(_DRAWN, np.random.default_rng(0))
    _, _, high = table.predict(np.concatenate([drawn, space.encode(space.smallest())[None]]))
    return float(high.min())


def journal_file(path: Path) -> Path:
    """Where the measurements of a table are remembered."""
    return path.with_name(path.name + ".journal.jsonl")


def _measured(
    device: torch.device, meter: Meter, modules: list[nn.Module], shapes: list[tuple[int, ...]]
) -> list[Estimate | Exception]:
    """Latencies on the device, with the memory format that subnets have there."""
    there = [module.to(device).to(memory_format=torch.channels_last) for module in modules]
    return [one.latency if isinstance(one, Measurement) else one for one in meter.measure(there, shapes)]


def _finished(path: Path, space: Space, here: Mapping[str, Any]) -> LatencyTable:
    """The table that is there already."""
    try:
        table = LatencyTable.from_json(_content(path), space)
        differing = _differing(table.conditions, here)
    except ValueError as error:
        raise InvalidJob([f"--table: {path}: {error}; give another --table, or remove that file"]) from error
    if differing:
        raise InvalidJob([f"--table: {path} was measured with {differing}; give another --table"])
    return table


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"no latency table ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"no latency table (it holds {type(content).__name__})")
    return content


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What was different when a table was measured; empty where nothing was."""
    here = json.loads(json.dumps(here))
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return ", ".join(f"{name} {json.dumps(there.get(name))} (here {json.dumps(here.get(name))})" for name in names)


def _no_blocks(space: Space) -> str:
    return f"space {space.name} does not tell what blocks its networks are made of, so they cannot be measured"
