"""NVIDIA GPUs of this machine as its driver lists them, without PyTorch."""

import re
import subprocess
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

_PATIENCE_S = 30


class Gpu(NamedTuple):
    """One GPU, or one part of a partitioned one (MIG).

    Attributes:
        number: Number as in `nvidia-smi -L`; ``gpu:part`` for a part.
        uuid: Its name for CUDA_VISIBLE_DEVICES.
        model: Name of the model.
    """

    number: str
    uuid: str
    model: str = ""

    @property
    def is_part(self) -> bool:
        """Whether it is a part of a partitioned GPU."""
        return ":" in self.number


@cache
def installed_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs of this machine, parts instead of partitioned ones; none where there is no driver."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(parse_gpus(done.stdout)) if done.returncode == 0 else ()


def parse_gpus(listing: str) -> list[Gpu]:
    """Return the GPUs in the output of ``nvidia-smi -L``; a partitioned GPU stands for its parts."""
    found: list[Gpu] = []
    whole = Gpu("", "")
    for line in listing.splitlines():
        if match := re.match(r"GPU (\d+): (.*) \(UUID: (GPU-[^)]+)\)", line):
            whole = Gpu(match[1], match[3], match[2])
            found.append(whole)
        elif match := re.match(r"\s+MIG .*Device\s+(\d+): .*\(UUID: (MIG-[^)]+)\)", line):
            found = [gpu for gpu in found if gpu != whole]
            found.append(Gpu(f"{whole.number}:{match[1]}", match[2], whole.model))
    return found


def seen_by_cuda(gpus: Sequence[Gpu], allowed: str | None) -> list[Gpu]:
    """Return the GPUs that CUDA shows to a process: it ignores everything after an entry that it does not know.

    Args:
        gpus: Gpus of the machine.
        allowed: CUDA_VISIBLE_DEVICES; None where it is not set.
    """
    if allowed is None:
        return list(gpus)
    seen: list[Gpu] = []
    for name in (entry.strip() for entry in allowed.split(",")):
        matching = [gpu for gpu in gpus if name and (gpu.number == name or gpu.uuid.startswith(name))]
        if len(matching) != 1:
            break
        seen += matching
    return seen


def visible(gpus: Sequence[Gpu], chosen: Sequence[str] | None, allowed: str | None) -> list[str]:
    """Return the UUIDs that jobs may use, in order.

    Args:
        gpus: Index and UUID of each.
        chosen: Indices or (beginnings of) UUIDs; None for all.
        allowed: CUDA_VISIBLE_DEVICES of this process; None where it is not set.

    Raises:
        ValueError: A chosen GPU does not exist.
    """
    names = [uuid for _, uuid, _ in gpus]
    if allowed is not None:
        some = [name.strip() for name in allowed.split(",") if name.strip()]
        names = [uuid for name in some for index, uuid, _ in gpus if index == name or uuid.startswith(name)]
    if chosen is None:
        return names
    by_name = {name: [uuid for index, uuid, _ in gpus if index == name or uuid.startswith(name)] for name in chosen}
    for name, found in by_name.items():
        if len(found) != 1 or found[0] not in names:
            there = ", ".join(f"{index} ({uuid})" for index, uuid, _ in gpus if uuid in names) or "none"
            raise ValueError(f"gpus: {name!r} is not a GPU that jobs may use here; there are: {there}")
    return [found[0] for found in by_name.values()]
