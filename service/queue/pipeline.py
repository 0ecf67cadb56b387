"""Pipelines: stages that wait for each other, in one file::

    name: study
    job: cifar10                      # what all stages share: a recipe, a file, or fields
    stages:
      - {name: supernet, run: train}
      - {name: small, from: supernet, settings: {search.constraints.macs: "<= 5e6"}}
      - {name: large, from: supernet, settings: {search.evaluations: 2000}}
      - {name: tuned, from: small, epochs: 10, run: retrain}

`run` is ``all``, ``train``, ``search`` (the default after `from`) or ``retrain`` (of the front of a stage that
searches); `from` is another stage or a finished job folder; `after` names stages that must have finished before.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from service.catalogue import suggestion
from service.errors import InvalidJob
from service.job.validation import check_fields
from service.queue.executors.executor import Ticket
from service.queue.queue import Draft
from service.queue.submission import NAME, STAGES, Checker, read_source

if TYPE_CHECKING:
    from service.job.job import Job

_LEAVES = {"train": "supernet.safetensors", "search": "front.json"}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job of a pipeline.

    Args:
        name: What others call it.
        run: Which of its stages are run; see the module.
        job: A recipe, a job file, or fields; by default what the pipeline has.
        settings: Fields that differ, by dotted path.
        source: `from` in the file: the stage, or finished job folder, whose supernet or front is taken.
        after: Stages that must have finished before.
        priority: Added to that of the pipeline.
        members: Of the front, for ``retrain``; null for all.
        epochs: For ``retrain``; null for as many as the supernet had.
        lr: For ``retrain``; null for a fifth of the supernet's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    run: str | None = None
    job: Any = None
    settings: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    after: list[str] = field(default_factory=list)
    priority: int = 0
    members: list[str] | None = None
    epochs: float | None = None
    lr: float | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name must be letters, digits, '.', '_' and '-', got {self.name!r}")
        if self.run is not None and self.run not in STAGES:
            raise ValueError(f"run must be one of {', '.join(STAGES)}, got {self.run!r}")
        for name in ("epochs", "lr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be more than 0, got {value}")

    @property
    def needs(self) -> list[str]:
        return [*self.after, *([self.source] if self.source else [])]


@dataclass(frozen=True, kw_only=True)
class _File:
    """A pipeline as it is written; `place` is the folder that its job files are looked for in."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    stages: list[dict[str, Any]]
    job: Any = None
    place: str = "."


def drafts(fields: Mapping[str, Any], sets: Sequence[str], ticket: Ticket, source: str) -> list[Draft]:
    """The jobs of a pipeline, each after those that it needs.

    Raises:
        InvalidJob: With all mistakes at once.
    """
    checked = check_fields(_File, {**fields, "place": str(Path(source).parent)}, {"name": "pipeline", "stages": []})
    if checked.mistakes or checked.tree is None:
        raise InvalidJob(list(checked.mistakes.values()))
    stages = _stages(checked.tree)
    order, check, made = _ordered(stages), Checker(), dict[str, Draft]()
    mistakes: list[str] = []
    for stage in order:
        try:
            made[stage.name] = _draft(stage, checked.tree, made, sets=sets, ticket=ticket, check=check)
        except (InvalidJob, ValueError) as error:
            mistakes += [f"stage {stage.name}: {line}" for line in str(error).splitlines()]
            made[stage.name] = Draft(key=stage.name, ticket=ticket)
    if mistakes:
        raise InvalidJob(mistakes)
    return list(made.values())


def _stages(file: _File) -> dict[str, Stage]:
    """The stages by name, each field checked."""
    stages: dict[str, Stage] = {}
    mistakes = [] if file.stages else ["stages: must be a list of at least one stage"]
    for number, content in enumerate(file.stages):
        called = content.get("name", f"number {number + 1}")
        renamed = {("source" if name == "from" else name): value for name, value in content.items()}
        checked = check_fields(Stage, renamed, {"name": "stage"})
        for line in checked.mistakes.values():
            mistakes.append(f"stage {called}: {re.sub('^source', 'from', line)}")
        if checked.tree is not None:
            if checked.tree.name in stages:
                mistakes.append(f"stage {called}: the name is given twice")
            stages[checked.tree.name] = checked.tree
    if not mistakes:
        mistakes = [line for stage in stages.values() for line in _unknown_needs(stage, stages)]
    if mistakes:
        raise InvalidJob(mistakes)
    return stages


