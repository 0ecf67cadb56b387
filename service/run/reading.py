"""Reading the data of a job before anything is trained: how far that is, what is unusable."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from nas.data import Data, DataConfig, InvalidExamples, WatchedSource
from service.errors import InvalidJob
from service.job.building import data_source
from service.job.folder import write_whole
from service.run.events import Events

UNUSABLE = "unusable_examples.txt"
_QUICK_S = 2.0
"""Nobody is told how far something is that takes less."""


def read_data(config: DataConfig, device: torch.device, folder: Path, events: Events) -> Data:
    """Return the data of a job; a file in its folder names each example that cannot be used.

    Args:
        config: Which data.
        device: Where batches are wanted.
        folder: Of the job.
        events: Are told how far the reading is.

    Raises:
        InvalidJob: Some examples cannot be used, and the job does not say to go on without them.
        InvalidData: The data cannot be used at all.
    """
    start = time.monotonic()

    def tell(done: int, total: int) -> None:
        if time.monotonic() - start > _QUICK_S:
            events.tell({"event": "data", "done": done, "total": total})

    source = data_source(config)
    try:
        data = (source.watched(tell) if isinstance(source, WatchedSource) else source).load(device)
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
