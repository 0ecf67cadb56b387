"""The stages of a job to run, their options, and what they take from other jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service import catalogue
from service.errors import InvalidJob
from service.run.stages.outputs import RESULT
from service.run.stages.stage import Stage

Options = Mapping[str, Mapping[str, Any]]
"""Name of a stage -> its options."""


def whole_job() -> tuple[str, ...]:
    """Return the stages that a job is run through where it names none, in their order."""
    return tuple(name for name in catalogue.STAGES if catalogue.resolve("stage", name).result != "after")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Stages of one job.

    Args:
        stages: Names, in their order; by default those of a whole job.
        options: Options of the stages, by their names.
        inputs: File name -> folder of the job that it is taken from.
    """

    stages: Sequence[str] = field(default_factory=whole_job)
    options: Options = field(default_factory=dict)
    inputs: Mapping[str, Path] = field(default_factory=dict)

    def made(self) -> dict[str, Stage]:
        """Return the stages by name.

        Raises:
            InvalidJob: A name or an option is wrong.
        """
        return make_stages(self.stages, self.options)

    def pending(self, folder: Path) -> dict[str, Stage]:
        """Return the stages that are not done yet; those whose output another job gives are left out.

        Args:
            folder: Folder of the job.
        """
        return {
            name: stage
            for name, stage in self.made().items()
            if not (stage.leaves and set(stage.leaves) <= set(self.inputs)) and not stage.is_done(folder)
        }

    def is_over(self, folder: Path) -> bool:
        """Return whether the job has a result that all of these stages lie before."""
        return (folder / RESULT).exists() and all(stage.result != "after" for stage in self.made().values())


def make_stages(names: Sequence[str], options: Options) -> dict[str, Stage]:
    """Return stages by name, made with their options.

    Raises:
        InvalidJob: There are mistakes; it lists all of them at once.
    """
    made: dict[str, Stage] = {}
    mistakes = [f"options: {name} is not among the stages {', '.join(names)}" for name in options if name not in names]
    for name in names:
        try:
            made[name] = catalogue.make("stage", name, options=options.get(name, {}))
        except ValueError as error:
            mistakes.append(f"{name}: {error}")
    if mistakes:
        raise InvalidJob(mistakes)
    return made


def stages_of(run: str) -> tuple[str, ...]:
    """Return the stages that a word stands for: `all`, `search` and what follows it, or names with commas between."""
    whole = whole_job()
    if run == "all":
        return whole
    if run == "search":
        return whole[whole.index("search") :]
    return tuple(name.strip() for name in run.split(","))


def needed_files(stages: Mapping[str, Stage]) -> list[str]:
    """Return the files that stages need and none of those before them leaves."""
    needed: list[str] = []
    left: set[str] = set()
    for stage in stages.values():
        needed += [name for name in stage.needs if name not in left and name not in needed]
        left.update(stage.leaves)
    return needed
