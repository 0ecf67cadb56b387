"""A recorder for the CPU: it notes every operation on tensors and does them again, with the same tensors.

Like a CUDA graph it reads and writes the same memory at every replay, results and what is saved for gradients included.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Noting(TorchDispatchMode):
    """Notes what is computed, with the tensors that were read and written."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[tuple[int, Tensor]]]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = operation(*args, **kwargs)
        read = {one.untyped_storage().data_ptr() for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        new = [
            (place, one)
            for place, one in enumerate(tree_leaves(result))
            if isinstance(one, Tensor) and one.untyped_storage().data_ptr() not in read
        ]
        self.calls.append((operation, args, kwargs, new))
        return result


class Recording:
    """What was noted; calling it computes it again."""

    def __init__(self, noted: _Noting) -> None:
        self.calls = noted.calls

    @property
    def size(self) -> int:
        return sum(one.nbytes for *_, new in self.calls for _, one in new)

    @torch.no_grad()
    def __call__(self) -> None:
        for operation, args, kwargs, new in self.calls:
            leaves = tree_leaves(operation(*args, **kwargs))
            for place, one in new:
                one.copy_(leaves[place])


class StandIn:
    """The recorder; see `supernets.training.capture.passes.Recorder`."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.alive: weakref.WeakSet[Recording] = weakref.WeakSet()
        self.recorded = self.waited = 0

    def warm_up(self, function: Callable[[], object]) -> None:
        for _ in range(3):
            function()

    def record(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        with _Noting() as noted:
            result = function()
        recording = Recording(noted)
        self.alive.add(recording)
        self.recorded += 1
        return recording, result

    def held_bytes(self) -> int:
        return sum(recording.size for recording in self.alive)

    def random_state(self) -> Tensor:
        return torch.get_rng_state()

    def set_random_state(self, state: Tensor) -> None:
        torch.set_rng_state(state)

    def wait(self) -> None:
        self.waited += 1
