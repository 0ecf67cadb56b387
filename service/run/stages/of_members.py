"""What stages that train members of a front have in common: which members, their folders and records."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.errors import FieldError
from service.catalogue import suggestion
from service.errors import InvalidJob
from service.job.folder import read_json, write_json
from service.job.front_file import read_retrained
from service.run.stages.outputs import FRONT, RESULT
from service.run.stages.stage import Stage

if TYPE_CHECKING:
    from service.job.job import Job
    from service.run.context import JobContext


@dataclass(frozen=True, kw_only=True)
class OfMembers(Stage):
    """A stage that trains members of the front one after the other, each in a folder of its own.

    A member that is done is trained again where it was trained in another way than is asked for.

    Args:
        members: Keys of members; null for all.
        epochs: Passes over the training data; null for what the stage takes by itself.
        lr: Peak learning rate; null for what the stage takes by itself.

    Attributes:
        folder: Name of the folder of a job that has the folders of the members.
        verb: What a member was, such as "fine-tuned".
    """

    members: Sequence[str] | None = None
    epochs: float | None = None
    lr: float | None = None

    folder: ClassVar[str]
    verb: ClassVar[str]
    needs: ClassVar[Sequence[str]] = (FRONT,)

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("lr", self.lr)):
            if value is not None and not value > 0:
                raise FieldError(name, f"must be more than 0, got {value:g}")

    def check(self, job: "Job", folder: Path) -> None:
        _check_members(folder, self.members)

    def is_done(self, folder: Path) -> bool:
        members = _members(folder) or []
        wanted = len(members) if self.members is None else len(set(self.members))
        records = [read_retrained(self.place(folder, member) / RESULT) for member in self._chosen(members)]
        return 0 < wanted == len(records) and all(record and not self.other_than(record) for record in records)

    def train(
        self,
        context: "JobContext",
        trained: Callable[[Mapping[str, Any], Path, Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        """Train the members that are not done.

        Args:
            context: The job.
            trained: Trains a member of `front.json` in its folder, adds entries to the events of its training, and
                returns its record.
        """
        from service.job.preparation import front_members

        of_front = context.adopted(FRONT).parent
        _check_members(of_front, self.members)
        chosen = self._chosen(front_members(of_front))
        for number, member in enumerate(chosen):
            progress = {"done": number, "total": len(chosen), "member": member["key"]}
            context.events.progress(**progress)
            place = self.place(context.folder, member)
            done = read_retrained(place / RESULT)
            if done and not (other := self.other_than(done)):
                continue
            if done:
                told = f"{member['key']} was {self.verb} {other}, and is {self.verb} again"
                context.events({"event": "warning", "time": time.time(), "message": told})
            write_json(place / RESULT, trained(member, place, progress))
        context.events.progress(len(chosen), len(chosen))

    def records(self, folder: Path) -> list[dict[str, Any]]:
        """Return the records of these members that are done."""
        chosen = self._chosen(_members(folder) or [])
        found = (read_retrained(self.place(folder, member) / RESULT) for member in chosen)
        return [record for record in found if record]

    def other_than(self, record: Mapping[str, Any]) -> str:
        """Return how a member that is done was trained in another way than is asked for; empty where it was not.

        What is left open here, such as the number of epochs, may have been anything.
        """
        return " and ".join(self._differences(record))

    def _differences(self, record: Mapping[str, Any]) -> list[str]:
        """Return what a record has instead of what is asked for, such as `with lr 0.1`."""
        return [
            f"with {name} {record.get(name):g}"
            for name, wanted in (("epochs", self.epochs), ("lr", self.lr))
            if wanted is not None and record.get(name) != wanted
        ]

    def place(self, folder: Path, member: Mapping[str, Any]) -> Path:
        """Return the folder of a member in that of a job."""
        return folder / self.folder / str(member["key"])

    def _chosen(self, members: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [member for member in members if self.members is None or member["key"] in self.members]


def _members(folder: Path) -> Sequence[Mapping[str, Any]] | None:
    """Return the members of the front of a job; None where it has no front yet."""
    return (read_json(folder / FRONT) or {}).get("members")


def _check_members(folder: Path, chosen: Sequence[str] | None) -> None:
    """Refuse keys that are not on the front of a job, where it has one already.

    Raises:
        InvalidJob: Some keys are not; it names all of them.
    """
    members = _members(folder)
    keys = [str(member["key"]) for member in members or ()]
    unknown = [key for key in chosen or () if members is not None and key not in keys]
    if unknown:
        raise InvalidJob([f"member: {key!r} is not on the front{suggestion(key, keys)}" for key in unknown])
