"""A device whose latencies are known: each call costs time, each layer, and each weight at each pixel.

A whole network runs faster than its blocks one by one (one call only) and slower (weights come from memory), as real
ones do, so that the plain sum is off.
"""

import time
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from nas.hardware.latency_table_building import TableBuilder, TableConfig
from nas.search.journal import Records
from search_spaces import Space
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.networks.nasbench_macro_network import NASBenchMacroNetwork
from supernets.estimate import Estimate

CALL_MS, LAYER_MS, WEIGHT_MS, MEMORY_MS = 0.05, 0.01, 2e-6, 2e-5


def space(**options) -> Space:
    return nasbench_macro(**{"width": 4, "head_width": 16, "image_size": 16, **options})


class Device:
    """Measures with relative noise; `slow` lists factors of successive measurements, 1 after the last."""

    def __init__(self, *, noise: float = 0.0, slow: Sequence[float] = (), seconds: float = 0.0) -> None:
        self.generator, self.noise, self.seconds = np.random.default_rng(0), noise, seconds
        self.slow = list(slow)
        self.measured = 0

    def __call__(self, modules: list[nn.Module], examples: list[tuple[Tensor, ...]]) -> list[Estimate]:
        time.sleep(self.seconds)
        factor = self.slow.pop(0) if self.slow else 1.0
        self.measured += len(modules)
        return [self._estimate(module, factor) for module in modules]

    def _estimate(self, module: nn.Module, factor: float) -> Estimate:
        assert not module.training
        noise = float(np.exp(self.noise * self.generator.normal()))
        value = factor * noise * true_ms(module)
        return Estimate(value, value * (1 - 2 * self.noise), value * (1 + 2 * self.noise))


def true_ms(module: nn.Module) -> float:
    leaves = [leaf for leaf in module.modules() if not list(leaf.children()) and not isinstance(leaf, nn.Identity)]
    params = sum(parameter.numel() for parameter in module.parameters())
    memory = MEMORY_MS * params if isinstance(module, NASBenchMacroNetwork) else 0.0
    return CALL_MS + LAYER_MS * len(leaves) + WEIGHT_MS * params * 64 + memory


def build(device: Device, *, journal: Records | None = None, events: list | None = None, **config):
    """The table of the space on a device, with few networks unless `config` says otherwise."""
    made = TableConfig(**{"networks": 20, "held_out": 30, "minutes": 60, "passes": 1, **config})
    records = journal or Records(None, {}, what="latency table")
    observer = (lambda event: None) if events is None else events.append
    return TableBuilder(space(), made, device, records, observer).build(options={}, conditions={"device": "simulated"})
