"""Captured passes in the steps of a training: always, never, or where a trial shows that they help."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from supernets.training.capture.captures import Captures
from supernets.training.capture.passes import Recorder
from supernets.training.capture.trial import Trial
from supernets.training.config import TrainConfig

_GIB = 2**30
Tell = Callable[[dict[str, Any]], None]


class Capturing:
    """The captured passes of the network that a training trains.

    Call order: `step` around each step, with `output` inside it; `forget` where weights move or phases change.

    Args:
        network: The network.
        recorder: Records on its device.
        budget: Most bytes of recorded passes.
        tried: Whether a trial decides; else passes are captured from the first step on.
        tell: Receives an event ``capture`` with a message for people.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        network: nn.Module,
        recorder: Recorder,
        *,
        budget: int,
        tried: bool,
        tell: Tell = lambda event: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.recorder, self.tell, self.clock = recorder, tell, clock
        self.captures = Captures(network, recorder, budget)
        self.trial = Trial(verdict=None if tried else True)
        if not self.captures.regions:
            self.trial.verdict = False
            self._say("off: the network has no part with few settings")

    @contextmanager
    def step(self) -> Iterator[None]:
        """Time a step where the trial asks for it."""
        if self.trial.verdict is not None:
            yield
            return
        captures, timed = self.captures, self.trial.is_timed
        start, before = self._now() if timed else 0.0, (captures.replayed, captures.run)
        yield
        seconds = self._now() - start if timed else None
        replayed, run = captures.replayed - before[0], captures.run - before[1]
        self.trial.note(seconds, replayed / max(1, replayed + run))
        if self.trial.verdict is not None:
            self._conclude()

    def output(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        """Return what the network makes of inputs."""
        return self.captures.output(network, inputs) if self.trial.captures else network(*inputs)

    def forget(self) -> None:
        """Forget all recorded passes; those that are needed are recorded again."""
        self.captures.clear()

    def _now(self) -> float:
        self.recorder.wait()
        return self.clock()

    def _conclude(self) -> None:
        """Say what the trial has shown."""
        trial, captures = self.trial, self.captures
        times = f"a step takes {1000 * trial.captured_s:.2f} ms with it and {1000 * trial.plain_s:.2f} ms without"
        if trial.verdict:
            self._say(f"on: {times}; {len(captures)} passes, {captures.held / _GIB:.2f} GiB")
        else:
            self._say(f"off: {times}")
            captures.clear()

    def _say(self, what: str) -> None:
        self.tell({"event": "capture", "time": time.time(), "message": f"capture {what}"})


def capturing(network: nn.Module, config: TrainConfig, tell: Tell) -> Capturing | None:
    """Return what captures the passes of a network that is trained alone; None where nothing is to be captured.

    Args:
        network: The network, on its device.
        config: Says whether, and how much memory it may take.
        tell: Receives an event ``capture`` with a message for people.
    """
    device = next(network.parameters()).device
    if device.type != "cuda" or config.capture == "off":
        return None
    from supernets.training.capture.cuda import CudaGraphs, room

    budget = room(device, config.capture_gb * _GIB)
    return Capturing(network, CudaGraphs(device), budget=budget, tried=config.capture == "auto", tell=tell)
