"""Energy counters of a machine, where it has some: RAPL of processors, NVML of NVIDIA devices.

Only the standard library is needed; NVML is asked through nvidia-ml-py where that is installed.
"""

from __future__ import annotations

import glob
import os
from typing import Any, Callable  # noqa: UP035  # other machines have older Pythons

RAPL = "/sys/class/powercap/intel-rapl:*/energy_uj"


def energy_counter(cuda: int | None = None, rapl: str = RAPL) -> Callable[[], float | None]:
    """Return a function that says how many joules were used so far, or None where nothing counts them.

    Args:
        cuda: Index of the NVIDIA device that works; None where the processor does.
        rapl: Pattern of the counters of all processor packages; each starts again from 0 at `max_energy_range_uj`
            beside it.
    """
    return _nvml(cuda) if cuda is not None else _rapl(rapl)


def _rapl(pattern: str) -> Callable[[], float | None]:
    paths = sorted(path for path in glob.glob(pattern) if os.access(path, os.R_OK))
    if not paths:
        return _unknown
    last = {path: _number(path) for path in paths}
    ranges = {path: _number(os.path.join(os.path.dirname(path), "max_energy_range_uj")) for path in paths}
    used = dict.fromkeys(paths, 0.0)

    def joules() -> float:
        for path in paths:
            now = _number(path)
            used[path] += now - last[path] if now >= last[path] else now + ranges[path] - last[path]
            last[path] = now
        return sum(used.values()) / 1e6

    return joules


def _number(path: str) -> float:
    try:
        with open(path) as file:
            return float(file.read())
    except OSError:
        return 0.0


def _nvml(index: int) -> Callable[[], float | None]:
    try:
        import pynvml
    except ImportError:
        return _unknown
    try:
        pynvml.nvmlInit()
        device: Any = pynvml.nvmlDeviceGetHandleByIndex(index)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(device)
    except pynvml.NVMLError:
        return _unknown
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(device) / 1e3


def _unknown() -> None:
    return None
