"""Jobs in this process, one after the other, for trying things out and for debugging."""

from collections.abc import Sequence
from pathlib import Path

from service.errors import InvalidJob
from service.queue.executors.executor import FAILED, Ticket, end_cancelled, end_if_idle, is_cancelled, is_over
from service.queue.executors.slurm_options import cluster_only
from service.queue.runner import BUSY, OVER, run_job


class Inline:
    """The executor `inline`, which runs a job in each `tick` and waits for it."""

    def __init__(self, queue: Path) -> None:
        self.waiting: list[Path] = []

    def check(self, ticket: Ticket) -> None:
        found = cluster_only(ticket)
        if ticket.resources.nodes > 1:
            found.append(f"--nodes: must be 1 in one process, got {ticket.resources.nodes}; use --queue slurm")
        if found:
            raise InvalidJob(found)

    def submit(self, folders: Sequence[Path]) -> None:
        self.waiting += [folder for folder in folders if folder not in self.waiting]

    def cancel(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            end_cancelled(folder)

    def tick(self) -> list[Path]:
        if self.waiting:
            folder = self.waiting.pop(0)
            if is_cancelled(folder):
                end_cancelled(folder)
            elif run_job(folder) not in (OVER, BUSY):
                end_if_idle(folder, FAILED, "stopped, or the machine failed; see its log")
        self.waiting = [folder for folder in self.waiting if not is_over(folder)]
        return list(self.waiting)
