"""The stage that judges the front on examples that no search has seen, and reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from service.run.stages.outputs import FRONT, RESULT, SUPERNET
from service.run.stages.stage import Stage

if TYPE_CHECKING:
    from service.run.context import JobContext


@dataclass(frozen=True, kw_only=True)
class Test(Stage):
    """The stage `test`: it evaluates the front once on the test split, keeps weights, and writes the report."""

    __test__: ClassVar = False  # this is not a class of tests

    title: ClassVar = "testing the front"
    needs: ClassVar = (FRONT, SUPERNET)
    result: ClassVar[Literal["writes"]] = "writes"

    def is_done(self, folder: Path) -> bool:
        return (folder / RESULT).exists()

    def run(self, context: "JobContext") -> None:
        from service.report.job_report import write_report
        from service.run.looks import keep_looks
        from service.run.original import test_original
        from service.run.testing import test_front

        test_front(
            context.adopted(FRONT),
            subnet=lambda architecture: context.subnets(context.space.architecture(architecture)),
            task=context.task,
            batches=context.batches,
            events=context.events,
        )
        test_original(context)
        keep_looks(context.folder, context.space, context.task, context.batches)
        write_report(context.folder)

    def summary(self, folder: Path) -> Mapping[str, Any]:
        from service.job.front_file import read_front_file
        from service.report.job_report import best_by_quality

        front = read_front_file(folder)
        if front is None:
            return {}
        best = best_by_quality(front).get("test_quality") if front["members"] else None
        return {"front_size": len(front["members"]), "test_quality": best}
