"""The load of the machine while a job runs: processors, memory, and GPUs through NVML, as events of the job.

Names are those of MLflow's own system metrics, so that its pages show them; the process that runs the job writes them
into its folder and needs no MLflow for that.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

EVERY_S = 10.0
_MB = 2**20


@contextmanager
def sampled(write: Callable[[dict[str, Any]], None], *, created_s: float, every_s: float = EVERY_S) -> Iterator[None]:
    """Write an event every `every_s` seconds from a thread of its own, until the work inside is over.

    Args:
        write: Takes the events; events that it cannot write are lost, and the work goes on.
        created_s: Time when the job was made; steps are seconds since then, so a resumed job continues them.
        every_s: Time between two events.
    """
    over = threading.Event()

    def sample() -> None:
        machine = Machine()
        while not over.wait(every_s):
            now = time.time()
            with suppress(OSError):
                write({"event": "system", "time": now, "step": int(now - created_s), "values": machine.sample()})

    thread = threading.Thread(target=sample, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Machine:
    """The readings between one sample and the next."""

    def __init__(self) -> None:
        self.gpus = visible_gpus()
        self.busy, self.total = _processor_ticks()
        self.own_s, self.clock_s = _own_seconds(), time.monotonic()

    def sample(self) -> dict[str, float]:
        """Return metric -> value; processors are averaged since the last sample. Unknown metrics are left out."""
        values: dict[str, float] = {}
        busy, total = _processor_ticks()
        if total > self.total:
            values["cpu_utilization_percentage"] = 100 * (busy - self.busy) / (total - self.total)
        self.busy, self.total = busy, total
        own_s, clock_s = _own_seconds(), time.monotonic()
        values["process_cpu_percentage"] = 100 * (own_s - self.own_s) / max(clock_s - self.clock_s, 1e-9)
        self.own_s, self.clock_s = own_s, clock_s
        values |= _memory()
        for place, gpu in enumerate(self.gpus):
            values |= {f"gpu_{place}_{name}": value for name, value in gpu().items()}
        return {name: round(value, 2) for name, value in values.items()}


def _processor_ticks() -> tuple[int, int]:
    """Return busy and all ticks of all processors since the machine started; zeros where they are not known."""
    with suppress(OSError, ValueError, IndexError):
        ticks = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # all but idle, and waiting for a disk
    return 0, 0


def _own_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _memory() -> dict[str, float]:
    """Return the used memory of the machine, and the part that this process holds."""
    values: dict[str, float] = {}
    with suppress(OSError, ValueError, KeyError):
        lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        kilobytes = {line[0].rstrip(":"): int(line[1]) for line in lines}
        total, used = kilobytes["MemTotal"], kilobytes["MemTotal"] - kilobytes["MemAvailable"]
        values |= {"system_memory_usage_megabytes": used / 1024, "system_memory_usage_percentage": 100 * used / total}
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        values["process_memory_megabytes"] = pages * os.sysconf("SC_PAGE_SIZE") / _MB
    return values


def visible_gpus() -> list[Callable[[], dict[str, float]]]:
    """Return a reading for each GPU that this process may use, in the order of CUDA; none without NVIDIA's driver and
    `nvidia-ml-py`."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = _handles(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except Exception:  # no module, no driver, a driver of another version, a GPU that is gone
        return []
    return [partial(_reading, pynvml, handle) for handle in handles]


def _handles(nvml: Any, visible: str | None) -> list[Any]:
    """Return the handles of the GPUs that CUDA_VISIBLE_DEVICES names by number, UUID or UUID of a part (MIG), or of
    all.

    CUDA ignores everything after an entry that it does not know.
    """
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    handles: list[Any] = []
    for entry in (text.strip() for text in visible.split(",")):
        by_number = entry.isdigit()
        try:
            found = nvml.nvmlDeviceGetHandleByIndex(int(entry)) if by_number else nvml.nvmlDeviceGetHandleByUUID(entry)
        except nvml.NVMLError:
            break
        handles.append(found)
    return handles


def _reading(nvml: Any, handle: Any) -> dict[str, float]:
    """Read one GPU; a part of a GPU (MIG) only tells its memory."""
    values: dict[str, float] = {}
    with suppress(nvml.NVMLError):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        values["memory_usage_megabytes"] = memory.used / _MB
        values["memory_usage_percentage"] = 100 * memory.used / memory.total
    with suppress(nvml.NVMLError):
        values["utilization_percentage"] = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    with suppress(nvml.NVMLError):
        values["power_usage_watts"] = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
    with suppress(nvml.NVMLError):
        temperature = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        values["temperature_celsius"] = float(temperature)
    return values
