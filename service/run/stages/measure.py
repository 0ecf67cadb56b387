"""The stage that measures the best candidates again and decides which are on the front."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from service.run.stages.outputs import FRONT, JOURNAL, SUPERNET
from service.run.stages.stage import Stage

if TYPE_CHECKING:
    from service.run.context import JobContext


@dataclass(frozen=True, kw_only=True)
class Measure(Stage):
    """The stage `measure`: it keeps the candidates that are non-dominated and within the limits when measured again."""

    title: ClassVar = "measuring latency"
    needs: ClassVar = (SUPERNET, JOURNAL)
    leaves: ClassVar = (FRONT,)
    result: ClassVar[Literal["before"]] = "before"

    def is_done(self, folder: Path) -> bool:
        return (folder / FRONT).exists()

    def run(self, context: "JobContext") -> None:
        from nas.search.journal import read_evaluations
        from search_spaces.simulated import simulation_of
        from service.job.folder import write_json
        from service.job.front_file import described_task
        from service.run.front import FinalFront, described_front, measured_again
        from service.run.original import described_original

        _, evaluations = read_evaluations(context.adopted(JOURNAL))
        most = round(context.job.search.remeasured_share * context.job.search.evaluations)
        final = FinalFront(
            problem=context.problem,
            measure=partial(measured_again, context.latency),
            table=context.table,
            observer=context.events,
            most=most,
        )
        kept, dropped = final.settle(evaluations)
        conditions = context.latency.meter.conditions(context.device, context.timed_space.example())
        front = {
            "task": described_task(context.task_name, context.task),
            **described_front(context.problem, context.space, kept, dropped),
            "latency": {**conditions.to_dict(), **simulation_of(context.space.simulated)},
            **described_original(context),
        }
        write_json(context.folder / FRONT, front)
