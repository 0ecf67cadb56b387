"""Measuring on this machine."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from nas.hardware.backends import Backend
from nas.hardware.config import LatencyConfig
from nas.hardware.examples import Example
from nas.hardware.power import energy_counter
from nas.hardware.remote import Visit
from nas.hardware.runtimes import processor_name
from nas.hardware.timing import Network, NotFinite, Plan, TooSlow, time_limit, visit


class ThisMachine:
    """Networks as they are, timed in this process.

    Args:
        config: Precision and threads.
        backend: What runs them.
        device: Device where they are.
    """

    def __init__(self, config: LatencyConfig, backend: Backend, device: torch.device) -> None:
        self.config, self.backend = config, backend
        self._energy = energy_counter((device.index or 0) if device.type == "cuda" else None)
        self._models: list[tuple[nn.Module, Example]] = []
        self._networks: dict[int, Network] = {}

    def load(self, models: Sequence[nn.Module], batches: Sequence[Example]) -> None:
        """Take the networks that the next visits name by their place, and what each is called with."""
        self._models = [(model.eval(), batch) for model, batch in zip(models, batches)]

    def unload(self) -> None:
        self._models, self._networks = [], {}

    def visits(self, asked: Sequence[Visit]) -> Iterator[tuple[Visit, dict[str, Any]]]:
        """Yield the results of visits, one after the other."""
        with _threads(self.config.threads):
            for one in asked:
                start = time.perf_counter()
                try:
                    result = self._visit(one)
                except (TooSlow, NotFinite) as error:
                    result = {"error": str(error)}
                except Exception as error:  # whatever a network does ends that network only
                    result = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
                yield one, {**result, "seconds": time.perf_counter() - start}

    def _visit(self, one: Visit) -> dict[str, Any]:
        if one.network not in self._networks:
            model, batch = self._models[one.network]
            with time_limit(one.plan["timeout_s"]):
                self._networks[one.network] = self.backend.prepare(model, batch, self.config)
        with torch.inference_mode():
            return visit(self._networks[one.network], Plan(energy_j=self._energy, **one.plan))


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_name(device: torch.device) -> str:
    """Return the name by which people call the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
