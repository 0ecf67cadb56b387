"""The stage that trains members of a front alone, from fresh weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.errors import FieldError
from service.job.folder import read_json, write_json
from service.job.front_file import read_retrained
from service.run.stages.outputs import FRONT, RESULT
from service.run.stages.retrain import check_members_of
from service.run.stages.stage import Stage

if TYPE_CHECKING:
    from service.job.job import Job
    from service.run.context import JobContext

_FOLDER = "scratch"


@dataclass(frozen=True, kw_only=True)
class Scratch(Stage):
    """The stage `scratch`: it trains members of the front alone, from fresh weights, each in a folder of `scratch/`.

    The network is the one in which the paper of the space trains its answers, where it says so: for `darts` 20 cells of
    36 channels with a second classifier and rising drop path, for `nasbench201` 16 channels and 5 cells a stage.

    Args:
        members: Keys of members; null for all.
        epochs: Passes over the training data; null for the published number, or else as many as the supernet had.
        lr: Peak learning rate; null for that of the supernet.
        network: Options of the space that replace those of the published network, such as a smaller number of cells.
        cutout: Side in pixels of the square that is blanked in each training image; null for what the job has.
    """

    members: Sequence[str] | None = None
    epochs: float | None = None
    lr: float | None = None
    network: Mapping[str, Any] = field(default_factory=dict)
    cutout: int | None = None

    title: ClassVar = "training from scratch"
    needs: ClassVar = (FRONT,)

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("lr", self.lr)):
            if value is not None and not value > 0:
                raise FieldError(name, f"must be more than 0, got {value:g}")

    def check(self, job: "Job", folder: Path) -> None:
        from service.run.from_scratch import larger

        check_members_of(folder, self.members)
        larger(job, self.network, self.cutout)

    def is_done(self, folder: Path) -> bool:
        members = (read_json(folder / FRONT) or {}).get("members", [])
        chosen = self.chosen(members)
        wanted = len(members) if self.members is None else len(set(self.members))
        records = [read_retrained(self.place(folder, member) / RESULT) for member in chosen]
        return 0 < wanted == len(chosen) and all(record and not self.differs(record) for record in records)

    def run(self, context: "JobContext") -> None:
        from service.job.preparation import front_members
        from service.run.from_scratch import FromScratch

        check_members_of(context.adopted(FRONT).parent, self.members)
        chosen = self.chosen(front_members(context.adopted(FRONT).parent))
        trained = FromScratch.of(context, epochs=self.epochs, lr=self.lr, network=self.network, cutout=self.cutout)
        for number, member in enumerate(chosen):
            progress = {"done": number, "total": len(chosen), "member": member["key"]}
            context.events.progress(**progress)
            place = self.place(context.folder, member)
            done = read_retrained(place / RESULT)
            if not done or self.differs(done):
                write_json(place / RESULT, trained.member(member, place, progress))
        context.events.progress(len(chosen), len(chosen))

    def summary(self, folder: Path) -> Mapping[str, Any]:
        return {"trained_from_scratch": len(self.records(folder))}

    def records(self, folder: Path) -> list[dict[str, Any]]:
        """Return the records of these members that are done."""
        members = (read_json(folder / FRONT) or {}).get("members", [])
        found = (read_retrained(self.place(folder, member) / RESULT) for member in self.chosen(members))
        return [record for record in found if record]

    def differs(self, record: Mapping[str, Any]) -> bool:
        """Return whether a member that is done was trained in another way than is asked for.

        What is left open here, such as the number of epochs, may have been anything.
        """
        asked = {"epochs": self.epochs, "lr": self.lr, "cutout": self.cutout}
        network = record.get("network") or {}
        other = any(value is not None and record.get(name) != value for name, value in asked.items())
        return other or any(network.get(name) != value for name, value in self.network.items())

    def chosen(self, members: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the members to train."""
        return [member for member in members if self.members is None or member["key"] in self.members]

    def place(self, folder: Path, member: Mapping[str, Any]) -> Path:
        """Return the folder of a member."""
        return folder / _FOLDER / str(member["key"])
