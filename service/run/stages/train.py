"""The stage that trains the supernet."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from service.run.stages.outputs import ADAPTED, LEARNED, SUPERNET, TICKET
from service.run.stages.stage import Stage

if TYPE_CHECKING:
    from service.run.context import JobContext


@dataclass(frozen=True, kw_only=True)
class Train(Stage):
    """The stage `train`: it trains one network that holds every architecture of the space."""

    title: ClassVar = "training the supernet"
    together: ClassVar = True
    leaves: ClassVar = (SUPERNET,)
    result: ClassVar[Literal["before"]] = "before"

    def is_done(self, folder: Path) -> bool:
        return (folder / SUPERNET).exists()

    def run(self, context: "JobContext") -> None:
        from service.job.folder import write_json
        from service.run.training import adapted_supernet, take_parts, train_supernet

        parts, alone = context.job.search.parts, context.job.search.alone
        if parts:  # they are trained already
            take_parts(context.supernet, parts)
        if parts or (alone is not None and not alone.needs_supernet):  # else the search trains candidates one by one
            if context.processes.is_first:
                context.supernet.save(context.folder / SUPERNET)
            return

        trained = train_supernet(
            context.job,
            context.supernet,
            context.batches,
            task=context.task,
            folder=context.folder / "train",
            events=context.events,
            processes=context.processes,
        )
        if context.processes.is_first:
            if context.job.train.schedule == "adapted":
                adapted = adapted_supernet(trained, context.folder / "train")
                if adapted is not None:
                    adapted.save(context.folder / ADAPTED)
            if trained.learned is not None:
                write_json(context.folder / LEARNED, trained.learned.to_json(trained.space))
            if trained.ticket is not None:
                write_json(context.folder / TICKET, trained.ticket.to_json())
            trained.save(context.folder / SUPERNET)
        context.supernet = trained
