"""Latency tables as files, built beside a journal."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.hardware import DeviceUnreachable, Measurement, Meter
from nas.hardware.examples import Example
from nas.hardware.latency_table import LatencyTable, space_digest
from nas.hardware.latency_table_building import TableBuilder, TableConfig, TableFailed
from nas.search.journal import Records
from search_spaces import Space
from search_spaces.decoding_space import as_timed
from service import catalogue
from service.errors import InvalidJob
from service.job.building import build_space, space_options
from service.job.device import torch_device
from service.job.files import split_setting
from service.job.folder import write_json
from service.job.job import Job
from service.job.latency_table import differing_conditions, no_blocks, table_content
from service.job.loading import job_of, load_job
from service.job.observer import Observer
from service.job.validation import option_mistakes
from supernets.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class TableRequest:
    """The latencies that a command line asks for: those of a job, or of a space by its name.

    Attributes:
        source: Job, if any; `quickstart` where there is no space either.
        space: Name of a space, instead of a job.
        options: Options ``name=value`` of that space.
        sets: Settings ``path=value`` of the job.
    """

    source: str | None = None
    space: str | None = None
    options: Sequence[str] = ()
    sets: Sequence[str] = ()

    def job_and_space(self) -> tuple[Job, Space, dict[str, Any]]:
        """Return the checked job, the space, and the options that it was made with.

        Raises:
            InvalidJob: There are mistakes; it lists all of them at once.
        """
        if self.space is None:
            job = load_job(self.source or "quickstart", self.sets)
            return job, build_space(job), space_options(job)
        options = self._options()
        try:
            found = list(option_mistakes("space", self.space, options, path="--option"))
        except ValueError as error:
            raise InvalidJob([f"--space: {error}"]) from error
        if found:
            raise InvalidJob(found)
        try:
            space = catalogue.make("space", self.space, options=options)
        except (ValueError, TypeError, IndexError) as error:
            raise InvalidJob([f"--option: {error}"]) from error
        if not space.inputs or len(space.inputs[0].shape) != 3:
            raise InvalidJob([f"--space: {self.space} does not read images; give a job with its data instead"])
        data = {"source": "noise", "image_size": space.inputs[0].shape[-1]}
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


def build_table(
    job: Job, space: Space, path: Path, config: TableConfig, observer: Observer, *, options: Mapping[str, Any]
) -> LatencyTable:
    """Measure a table and write it; an interrupted build is resumed, and a finished table is read.

    Args:
        job: Job that says the device and how to measure.
        space: Space of the networks.
        path: The file to write; the journal of measurements lies beside it.
        config: Number of networks and time allowed.
        observer: Receives the progress.
        options: Options of the space.

    Raises:
        InvalidJob: The space does not state its blocks, or the file is something else.
    """
    if space.places is None:
        raise InvalidJob([f"--table: {no_blocks(space)}"])
    device, space = torch_device(job.device), as_timed(space, job.latency.decode)
    try:
        with Meter(job.latency) as meter:
            conditions = meter.conditions(device, space.example()).to_dict()
            if path.exists():
                return _finished(path, space, conditions)
            described = {"options": dict(options), "conditions": conditions}
            with closing(_journal(path, job, space, config, described)) as journal:
                builder = TableBuilder(space, config, partial(_measured, device, meter), journal, observer)
                table = builder.build(options=dict(options), conditions=conditions)
    except TableFailed as error:
        raise InvalidJob([f"--table: {error}"]) from error
    except DeviceUnreachable as error:
        raise InvalidJob([f"latency.device: {error}; the same command goes on where it stopped"]) from error
    write_json(path, table.to_json())
    return table


def _journal(path: Path, job: Job, space: Space, config: TableConfig, described: Mapping[str, Any]) -> Records:
    """Return the journal beside a table.

    Raises:
        InvalidJob: The journal is of another table, or cannot be written.
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


def journal_file(path: Path) -> Path:
    """Return where the measurements of a table are remembered."""
    return path.with_name(path.name + ".journal.jsonl")


def _measured(
    device: torch.device, meter: Meter, modules: list[nn.Module], examples: list[Example]
) -> list[Estimate | Exception]:
    """Return latencies on the device, with the memory format that subnets have there."""
    there = [module.to(device).to(memory_format=torch.channels_last) for module in modules]
    return [one.latency if isinstance(one, Measurement) else one for one in meter.measure(there, examples)]


def _finished(path: Path, space: Space, conditions: Mapping[str, Any]) -> LatencyTable:
    """Return the table that is there already."""
    try:
        table = LatencyTable.from_json(table_content(path), space)
        differing = differing_conditions(table.conditions, conditions)
    except ValueError as error:
        raise InvalidJob([f"--table: {path}: {error}; give another --table, or remove that file"]) from error
    if differing:
        raise InvalidJob([f"--table: {path} was measured with {differing}; give another --table"])
    return table
