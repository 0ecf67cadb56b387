"""The stage that fine-tunes the members of a front."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.errors import FieldError
from service.catalogue import suggestion
from service.errors import InvalidJob
from service.job.folder import read_json, write_json
from service.job.front_file import read_retrained
from service.run.stages.outputs import FRONT, RESULT, SUPERNET
from service.run.stages.stage import Stage

if TYPE_CHECKING:
    from service.job.job import Job
    from service.run.context import JobContext

_FOLDER = "retrain"


@dataclass(frozen=True, kw_only=True)
class Retrain(Stage):
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

    members: Sequence[str] | None = None
    epochs: float | None = None
    lr: float | None = None
    distil: bool = False
    teacher: str | None = None

    title: ClassVar = "fine-tuning"
    needs: ClassVar = (FRONT, SUPERNET)

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("lr", self.lr)):
            if value is not None and not value > 0:
                raise FieldError(name, f"must be more than 0, got {value:g}")

    def check(self, job: "Job", folder: Path) -> None:
        from service.job import teachers
        from service.job.building import data_facts

        check_members_of(folder, self.members)
        if self.teacher is not None:
            try:
                teachers.check(self.teacher, None, data_facts(job.data))
            except FieldError as error:
                raise InvalidJob([f"--{error.field}: {error.text}"]) from error

    def is_done(self, folder: Path) -> bool:
        members = (read_json(folder / FRONT) or {}).get("members", [])
        chosen = self._chosen(members)
        wanted = len(members) if self.members is None else len(set(self.members))
        records = [read_retrained(self._record(folder, member)) for member in chosen]
        return 0 < wanted == len(chosen) and all(record and not self.other_than(record) for record in records)

    def run(self, context: "JobContext") -> None:
        from service.job.preparation import front_members
        from service.run.retraining import Retraining, chosen_teacher

        context.require_supernet()
        check_members_of(context.adopted(FRONT).parent, self.members)
        chosen = self._chosen(front_members(context.adopted(FRONT).parent))
        teacher = chosen_teacher(context, self.teacher) if self.distil or self.teacher else None
        retraining = Retraining.of(context, epochs=self.epochs, lr=self.lr, teacher=teacher)
        for number, member in enumerate(chosen):
            progress = {"done": number, "total": len(chosen), "member": member["key"]}
            context.events.progress(**progress)
            place = self._record(context.folder, member).parent
            done = read_retrained(place / RESULT)
            if done and not (other := self.other_than(done)):
                continue
            if done:
                told = f"{member['key']} was fine-tuned {other}, and is fine-tuned again"
                context.events({"event": "warning", "time": time.time(), "message": told})
            write_json(place / RESULT, retraining.tuned(member, place, progress))
        context.events.progress(len(chosen), len(chosen))
        write_json(context.folder / _FOLDER / "retrain.json", Retrain().records(context.folder))

    def summary(self, folder: Path) -> Mapping[str, Any]:
        return {"retrained": len(self.records(folder))}

    def records(self, folder: Path) -> list[dict[str, Any]]:
        """Return the records of these members that are done."""
        members = (read_json(folder / FRONT) or {}).get("members", [])
        found = (read_retrained(self._record(folder, member)) for member in self._chosen(members))
        return [record for record in found if record]

    def other_than(self, record: Mapping[str, Any]) -> str:
        """Return how a member that is done was trained in another way than is asked for; empty where it was not.

        What is left open here, such as the number of epochs, may have been anything.
        """
        parts = [
            f"with {name} {record.get(name):g}"
            for name, wanted in (("epochs", self.epochs), ("lr", self.lr))
            if wanted is not None and record.get(name) != wanted
        ]
        taught = record.get("teacher")
        if self.teacher is not None and taught != self.teacher:
            parts.append(f"by the teacher {taught}" if taught else "without a teacher")
        elif self.distil and taught is None:
            parts.append("without a teacher")
        return " and ".join(parts)

    def _chosen(self, members: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [member for member in members if self.members is None or member["key"] in self.members]

    def _record(self, folder: Path, member: Mapping[str, Any]) -> Path:
        return folder / _FOLDER / str(member["key"]) / RESULT


def check_members_of(folder: Path, chosen: Sequence[str] | None) -> None:
    """Refuse keys that are not on the front of a job, where it has one already.

    Raises:
        InvalidJob: Some keys are not; it names all of them.
    """
    members = (read_json(folder / FRONT) or {}).get("members")
    keys = [str(member["key"]) for member in members or ()]
    unknown = [key for key in chosen or () if members is not None and key not in keys]
    if unknown:
        raise InvalidJob([f"member: {key!r} is not on the front{suggestion(key, keys)}" for key in unknown])
