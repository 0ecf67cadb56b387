"""Batches that fit into the memory of a device: as many examples as are likely to, and fewer where they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.forwards import run_instead

_SHARE_OF_INPUTS = 64
_MOST_EXAMPLES = 10_000


def examples_that_fit(example_bytes: int, device: torch.device) -> int:
    """Return how many examples a network on CUDA can be judged on at once, most likely.

    Their inputs take at most a small part of the memory; the network needs more for what it computes of them.

    Args:
        example_bytes: Bytes of one example as networks get it.
        device: The device.
    """
    total = torch.cuda.get_device_properties(device).total_memory
    return max(1, min(_MOST_EXAMPLES, total // _SHARE_OF_INPUTS // max(1, example_bytes)))


@contextmanager
def divided_where_needed(network: nn.Module) -> Iterator[None]:
    """Let a network run a batch in parts for a while where the device has no memory for it at once.

    Only a network in evaluation mode does that: its outputs are the same in parts.
    """
    give_back = run_instead(network, _Divided(network, network.forward))
    try:
        yield
    finally:
        give_back()


class _Divided:
    """The `forward` of a network in the meantime; it remembers how many examples fit.

    Args:
        network: The network.
        plain: Its own `forward`.
    """

    def __init__(self, network: nn.Module, plain: Callable[..., Any]) -> None:
        self.network, self.plain = network, plain
        self.most: int | None = None

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if named or not _are_examples(inputs):
            return self.plain(*inputs, **named)
        most = len(inputs[0]) if self.most is None else self.most
        while True:
            try:
                return self._in_parts(inputs, most)
            except torch.OutOfMemoryError:
                if most <= 1 or any(module.training for module in self.network.modules()):
                    raise
            self.most = most = -(-most // 2)
            torch.cuda.empty_cache()

    def _in_parts(self, inputs: Sequence[Tensor], most: int) -> Any:
        if most >= len(inputs[0]):
            return self.plain(*inputs)
        parts = [self.plain(*part) for part in zip(*(one.split(most) for one in inputs), strict=True)]
        if not all(isinstance(part, Tensor) for part in parts):
            raise TypeError("a network whose outputs are not tensors cannot run a batch in parts")
        return torch.cat(parts)


def _are_examples(inputs: Sequence[Any]) -> bool:
    """Return whether inputs are tensors with one row for each example."""
    rows = {len(one) if isinstance(one, Tensor) and one.dim() else None for one in inputs}
    return len(rows) == 1 and None not in rows
