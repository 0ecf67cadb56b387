"""A stage of one's own, as anyone could write it: counts the members of a front."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from service.job.folder import read_json, write_json
from service.run.context import JobContext
from service.run.stages.stage import Stage

NAME = "tests.service.run.own_stage:Count"


@dataclass(frozen=True, kw_only=True)
class Count(Stage):
    """Counts the members of the front, from a number on.

    Args:
        first: What is counted from.
    """

    first: int = 0

    title: ClassVar = "counting"
    needs: ClassVar = ("front.json",)
    leaves: ClassVar = ("count.json",)

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ValueError(f"first must be at least 0, got {self.first}")

    def is_done(self, folder: Path) -> bool:
        return (folder / "count.json").exists()

    def run(self, context: JobContext) -> None:
        members = (read_json(context.adopted("front.json")) or {})["members"]
        for number in range(len(members) + 1):
            context.events.progress(number, len(members))
        write_json(context.folder / "count.json", {"count": self.first + len(members)})

    def summary(self, folder: Path) -> dict[str, int]:
        return {"counted": (read_json(folder / "count.json") or {})["count"]}
