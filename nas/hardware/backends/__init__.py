"""The backends that run a network while it is timed, one file each.

The backend of a name is the class `Backend` in the file of that name here; see `LatencyConfig.make_backend`.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Protocol

from nas.hardware.config import LatencyConfig
from nas.hardware.timing import Network

if TYPE_CHECKING:
    from torch import nn

    from nas.hardware.examples import Example


class Backend(Protocol):
    """A backend makes plain networks ready to run.

    Attributes:
        precisions: Precisions that it supports.
        devices: Types of devices of this machine that it can use, `cpu` and `cuda`.
        runtime: Runtime by which another machine runs what `export` gives, a key of `nas.hardware.runtimes.OPENERS`;
            None where it works on this machine only.
    """

    precisions: tuple[str, ...]
    devices: tuple[str, ...]
    runtime: str | None

    def missing(self, device: str) -> str | None:
        """Return what `cpu` or `cuda` needs and is not installed here, with how to install it, in one line; or None."""
        ...

    def version(self) -> str:
        """Return the backend with its version, as written beside every number."""
        ...

    def prepare(self, model: nn.Module, example: Example, config: LatencyConfig) -> Network:
        """Return the network ready to run on its device.

        Args:
            model: A plain network in evaluation mode; it is left as it is.
            example: What it is called with, a whole batch.
            config: Precision and threads.
        """
        ...

    def export(self, model: nn.Module, example: Example, config: LatencyConfig) -> bytes:
        """Return the network as a file for the runtime of another machine; called where `runtime` is given."""
        ...


def not_installed(*modules: str, install: str) -> str | None:
    """Return one line where one of the modules is missing."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    return f"{' and '.join(missing)} not installed: {install}" if missing else None
