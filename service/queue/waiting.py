"""The reasons why jobs wait, for people: from their folders, the holders of devices, and the worker of the queue."""

from collections.abc import Iterable
from dataclasses import replace

from service.queue.executors.waits import line_of, reason_of
from service.queue.queue import Queue, Status

_NOT_SERVED = "no worker serves this queue; start one with: nas worker --queue-folder {}"


def explained(queue: Queue, statuses: Iterable[Status]) -> list[Status]:
    """Return the statuses of jobs, with a reason for each that is queued.

    Args:
        queue: Queue of the jobs.
        statuses: Statuses of some of them, as `Queue.status` gives them.
    """
    found = list(statuses)
    if all(status.state != "queued" for status in found):
        return found
    served, reasons = queue.is_served(), reason_of(queue.folder)

    def reason(status: Status) -> str:
        if not served:
            return _NOT_SERVED.format(queue.folder)
        return status.reason or reasons.of(status.folder.name, line_of(status.wanted_gpus))

    return [replace(one, reason=reason(one)) if one.state == "queued" else one for one in found]
