"""What a stage is: one part of the work on a job, declared and run in the same way whatever it does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from service.run.context import JobContext


class Stage(Protocol):
    """One part of the work on a job; its constructor takes its options.

    At every start of a job all of its stages are made and asked `is_done`. Those that are not done are run in the order
    in which the job names them. A stage leaves its output in the job folder, and goes on from what an interrupted run
    has left there, so a job may be started any number of times.

    Importing a stage has to be cheap, and so has making one: whoever queues jobs reads what it declares. What needs
    torch is imported when the stage is run.

    Attributes:
        title: What displays of progress call it.
        together: Whether all processes of a job take part, or the first of them alone.
        needs: Files of a job folder that must be there, from an earlier stage or from another job.
        leaves: Files of its own that other stages may need.
        result: Whether it lies `before` the result of a job, `writes` it, or comes `after` it, on jobs that are over
            as well. Jobs that name no stages run those that are not `after`, in the order of the catalogue.
    """

    title: ClassVar[str]
    together: ClassVar[bool] = False
    needs: ClassVar[Sequence[str]] = ()
    leaves: ClassVar[Sequence[str]] = ()
    result: ClassVar[Literal["before", "writes", "after"]] = "after"

    def is_done(self, folder: Path) -> bool:
        """Return whether its output is in the job folder, so that it is skipped."""
        ...

    def run(self, context: "JobContext") -> None:
        """Do the work; progress goes to `context.events.progress`."""
        ...

    def summary(self, folder: Path) -> Mapping[str, Any]:
        """Return what it adds to the result of the job."""
        return {}
