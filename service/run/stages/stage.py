"""The protocol of stages: parts of the work on a job, which are all declared and run in the same way."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from service.job.job import Job
    from service.run.context import JobContext


class Stage(Protocol):
    """One part of the work on a job; its constructor takes its options.

    At every start of a job all of its stages are made and asked `is_done`. Those that are not done are asked to `check`
    their options, and run in the order in which the job names them. A stage leaves its output in the job folder, and
    continues from what an interrupted run has left there, so a job may be started any number of times.

    Importing and making a stage must be cheap, because commands that queue jobs read its declarations. Modules that
    need torch are imported when the stage runs.

    Attributes:
        title: Title in displays of progress.
        together: Whether all processes of a job take part, or only the first one.
        needs: Files of a job folder that must be there, from an earlier stage or from another job.
        leaves: Files of its own that other stages may need.
        result: Whether the stage is `before` the result of a job, `writes` it, or comes `after` it, also for jobs that
            are over. Jobs that name no stages run those that are not `after`, in the order of the catalogue.
    """

    title: ClassVar[str]
    together: ClassVar[bool] = False
    needs: ClassVar[Sequence[str]] = ()
    leaves: ClassVar[Sequence[str]] = ()
    result: ClassVar[Literal["before", "writes", "after"]] = "after"

    def check(self, job: "Job", folder: Path) -> None:
        """Refuse options that do not fit the job, before anything of it runs; by default nothing is refused.

        Args:
            job: Job that is to run.
            folder: Folder of the job.

        Raises:
            InvalidJob: Something does not fit; it lists all mistakes.
        """
        return

    def is_done(self, folder: Path) -> bool:
        """Return whether its output is in the job folder, so that it is skipped."""
        ...

    def run(self, context: "JobContext") -> None:
        """Do the work; progress goes to `context.events.progress`."""
        ...

    def summary(self, folder: Path) -> Mapping[str, Any]:
        """Return what it adds to the result of the job."""
        return {}
