"""Export of members of the front of a finished job, each to a folder of its own.

A file is written beside its place, run, and only then renamed; the card is written after it. So after any interruption,
files that the card names are whole, and the others are made again.
"""

import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.data import Data
from nas.export import Deployable, restored
from nas.hardware.examples import Example
from service import catalogue
from service.errors import InvalidJob
from service.export.card import Subject, card_of, use_of
from service.export.card_file import CARD, EXAMPLE, plain, read_card
from service.job.building import build_space, build_task, space_options
from service.job.folder import read_json, write_json, write_whole
from service.job.job import Job
from service.job.kept_data import JobData, job_data, plain_name
from service.job.observer import Observer
from service.job.preparation import front_members
from supernets.tasks import Task

WEIGHTS = ("auto", "retrained", "scratch", "inherited")
_REVISION = 2  # version of the content of files; a change makes them again
_BATCH = 200
_CALIBRATION_EXAMPLES = 512
_CALIBRATION_SEED = 30_000
_EXAMPLES = 8


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What to export.

    Args:
        folder: The finished job.
        job: Job of the folder.
        members: Keys of the front.
        formats: Names in the catalogue.
        weights: `retrained`, `scratch`, `inherited`, or `auto`: retrained where `nas retrain` made them.
        output: Folder in which every member gets a folder; by default `export` in the job folder.
    """

    folder: Path
    job: Job
    members: Sequence[str]
    formats: Sequence[str]
    weights: str = "auto"
    output: Path | None = None

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights must be {', '.join(WEIGHTS[:-1])} or {WEIGHTS[-1]}, got {self.weights!r}")

    def weights_of(self, member: dict[str, Any]) -> tuple[str, Path]:
        """Return the kind of weights that a member is exported with, and their file.

        Raises:
            InvalidJob: There are none.
        """
        key = member["key"]
        if self.weights == "scratch":
            alone = self.folder / "scratch" / key / "weights.safetensors"
            if alone.is_file() and (alone.parent / "result.json").is_file():
                return "scratch", alone
            how = f"nas retrain {self.folder} --scratch --member {key}"
            raise InvalidJob([f"{key} was not trained from scratch; do that with: {how}"])
        place = self.folder / "retrain" / key
        retrained = place / "weights.safetensors"
        if self.weights != "inherited" and retrained.is_file() and (place / "result.json").is_file():
            return "retrained", retrained
        if self.weights == "retrained":
            raise InvalidJob([f"{key} has no retrained weights; make them with: nas retrain {self.folder}"])
        inherited = self.folder / str(member.get("weights") or f"front/{key}.safetensors")
        if not inherited.is_file():
            raise InvalidJob([f"{inherited}: there is no such file; finish the job with: nas run {self.folder}"])
        return "inherited", inherited


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The export of one member.

    Args:
        key: Key of the member.
        place: The folder with its files and card.
        card: Content of the card.
        made: Formats that were written now.
        there: Formats that existed already, made of the same weights.
        failed: Format -> why it could not be made.
    """

    key: str
    place: Path
    card: dict[str, Any]
    made: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def export(request: ExportRequest, observer: Observer) -> list[Exported]:
    """Write members of a front in the given formats; identical files that exist already are left alone.

    A format that fails is reported, and the others are made.

    Raises:
        InvalidJob: The job has no front, or a member no weights.
        InvalidData: The data of the job are no longer there.
    """
    members = {member["key"]: member for member in front_members(request.folder)}
    chosen = [members[key] for key in request.members]
    for member in chosen:
        request.weights_of(member)
    source = _Source(request)
    total = len(chosen) * len(request.formats)
    done = []
    for i, member in enumerate(chosen):
        begun = {"event": "export", "member": member["key"], "done": i * len(request.formats), "total": total}
        done.append(_export_member(source, member, observer, begun))
    observer({"event": "export", "member": "", "done": total, "total": total})
    return done


