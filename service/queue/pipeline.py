"""Pipelines: stages that wait for each other, in one file::

    name: study
    job: cifar10                      # what all stages share: a recipe, a file, or fields
    stages:
      - {name: supernet, run: train}
      - {name: small, from: supernet, settings: {search.constraints.macs: "<= 5e6"}}
      - {name: large, from: supernet, settings: {search.evaluations: 2000}}
      - {name: tuned, from: small, epochs: 10, run: retrain}

`run` is ``all`` (a whole job), ``search`` (and what follows it; the default after `from`), or the name of a stage such
as ``train`` and ``retrain``, or several with commas between; fields of their options stand beside it. `from` is another
stage or a finished job folder, whose files are taken; `after` names stages that must have finished before.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from search_spaces.errors import FieldError
from service import catalogue, own_code
from service.catalogue import suggestion
from service.errors import InvalidJob
from service.job.validation import check_fields, option_mistakes
from service.queue.executors.executor import Ticket
from service.queue.queue import Draft
from service.queue.submission import NAME, Checker, read_source
from service.run.stages.outputs import SUPERNET
from service.run.stages.plan import make_stages, needed_files, stages_of
from service.run.stages.stage import Stage

if TYPE_CHECKING:
    from service.job.job import Job


@dataclass(frozen=True, kw_only=True)
class PipelineStage:
    """One job of a pipeline.

    Args:
        name: Name by which other stages refer to it.
        run: Stages of a job that it runs; see the module.
        options: Options of these stages: name of the stage -> options.
        job: A recipe, a job file, or fields; by default that of the pipeline.
        settings: Fields that differ, by dotted path.
        source: `from` in the file: the stage, or finished job folder, whose files are taken.
        after: Stages that must have finished before.
        priority: Added to that of the pipeline.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    run: str | None = None
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    job: Any = None
    settings: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    after: list[str] = field(default_factory=list)
    priority: int = 0

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise FieldError("name", f"must be letters, digits, '.', '_' and '-', got {self.name!r}")
        for name in stages_of(self.run or "all"):
            try:
                catalogue.check("stage", name)
            except ValueError as error:
                raise FieldError("run", f"must be all or stages of a job, got {self.run!r}: {error}") from error

    @property
    def runs(self) -> tuple[str, ...]:
        """The stages of a job that it runs."""
        return stages_of(self.run or ("search" if self.source else "all"))

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
    """Return the jobs of a pipeline, each after those that it needs.

    Raises:
        InvalidJob: There are mistakes; it lists all of them at once.
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


def _stages(file: _File) -> dict[str, PipelineStage]:
    """Return the stages by name, each field checked."""
    stages: dict[str, PipelineStage] = {}
    mistakes = [] if file.stages else ["stages: must be a list of at least one stage"]
    for number, content in enumerate(file.stages):
        called = content.get("name", f"number {number + 1}")
        renamed = {("source" if name == "from" else name): value for name, value in content.items()}
        checked = check_fields(PipelineStage, _with_options(renamed), {"name": "stage"})
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


def _with_options(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a stage, where those that are options of what it runs are among its `options`."""
    own = {name: value for name, value in content.items() if name in PipelineStage.__dataclass_fields__}
    beside = {name: value for name, value in content.items() if name not in own}
    options = own.get("options", {})
    if not beside or not isinstance(own.get("run"), str) or not isinstance(options, Mapping):
        return dict(content)
    options = dict(options)
    for stage in stages_of(own["run"]):
        try:
            taken = catalogue.parameters("stage", stage)
        except ValueError:
            continue  # reported with the field `run`
        given = {name: beside[name] for name in beside if name in taken}
        if given:
            options[stage] = {**given, **options.get(stage, {})}
            own["options"] = options
    known = {name for given in options.values() for name in given}
    return {**own, **{name: value for name, value in beside.items() if name not in known}}


def _unknown_needs(stage: PipelineStage, stages: Mapping[str, PipelineStage]) -> Iterator[str]:
    for need in stage.needs:
        if need not in stages and (need in stage.after or not Path(need).is_dir()):
            where = "after" if need in stage.after else "from"
            folder = "" if where == "after" else " or job folder"
            yield f"stage {stage.name}: {where}: unknown stage{folder} {need!r}{suggestion(need, stages)}"


