"""Recorded passes as CUDA graphs."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import torch
from torch import Tensor

from supernets.training.capture.passes import Replay

T = TypeVar("T")
_WARM_UPS = 2  # cuDNN and cuBLAS choose and make what they need in the first ones


class CudaGraphs:
    """A recorder of CUDA graphs, a `supernets.training.capture.passes.Recorder`.

    All graphs share one pool of memory. That is safe because they are replayed one after the other, and because what a
    backward needs is never given back to the pool as long as its pass is kept: only what is used inside of one graph
    is used by others too.

    Args:
        device: The device; its current stream is the one that graphs are replayed on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()
            self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, function: Callable[[], object]) -> None:
        with torch.cuda.device(self.device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UPS):
                    function()
                with _no_wait():
                    function()
            torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, function: Callable[[], T]) -> tuple[Replay, T]:
        graph = torch.cuda.CUDAGraph()
        collects = gc.isenabled()
        gc.disable()  # what it frees might not be freed during a capture
        try:
            with torch.cuda.device(self.device):
                torch.cuda.synchronize()
                with torch.cuda.stream(self._stream):
                    # other threads may go on, e.g. those that read examples or the power of the device
                    graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                    try:
                        result = function()
                    except BaseException:
                        with suppress(RuntimeError):
                            graph.capture_end()
                        raise
                    graph.capture_end()
        finally:
            if collects:
                gc.enable()
        return graph.replay, result

    def held_bytes(self) -> int:
        return torch.cuda.memory_allocated(self.device)

    def random_state(self) -> Tensor:
        return torch.cuda.get_rng_state(self.device)

    def set_random_state(self, state: Tensor) -> None:
        torch.cuda.set_rng_state(state, self.device)

    def wait(self) -> None:
        torch.cuda.synchronize(self.device)


@contextmanager
def _no_wait() -> Iterator[None]:
    """Make it an error to wait for the device: a graph cannot, and recording one would fail for good."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this mode does not find everything
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def room(device: torch.device, most: float) -> int:
    """Return the memory that graphs may take: `most` bytes, and no more than half of what is free."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(min(most, free / 2))