@dataclass(frozen=True)
class _Source:
    """Data and space of the job, loaded when the first file needs them."""

    request: ExportRequest

    @cached_property
    def found_data(self) -> JobData:
        """The data, found but not loaded, split as the networks were trained."""
        return job_data(self.request.job, self.request.folder)

    def job(self, member: dict[str, Any]) -> Job:
        """Return the job with the space of a member's network, which has other sizes where it was trained alone."""
        job = self.request.job
        origin, weights = self.request.weights_of(member)
        if origin != "scratch":
            return job
        options = (read_json(weights.parent / "result.json") or {}).get("network") or {}
        return replace(job, space=replace(job.space, options=options))

    def options(self, job: Job) -> dict[str, Any]:
        """Return the options of the space of a job, with those that follow from its data."""
        return space_options(job, self.found_data.looked_at.facts)

    @cached_property
    def data(self) -> Data:
        return self.found_data.load(torch.device("cpu"))

    @cached_property
    def task(self) -> Task:
        return build_task(self.request.job, self.found_data.looked_at)

    @cached_property
    def examples(self) -> Example:
        """Inputs of validation examples, and as many of noise: what is seen, and what reaches where that does not."""
        seen = self.task.inputs(next(iter(self.data.validation.sequential(_EXAMPLES))))
        generator = torch.Generator().manual_seed(0)
        other = (torch.randn(x.shape, generator=generator) if x.is_floating_point() else x for x in seen)
        return tuple(torch.cat([x[: _EXAMPLES // 2], y])[:_EXAMPLES].contiguous() for x, y in zip(seen, other))

    def calibration(self) -> Iterable[Example]:
        """Return inputs of training examples without augmentation, the same at every call."""
        train = self.data.train
        batch = min(64, len(train))
        batches = train.batches(batch, epoch=0, seed=_CALIBRATION_SEED, augment=False)
        return map(self.task.inputs, islice(batches, max(1, _CALIBRATION_EXAMPLES // batch)))

    def deployable(self, member: dict[str, Any]) -> Deployable:
        """Return a member with its weights, and everything that formats need."""
        origin, weights = self.request.weights_of(member)
        job = self.job(member)
        space = build_space(job, self.found_data.looked_at.facts)
        architecture = space.architecture(member["architecture"])
        network = restored(space, architecture, weights)
        subject = Subject(
            folder=self.request.folder,
            job=self.request.job,
            member=member,
            origin=origin,
            space=space,
            options=self.options(job),
            network=network,
            data=self.data,
            task=self.task,
            inputs=self.examples,
            output=_output(network, self.examples),
            formats=self.request.formats,
        )
        return Deployable(
            network=network,
            space=space,
            architecture=architecture,
            examples=self.examples,
            card=plain(card_of(subject)),
            calibration=self.calibration,
            task=self.task,
            splits={
                "validation": lambda: self.data.validation.sequential(_BATCH),
                "test": lambda: self.data.test.sequential(_BATCH),
            },
        )

    def made_from(self, member: dict[str, Any]) -> str:
        """Return 16 hexadecimal digits that change with the weights, the network or the meaning of a file."""
        origin, weights = self.request.weights_of(member)
        described = [
            _REVISION,
            origin,
            member["architecture"],
            self.request.job.space.name,
            self.options(self.job(member)),
            *([] if (precision := self.request.job.space.precision) is None else [asdict(precision)]),
        ]
        content = json.dumps(described, sort_keys=True, default=str).encode() + weights.read_bytes()
        return hashlib.sha256(content).hexdigest()[:16]


def _export_member(source: _Source, member: dict[str, Any], observer: Observer, begun: dict[str, Any]) -> Exported:
    place = (source.request.output or source.request.folder / "export") / member["key"]
    made_from = source.made_from(member)
    records = _kept(place, made_from)
    missing = [name for name in source.request.formats if name not in records]
    there = [name for name in source.request.formats if name in records]
    card = read_card(place) or {}
    if not missing:
        return Exported(key=member["key"], place=place, card=card, there=there)
    made, failed = [], {}
    with _quiet_exporters():
        deployable = source.deployable(member)
        try:
            write_whole(place / EXAMPLE, _example(deployable))
            for name, text in source.data.files.items():
                write_whole(place / plain_name(name), text)
        except ValueError as error:  # the network itself is faulty, and so would be every file of it
            failed = dict.fromkeys(missing, _reason(error))
            return Exported(key=member["key"], place=place, card=card, there=there, failed=failed)
        for i, name in enumerate(missing):
            observer({**begun, "done": begun["done"] + len(there) + i, "format": name})
            try:
                records[name] = {"made_from": made_from, **_write(deployable, name, place)}
                made.append(name)
            except Exception as error:  # an exporter may raise anything; the other formats can do without it
                failed[name] = _reason(error)
            use = use_of(records, deployable.input_names)
            card = {**deployable.card, "use": use, "formats": plain(records)}
            write_json(place / CARD, card)
    _remove_outdated(place, records)
    return Exported(key=member["key"], place=place, card=card, made=made, there=there, failed=failed)


def _kept(place: Path, made_from: str) -> dict[str, Any]:
    """Return the records of the card for files that exist whole and have these weights."""
    records = (read_card(place) or {}).get("formats") or {}
    whole = (place / EXAMPLE).is_file()
    return {
        name: record
        for name, record in records.items()
        if whole
        and record.get("made_from") == made_from
        and all(
            (place / file).is_file() and _digest(place / file) == digest
            for file, digest in {record["file"]: record["sha256"], **record.get("companions", {})}.items()
        )
    }


def _remove_outdated(place: Path, records: dict[str, Any]) -> None:
    """Remove files of other weights, made before: beside the card they would be taken for what it describes."""
    named = {file for record in records.values() for file in (record["file"], *record.get("companions", ()))}
    for name in catalogue.EXPORT_FORMATS:
        for file in files_of(name):
            if file not in named:
                (place / file).unlink(missing_ok=True)


def _write(deployable: Deployable, name: str, place: Path) -> dict[str, Any]:
    """Write the files of one format, whole or not at all; returns what the card says of them."""
    written = {file: place / f".writing-{file}" for file in files_of(name)}
    main, *companions = written
    try:
        record = catalogue.resolve("format", name)(deployable, written[main])
        for path in written.values():
            with path.open("rb") as content:
                os.fsync(content.fileno())
        size, digests = written[main].stat().st_size, {file: _digest(path) for file, path in written.items()}
        for file in (*companions, main):
            written[file].replace(place / file)
    finally:
        for path in written.values():
            path.unlink(missing_ok=True)
    more = {"companions": {file: digests[file] for file in companions}} if companions else {}
    return {"file": main, "bytes": size, "sha256": digests[main], **more, **record}


def files_of(name: str) -> list[str]:
    """Return the names of the files of a format; the first is the one that is opened."""
    file, listed = file_of(name), catalogue.EXPORT_FORMATS.get(name)
    return [file, *(f"{Path(file).stem}{ending}" for ending in (listed.companions if listed else ()))]


def file_of(name: str) -> str:
    """Return the name of the file of a format."""
    listed = catalogue.EXPORT_FORMATS.get(name)
    return listed.file if listed is not None else f"model.{name.rpartition(':')[2]}"


def _output(network: nn.Module, inputs: Example) -> Tensor:
    with torch.inference_mode():
        return network(*inputs)


def _example(deployable: Deployable) -> bytes:
    """Return inputs and outputs of the network, by name, as the bytes of an npz file."""
    arrays: dict[str, Any] = {name: x.numpy() for name, x in zip(deployable.input_names, deployable.examples)}
    with io.BytesIO() as file:
        np.savez(file, **arrays, output=deployable.expected.numpy())
        return file.getvalue()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    """Return the first line of an error, with its type where the text is not our own."""
    line = (str(error).strip() or "-").splitlines()[0][:300]
    return line if isinstance(error, ValueError | ImportError) else f"{type(error).__name__}: {line}"


@contextmanager
def _quiet_exporters():
    """Silence the warnings of exporters, which concern their own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
