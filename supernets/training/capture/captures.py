"""The recorded passes of a network: when one is recorded, which ones are kept, and what runs as it is."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.forwards import run_instead
from supernets.training.capture.passes import CapturedPass, NotCapturable, Recorder, RecordingFailed
from supernets.training.capture.regions import Region, regions

_MUCH_MORE = 2
"""How many times as often a setting must have been used as another one to take its memory."""
Key = tuple[int, Hashable]


@dataclass
class _Kept:
    """A recorded pass, and the memory that it takes."""

    one: CapturedPass
    size: int


class Captures:
    """Recorded passes of the regions of a network, made when a setting comes again, within a memory budget.

    What cannot be recorded, does not fit, or waits for its backward runs as it is. Results do not depend on it.

    Args:
        network: Network whose regions are recorded; see `supernets.training.capture.regions`.
        recorder: Records.
        budget: Most bytes of all recorded passes.

    Attributes:
        replayed: Calls of regions that were replayed.
        run: Calls that ran as they are.
    """

    def __init__(self, network: nn.Module, recorder: Recorder, budget: int) -> None:
        self.recorder, self.budget = recorder, budget
        found = {id(region.module): region for region in regions(network)}
        self.regions: Sequence[Region] = tuple(found.values())
        self._calls = [_Call(self, number, region) for number, region in enumerate(self.regions)]
        self.replayed = self.run = 0
        self._kept: dict[Key, _Kept] = {}
        self._uses: Counter[Key] = Counter()
        self._refused: set[Key] = set()
        self._records = True
        self._said: set[str] = set()

    @property
    def held(self) -> int:
        """Bytes of all recorded passes."""
        return sum(kept.size for kept in self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Forget all passes, e.g. where weights lie elsewhere than before."""
        self._kept.clear()
        self._uses.clear()
        self._refused.clear()

    def output(self, network: nn.Module, inputs: Sequence[Tensor]) -> Any:
        """Return what the network makes of inputs; the output is not in memory that a replay uses."""
        with self._in_place():
            output = network(*inputs)
        return output.clone() if isinstance(output, Tensor) else output

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """Let the regions be replayed; whoever copies or calls the network outside of this meets it as it is."""
        replaced = [run_instead(call.region.module, call) for call in self._calls]
        try:
            yield
        finally:
            for give_back in replaced:
                give_back()

    def found(self, number: int, region: Region, plain: Any, inputs: Sequence[Any]) -> CapturedPass | None:
        """Return the recorded pass for a call of a region, made now where it is time; None to run it as it is."""
        setting = region.setting(inputs) if inputs and torch.is_grad_enabled() else None
        if setting is None:
            return None
        key = (number, setting)
        self._uses[key] += 1
        kept = self._kept.get(key)
        if kept is None and self._records and _is_time(self._uses[key]) and key not in self._refused:
            kept = self._recorded(key, region, plain, inputs)
        return kept.one if kept is not None and kept.one.is_free else None

    def _recorded(self, key: Key, region: Region, plain: Any, inputs: Sequence[Tensor]) -> _Kept | None:
        """Record a pass and keep it, if it can be recorded and there is room."""
        if self.held >= self.budget and not self._rarer(key):
            return None
        before = self.recorder.held_bytes()
        try:
            if region.has_hooks:
                raise NotCapturable("somebody listens to its layers")
            with _buffers_kept(region.module):
                one = CapturedPass(self.recorder, region.module, plain, inputs)
        except torch.OutOfMemoryError as error:
            self.budget = self.held  # no room for any more
            self._refuse(key, region, error)
            return None
        except RecordingFailed as error:
            self._records = False  # what a device is left with after that is not for sure
            self._refuse(key, region, error)
            return None
        except (NotCapturable, RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            self._refuse(key, region, error)
            return None
        kept = _Kept(one, max(0, self.recorder.held_bytes() - before))
        if not self._make_room(key, kept.size):
            return None
        self._kept[key] = kept
        return kept

    def _refuse(self, key: Key, region: Region, error: Exception) -> None:
        """Never try this setting again; say why, once for each region."""
        self._refused.add(key)
        if region.name not in self._said:
            self._said.add(region.name)
            why = str(error).partition("\n")[0] or type(error).__name__
            logging.getLogger(__name__).info("%s is not captured: %s", region.name or "the network", why)

    def _make_room(self, key: Key, size: int) -> bool:
        """Forget passes that are used much less than this one until it fits; forget none where that is not enough."""
        surplus, given_up = self.held + size - self.budget, []
        for rarer in self._rarer(key):
            if surplus <= 0:
                break
            given_up.append(rarer)
            surplus -= self._kept[rarer].size
        if surplus > 0:
            if not self._kept:
                self._refused.add(key)  # it alone takes more than there is
            return False
        for rarer in given_up:
            del self._kept[rarer]
        return True

    def _rarer(self, key: Key) -> list[Key]:
        """Return the passes that are used much less often than a setting, the rarest first."""
        most = self._uses[key] / _MUCH_MORE
        return sorted((one for one in self._kept if self._uses[one] <= most), key=self._uses.__getitem__)


class _Call:
    """The `forward` of a region while the network is captured."""

    def __init__(self, captures: Captures, number: int, region: Region) -> None:
        self.captures, self.number, self.region = captures, number, region
        self.plain = region.module.forward

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        one = None if named else self.captures.found(self.number, self.region, self.plain, inputs)
        if one is None:
            self.captures.run += 1
            return self.plain(*inputs, **named)
        self.captures.replayed += 1
        return one(*inputs)


def _is_time(uses: int) -> bool:
    """Return whether a setting is recorded at this use: at the second, and where there was no room, at powers of 2."""
    return uses >= _MUCH_MORE and uses & (uses - 1) == 0


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Restore all buffers afterwards: what is recorded is tried out first, and running statistics follow that."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, before in buffers:
            buffer.data.copy_(before)  # a pass that waits for its backward may have saved it, unchanged in the end
