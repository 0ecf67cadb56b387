"""GPUs and cores of this machine; each has a lock file that is taken before the device is used.

The job that uses a device inherits the lock, so the kernel frees it when the job is dead, in any way. A job that has a
GPU for itself holds its file exclusively. Jobs that share a GPU hold it together, and one of its slots each.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from service.job.gpus import installed_gpus, visible
from service.queue.executors.executor import Resources

_PLACES = ("/run/lock", "/var/lock", tempfile.gettempdir())


@dataclass(frozen=True, kw_only=True)
class SlotConfig:
    """The devices of this machine that jobs may use.

    Args:
        gpus: Indices or UUIDs as `nvidia-smi -L` lists them; null for all that CUDA_VISIBLE_DEVICES allows.
        jobs_per_gpu: Jobs that may share a GPU.
        cpus: Cores; null for all that this process may use.
        pretend_gpus: Number of GPUs that do not exist, for trying things out.
        folder: Folder of the lock files; null for the one of this machine.
    """

    gpus: Sequence[str] | None = None
    jobs_per_gpu: int = 1
    cpus: int | None = None
    pretend_gpus: int = 0
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.jobs_per_gpu < 1:
            raise ValueError(f"jobs_per_gpu must be 1 or more, got {self.jobs_per_gpu}")
        if self.cpus is not None and self.cpus < 1:
            raise ValueError(f"cpus must be 1 or more, got {self.cpus}")
        if self.pretend_gpus < 0:
            raise ValueError(f"pretend_gpus must be 0 or more, got {self.pretend_gpus}")


@dataclass
class Taken:
    """Slots of one job; `close` lets this process's hold on them go."""

    files: ExitStack
    descriptors: list[int] = field(default_factory=list)
    gpus: list[str] = field(default_factory=list)
    cpus: list[int] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Return what a job sees: its GPUs and no other, and as many threads as it has cores."""
        threads = str(len(self.cpus))
        limited = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} if self.cpus else {}
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus), "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **limited}

    def names(self) -> list[str]:
        """Return the names of the lock files, as `Slots.names` gives them."""
        return [*map(_gpu_lock, self.gpus), *map(_cpu_lock, self.cpus)]

    def describe(self) -> dict[str, Any]:
        return {"gpus": self.gpus, "cpus": self.cpus}

    def close(self) -> None:
        self.files.close()


@dataclass(frozen=True)
class Slots:
    """The devices of this machine that jobs may use."""

    config: SlotConfig

    @cached_property
    def gpus(self) -> list[str]:
        """Names for CUDA_VISIBLE_DEVICES."""
        if self.config.pretend_gpus:
            return [f"pretend-{index}" for index in range(self.config.pretend_gpus)]
        return visible(installed_gpus(), self.config.gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))

    @cached_property
    def cpus(self) -> list[int]:
        return sorted(os.sched_getaffinity(0))[: self.config.cpus]

    @cached_property
    def folder(self) -> Path:
        """Of the lock files, the same for all users of the machine."""
        if self.config.folder is not None:
            place = Path(self.config.folder)
            place.mkdir(parents=True, exist_ok=True)
            return place
        parent = next(Path(place) for place in _PLACES if _is_for_all(Path(place)))
        place = parent / "espalier"
        with suppress(FileExistsError):
            place.mkdir()
            place.chmod(0o1777)  # whatever the umask is
        return place

    def mistakes(self, resources: Resources) -> list[str]:
        """Return the reason why a job with these needs could never start here; empty where it could."""
        found = []
        if resources.nodes > 1:
            found.append(f"nodes: must be 1 on a queue of one machine, got {resources.nodes}; use --queue slurm")
        if resources.gpus > len(self.gpus):
            some = f"must be {len(self.gpus)} or less, this machine has {len(self.gpus)} that jobs may use"
            there = some if self.gpus else self._no_gpu()
            found.append(f"gpus: {there}, got {resources.gpus}")
        if (resources.cpus or 0) > len(self.cpus):
            found.append(f"cpus: must be {len(self.cpus)} or less, the cores jobs may use here, got {resources.cpus}")
        return found

    def _no_gpu(self) -> str:
        """Return why jobs may use no GPU here."""
        installed = len(installed_gpus())
        if not installed:
            return "must be 0, this machine has no GPU (nvidia-smi -L lists none)"
        return f"must be 0, CUDA_VISIBLE_DEVICES hides the GPUs of this machine ({installed})"

    def take(self, resources: Resources) -> Taken | None:
        """Return all slots that a job needs, or None, and none is held, where they are not all free."""
        taken = Taken(ExitStack())
        if self._take_gpus(resources.gpus, taken) and self._take_cpus(self.wanted_cpus(resources), taken):
            return taken
        taken.close()
        return None

    def wanted_cpus(self, resources: Resources) -> int:
        """Return how many cores a job has for itself."""
        return resources.cpus or (0 if resources.gpus else len(self.cpus))

    def names(self, resources: Resources) -> dict[str, list[str]]:
        """Return the names of the lock files that a job may take, by kind: gpus and cpus; kinds that it needs only."""
        gpus = [_gpu_lock(gpu) for gpu in self.gpus] if resources.gpus else []
        cpus = [_cpu_lock(cpu) for cpu in self.cpus] if self.wanted_cpus(resources) else []
        return {kind: names for kind, names in (("gpus", gpus), ("cpus", cpus)) if names}

    def lacking(self, resources: Resources) -> str:
        """Return the kind that keeps a job from starting: gpus or cpus."""
        taken = Taken(ExitStack())
        with taken.files:
            has_gpus = self._take_gpus(resources.gpus, taken)
        return "cpus" if has_gpus and self.wanted_cpus(resources) else "gpus"

    def _take_gpus(self, wanted: int, taken: Taken) -> bool:
        for turn in range(self.config.jobs_per_gpu):  # an empty GPU before a second job on another
            for gpu in self.gpus:
                if len(taken.gpus) == wanted:
                    return True
                if gpu not in taken.gpus and self._take_gpu(gpu, turn, taken):
                    taken.gpus.append(gpu)
        return len(taken.gpus) == wanted

    def _take_gpu(self, gpu: str, turn: int, taken: Taken) -> bool:
        if self.config.jobs_per_gpu == 1:
            return self._lock(_gpu_lock(gpu), fcntl.LOCK_EX, taken)
        held = len(taken.descriptors)
        with ExitStack() as only_if_both:
            half = Taken(only_if_both)
            shared = self._lock(_gpu_lock(gpu), fcntl.LOCK_SH, half)
            if not (shared and self._lock(f"{_gpu_lock(gpu)}.{turn}", fcntl.LOCK_EX, half)):
                return False
            taken.files.push(only_if_both.pop_all())
            taken.descriptors += half.descriptors
        return len(taken.descriptors) > held

    def _take_cpus(self, wanted: int, taken: Taken) -> bool:
        for cpu in self.cpus:
            if len(taken.cpus) == wanted:
                break
            if self._lock(_cpu_lock(cpu), fcntl.LOCK_EX, taken):
                taken.cpus.append(cpu)
        return len(taken.cpus) == wanted

    def _lock(self, name: str, kind: int, taken: Taken) -> bool:
        descriptor = _open(self.folder / name)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        taken.files.callback(os.close, descriptor)
        taken.descriptors.append(descriptor)
        return True


def _gpu_lock(gpu: str) -> str:
    return f"gpu-{gpu}"


def _cpu_lock(cpu: int) -> str:
    return f"cpu-{cpu}"


def settings_of(content: Mapping[str, Any]) -> SlotConfig:
    """Return the configuration kept in a queue folder; unknown fields are of a later version."""
    known = SlotConfig.__dataclass_fields__
    return SlotConfig(**{name: value for name, value in content.items() if name in known})


def _is_for_all(place: Path) -> bool:
    """Return whether every user may make files here and nobody may remove those of others."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and bool(mode & stat.S_IWOTH) and bool(mode & stat.S_ISVTX)


def _open(path: Path) -> int:
    """Open a lock file that may belong to another user: read only, so that it needs no right to write."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    for _ in range(10):
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            continue  # another process has just made it
        os.fchmod(descriptor, 0o644)  # whatever the umask is
        return descriptor
    raise OSError(f"{path} comes and goes")