def _ordered(stages: Mapping[str, PipelineStage]) -> list[PipelineStage]:
    graph = {name: [need for need in stage.needs if need in stages] for name, stage in stages.items()}
    try:
        return [stages[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise InvalidJob([f"stages: each waits for the next: {' -> '.join(reversed(error.args[1]))}"]) from error


def _draft(
    stage: PipelineStage, file: _File, made: Mapping[str, Draft], *, sets: Sequence[str], ticket: Ticket, check: Checker
) -> Draft:
    """Return the draft of one stage; those that it needs are made already."""
    made_stages = _made_stages(stage)
    needed = needed_files(made_stages)
    run = stage.run or ",".join(stage.runs)
    if needed and stage.source is None:
        raise InvalidJob([f"run: {run} needs `from`, the stage or job folder to start from"])
    if stage.source is not None and not needed:
        raise InvalidJob([f"run: {run} takes nothing from another job, so it has no `from`"])
    source = _Source.of(stage.source, made) if stage.source else None
    written = stage.job or file.job
    fields = source.fields if source and not written else _job_fields(written, file.place)
    code = [*(own_code.beside(_job_file(written, file.place)) if isinstance(written, str) else []), *ticket.code]
    settings = [f"{path}={_as_setting(value)}" for path, value in stage.settings.items()]
    job = check.job(fields, [*settings, *sets, f"name={file.name}-{stage.name}"])
    if source is not None:
        source.require(needed, run, job)
    own = replace(
        ticket,
        name=job.name,
        stages=stage.runs,
        stage_options=stage.options,
        inputs={name: source.files[name] for name in needed} if source else {},
        after=[name for name in stage.needs if name in made],
        priority=ticket.priority + stage.priority,
        code=list(dict.fromkeys([*code, *(source.code if source else [])])),
    )
    return Draft(key=stage.name, ticket=own, job=job)


def _made_stages(stage: PipelineStage) -> dict[str, Stage]:
    """Return the stages of a job that a stage of the pipeline runs, their options checked."""
    mistakes = [
        line
        for name, options in stage.options.items()
        if name in stage.runs
        for line in option_mistakes("stage", name, options, path=name)
    ]
    if mistakes:
        raise InvalidJob(mistakes)
    return make_stages(stage.runs, stage.options)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """The source of a stage: an earlier stage, or a folder.

    Attributes:
        key: Name of the stage, or path of the folder.
        fields: Fields of its job.
        files: Name of a file that it leaves, or took itself -> place of the file.
        code: Folders that it imports the user's own code from.
    """

    key: str
    fields: Mapping[str, Any]
    files: Mapping[str, str]
    code: Sequence[str]

    @classmethod
    def of(cls, name: str, made: Mapping[str, Draft]) -> "_Source":
        from service.job.job import to_dict
        from service.job.preparation import saved_job

        if name in made:
            draft = made[name]
            if draft.job is None:
                raise InvalidJob([f"from: {name!r} has mistakes of its own"])
            left = dict.fromkeys(_left_by(draft.ticket.stages), name)
            files = {**draft.ticket.inputs, **left}
            return cls(key=name, fields=to_dict(draft.job), files=files, code=draft.ticket.code)
        folder = str(Path(name).resolve())
        there = [file for file in _left_by(catalogue.STAGES) if (Path(folder) / file).exists()]
        fields = saved_job(Path(folder))
        code = own_code.recorded(Path(folder))
        return cls(key=folder, fields=fields, files=dict.fromkeys(there, folder), code=code)

    def require(self, needed: Sequence[str], run: str, job: "Job") -> None:
        """Refuse a source that does not leave what is needed, or whose supernet is of another job."""
        from service.job.preparation import supernet_differences

        missing = [name for name in needed if name not in self.files]
        if missing:
            raise InvalidJob([f"from: {self.key!r} leaves no {missing[0]}, which {run} needs"])
        different = supernet_differences(job, self.fields) if SUPERNET in needed else []
        if different:
            raise InvalidJob([f"{different[0]}; the supernet of {self.key} must be of the same space, data and task"])


def _left_by(stages: Iterable[str]) -> list[str]:
    """Return the files that stages leave."""
    return [file for name in stages for file in catalogue.resolve("stage", name).leaves]


def _job_fields(written: Any, place: str) -> Mapping[str, Any]:
    if isinstance(written, Mapping):
        return written
    if written is None:
        raise InvalidJob(["job: missing; give it to the stage or to the whole pipeline"])
    return read_source(_job_file(str(written), place))


def _job_file(written: str, place: str) -> str:
    """Return the recipe or the path of a job file, which is looked for beside the pipeline first."""
    beside = Path(place) / written
    return str(beside) if beside.is_file() else written


def _as_setting(value: Any) -> str:
    return value if isinstance(value, str) and value.lstrip().startswith(("<", ">")) else json.dumps(value)
