"""Peak memory of a network in PyTorch."""

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from nas.hardware.examples import Example


def peak_memory_mb(model: nn.Module, example: Example) -> float:
    """Return the megabytes of weights, of the input, and of the most activations that live at once in one pass.

    On CUDA the allocator knows it; on a CPU the outputs of the operations are counted while they live. Memory
    that an operation uses inside itself is not seen on a CPU.

    Args:
        model: A plain network in evaluation mode.
        example: What it is called with.
    """
    held = [*model.parameters(), *model.buffers(), *example]
    fixed = sum(tensor.numel() * tensor.element_size() for tensor in held)
    if (device := example[0].device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        with torch.inference_mode():
            model(*example)
        return (fixed + torch.cuda.max_memory_allocated(device) - before) / 1e6
    with torch.no_grad(), _LiveBytes(held) as live:
        model(*example)
    return (fixed + live.peak) / 1e6


class _LiveBytes(TorchDispatchMode):
    """A counter of the bytes of all storages that operations make, as long as they live."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in known if _has_storage(tensor)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and _has_storage(tensor):
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._seen:
            return
        self._seen.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())

    def _free(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def _has_storage(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.device.type != "meta"
