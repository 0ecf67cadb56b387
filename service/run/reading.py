"""Reading the data of a job before anything is trained, with progress and a list of unusable examples."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from nas.data import Data, InvalidExamples, WatchedSource
from service.errors import InvalidJob
from service.job.folder import write_whole
from service.job.kept_data import JobData
from service.run.events import Events

UNUSABLE = "unusable_examples.txt"
_QUICK_S = 2.0
"""Nobody is told how far something is that takes less."""


def read_data(found: JobData, device: torch.device, events: Events) -> Data:
    """Return the data of a job; a file in its folder names each example that cannot be used.

    Args:
        found: The data.
        device: Device where batches are wanted.
        events: Receive the progress of reading.

    Raises:
        InvalidJob: Some examples cannot be used, and the job does not allow to leave them out.
        InvalidData: The data cannot be used at all.
    """
    start = time.monotonic()

    def tell(done: int, total: int) -> None:
        if time.monotonic() - start > _QUICK_S:
            events.tell({"event": "data", "done": done, "total": total})

    folder, source = found.folder, found.source
    try:
        watched = replace(found, source=source.watched(tell)) if isinstance(source, WatchedSource) else found
        data = watched.load(device)
    except InvalidExamples as error:
        _keep(folder, error.lines, events)
        raise InvalidJob([*str(error).splitlines(), f"  all of them: {folder / UNUSABLE}"]) from error
    _keep(folder, data.left_out, events)
    return data


def _keep(folder: Path, lines: Sequence[str], events: Events) -> None:
    """Write what cannot be used into the folder of the job; what an earlier start left there goes."""
    if not events.processes.is_first:
        return
    if lines:
        write_whole(folder / UNUSABLE, "".join(f"{line}\n" for line in lines))
    else:
        (folder / UNUSABLE).unlink(missing_ok=True)
