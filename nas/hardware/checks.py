"""Checks that a machine supports a latency configuration, without measuring anything."""

from nas.hardware.backends import Backend
from nas.hardware.config import LatencyConfig
from nas.hardware.runtimes import usable_cores


def mistakes(config: LatencyConfig, device: str) -> list[str]:
    """Return what is not available of a configuration, one line each, beginning with the field.

    Args:
        config: How latency is to be measured.
        device: Device where networks run on this machine, `cpu` or `cuda`.
    """
    try:
        backend: Backend = config.make_backend()
    except ValueError as error:
        return [str(error)]
    found = []
    if config.precision not in backend.precisions:
        has = ", ".join(backend.precisions)
        found.append(f"precision: {config.backend} cannot do {config.precision}; allowed: {has}")
    if config.is_remote:
        if backend.runtime is None:
            found.append(f"device: {config.backend} measures on this machine only; over ssh: onnxruntime, torch")
        elif lacking := backend.missing("cpu"):
            found.append(f"backend: {lacking}")
    elif device not in backend.devices:
        found.append(f"backend: {config.backend} needs a {' or '.join(backend.devices)} device, this job uses {device}")
    elif lacking := backend.missing(device):
        found.append(f"backend: {lacking}")
    if not config.is_remote and device == "cpu" and config.threads > (cores := usable_cores()):
        found.append(f"threads: must be at most {cores}, the cores that this process may use, got {config.threads}")
    return found
