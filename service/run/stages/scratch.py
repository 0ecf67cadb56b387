"""The stage that trains members of a front alone, from fresh weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from service.run.stages.of_members import OfMembers

if TYPE_CHECKING:
    from service.job.job import Job
    from service.run.context import JobContext


@dataclass(frozen=True, kw_only=True)
class Scratch(OfMembers):
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

    network: Mapping[str, Any] = field(default_factory=dict)
    cutout: int | None = None

    title: ClassVar = "training from scratch"
    folder: ClassVar = "scratch"
    verb: ClassVar = "trained"

    def check(self, job: "Job", folder: Path) -> None:
        from service.run.from_scratch import larger

        super().check(job, folder)
        larger(job, self.network, self.cutout)

    def run(self, context: "JobContext") -> None:
        from service.run.from_scratch import FromScratch

        trained = FromScratch.of(context, epochs=self.epochs, lr=self.lr, network=self.network, cutout=self.cutout)
        self.train(context, trained.member)

    def summary(self, folder: Path) -> Mapping[str, Any]:
        return {"trained_from_scratch": len(self.records(folder))}

    def _differences(self, record: Mapping[str, Any]) -> list[str]:
        there = {**(record.get("network") or {}), "cutout": record.get("cutout")}
        asked = {**self.network, **({} if self.cutout is None else {"cutout": self.cutout})}
        other = [f"with {name} {there.get(name)}" for name, value in asked.items() if there.get(name) != value]
        return super()._differences(record) + other
