"""The stage that fine-tunes the members of a front."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.folder import write_json
from service.run.stages.of_members import OfMembers
from service.run.stages.outputs import FRONT, SUPERNET

if TYPE_CHECKING:
    from service.job.job import Job
    from service.run.context import JobContext


@dataclass(frozen=True, kw_only=True)
class Retrain(OfMembers):
    """The stage `retrain`: it trains members of the front from the weights that they inherited, each in a folder of
    `retrain/`.

    Args:
        members: Keys of members; null for all.
        epochs: Passes over the training data; null for as many as the supernet had.
        lr: Peak learning rate; null for a fifth of the supernet's.
        distil: Whether members learn from a teacher beside the targets.
        teacher: The teacher, as `train.teacher` names one; null for that of the job: the one that it names, or else
            its largest network as the schedule `adapted` left it. With a name, `distil` need not be said.
    """

    distil: bool = False
    teacher: str | None = None

    title: ClassVar = "fine-tuning"
    folder: ClassVar = "retrain"
    verb: ClassVar = "fine-tuned"
    needs: ClassVar = (FRONT, SUPERNET)

    def check(self, job: "Job", folder: Path) -> None:
        from service.job import teachers
        from service.job.building import data_facts

        if job.search.alone is not None and not job.search.alone.needs_supernet:
            raise InvalidJob(
                [
                    f"{folder}: its candidates were trained alone, without a supernet to go on from; "
                    f"from fresh weights: nas retrain {folder} --scratch"
                ]
            )
        super().check(job, folder)
        if self.teacher is not None:
            try:
                teachers.check(self.teacher, None, data_facts(job.data))
            except FieldError as error:
                raise InvalidJob([f"--{error.field}: {error.text}"]) from error

    def run(self, context: "JobContext") -> None:
        from service.run.retraining import Retraining, chosen_teacher

        context.require_supernet()
        teacher = chosen_teacher(context, self.teacher) if self.distil or self.teacher else None
        self.train(context, Retraining.of(context, epochs=self.epochs, lr=self.lr, teacher=teacher).tuned)
        write_json(context.folder / self.folder / "retrain.json", Retrain().records(context.folder))

    def summary(self, folder: Path) -> Mapping[str, Any]:
        return {"retrained": len(self.records(folder))}

    def _differences(self, record: Mapping[str, Any]) -> list[str]:
        taught = record.get("teacher")
        if self.teacher is not None and taught != self.teacher:
            other = [f"by the teacher {taught}" if taught else "without a teacher"]
        else:
            other = ["without a teacher"] if self.distil and taught is None else []
        return super()._differences(record) + other