def _unknown_needs(stage: Stage, stages: Mapping[str, Stage]) -> Iterator[str]:
    for need in stage.needs:
        if need not in stages and (need in stage.after or not Path(need).is_dir()):
            where = "after" if need in stage.after else "from"
            folder = "" if where == "after" else " or job folder"
            yield f"stage {stage.name}: {where}: {need!r} is no stage{folder}{suggestion(need, stages)}"


def _ordered(stages: Mapping[str, Stage]) -> list[Stage]:
    graph = {name: [need for need in stage.needs if need in stages] for name, stage in stages.items()}
    try:
        return [stages[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise InvalidJob([f"stages: each waits for the next: {' -> '.join(reversed(error.args[1]))}"]) from error


def _draft(
    stage: Stage, file: _File, made: Mapping[str, Draft], *, sets: Sequence[str], ticket: Ticket, check: Checker
) -> Draft:
    """The draft of one stage; those that it needs are made already."""
    run = stage.run or ("search" if stage.source else "all")
    if run in ("search", "retrain") and stage.source is None:
        raise InvalidJob([f"run: {run} needs `from`, the stage or job folder to start from"])
    if run in ("all", "train") and stage.source is not None:
        raise InvalidJob([f"run: {run} trains a supernet of its own, so it takes no `from`"])
    source = _Source.of(stage.source, made) if stage.source else None
    written = stage.job or file.job
    fields = source.fields if source and not written else _job_fields(written, file.place)
    settings = [f"{path}={_as_setting(value)}" for path, value in stage.settings.items()]
    job = check.job(fields, [*settings, *sets, f"name={file.name}-{stage.name}"])
    if run == "retrain":
        assert source is not None
        source.require_front()
    elif source is not None:
        source.require_supernet(job)
    own = replace(
        ticket,
        name=job.name,
        stages=STAGES[run],
        supernet_from=source.supernet if source else None,
        front_from=source.key if source and run == "retrain" else None,
        retrain={"members": stage.members, "epochs": stage.epochs, "lr": stage.lr} if run == "retrain" else {},
        after=[name for name in stage.needs if name in made],
        priority=ticket.priority + stage.priority,
    )
    return Draft(key=stage.name, ticket=own, job=job)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What a stage starts from: a stage before it, or a folder."""

    key: str
    fields: Mapping[str, Any]
    stages: Sequence[str]
    supernet: str

    @classmethod
    def of(cls, name: str, made: Mapping[str, Draft]) -> "_Source":
        from service.job.job import to_dict
        from service.job.preparation import saved_job

        if name in made:
            draft = made[name]
            if draft.job is None:
                raise InvalidJob([f"from: {name!r} has mistakes of its own"])
            supernet = draft.ticket.supernet_from or name
            return cls(key=name, fields=to_dict(draft.job), stages=draft.ticket.stages, supernet=supernet)
        folder = str(Path(name).resolve())
        there = [stage for stage, file in _LEAVES.items() if (Path(folder) / file).exists()]
        return cls(key=folder, fields=saved_job(Path(folder)), stages=there, supernet=folder)

    def require_front(self) -> None:
        if "search" not in self.stages:
            raise InvalidJob([f"from: {self.key!r} leaves no front to retrain; name a stage or job that searches"])

    def require_supernet(self, job: "Job") -> None:
        from service.job.preparation import supernet_differences

        if "train" not in self.stages:
            raise InvalidJob([f"from: {self.key!r} leaves no supernet to search; name a stage or job that trains"])
        different = supernet_differences(job, self.fields)
        if different:
            raise InvalidJob([f"{different[0]}; the supernet of {self.key} must be of the same space and images"])


def _job_fields(written: Any, place: str) -> Mapping[str, Any]:
    if isinstance(written, Mapping):
        return written
    if written is None:
        raise InvalidJob(["job: missing; give it to the stage or to the whole pipeline"])
    beside = Path(place) / str(written)
    return read_source(str(beside) if beside.is_file() else str(written))


def _as_setting(value: Any) -> str:
    return value if isinstance(value, str) and value.lstrip().startswith(("<", ">")) else json.dumps(value)
