"""Forward and backward of a module for one setting, recorded once and replayed inside of ordinary autograd.

A recorded pass reads and writes the same memory at every replay. So inputs are copied into it, and a gradient that a
parameter still has there is copied out before it would be overwritten; `torch.cuda.make_graphed_callables` does not do
that, and gradients of several passes of one step would be lost.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

T = TypeVar("T")
Replay = Callable[[], None]


class NotCapturable(Exception):
    """A module whose computation cannot be recorded and replayed; the message says why."""


class RecordingFailed(Exception):
    """A recording that the device refused although the module could be tried out; the message says why."""


class Recorder(Protocol):
    """A way to record what a device computes.

    Attributes:
        device: The device.
    """

    device: torch.device

    def warm_up(self, function: Callable[[], object]) -> None:
        """Run a function a few times as it will be recorded, so that nothing is compiled or made meanwhile."""
        ...

    def record(self, function: Callable[[], T]) -> tuple[Replay, T]:
        """Record what a function computes, from the tensors it reads to those it returns.

        Returns:
            What computes it again from what these tensors hold then, and what the function returned. The memory of a
            recording stays as long as one of both is kept.
        """
        ...

    def held_bytes(self) -> int:
        """Return the memory of the device that tensors take."""
        ...

    def random_state(self) -> Tensor:
        """Return the state of the random numbers of the device, on the CPU."""
        ...

    def set_random_state(self, state: Tensor) -> None:
        """Take a state that `random_state` gave."""
        ...

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        ...


class CapturedPass:
    """The recorded forward and backward of a function.

    Calls are those of the function; one whose backward is outstanding is refused by `is_free`, since another one would
    overwrite what it needs.

    Args:
        recorder: Records.
        module: Module whose parameters the function reads.
        function: What is recorded, of some tensors, such as the `forward` of the module.
        inputs: Inputs of the first call; later ones have the same shapes, types and strides.

    Raises:
        NotCapturable: The function draws random numbers, changes its inputs, or returns something else.
        RecordingFailed: The device refused.
    """

    def __init__(
        self,
        recorder: Recorder,
        module: nn.Module,
        function: Callable[..., Any],
        inputs: Sequence[Tensor],
    ) -> None:
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        self.inputs = [torch.empty_like(one).copy_(one.detach()).requires_grad_(one.requires_grad) for one in inputs]
        self._flight: weakref.ref[_Flight] | None = None
        aliases = [nn.Parameter(weight.detach()) for weight in self.weights]
        self._wanted = [*(one for one in self.inputs if one.requires_grad), *aliases]
        with (
            torch.enable_grad(),
            _autocast_without_memory(recorder.device.type),
            _replaced(module, dict(zip(self.weights, aliases))),
        ):
            self._try_out(recorder, function)
            found = self._record(recorder, function)
        places = iter(found)
        self._input_gradients = [next(places) if one.requires_grad else None for one in self.inputs]
        self._weight_gradients = list(places)

    def _try_out(self, recorder: Recorder, function: Callable[..., Any]) -> None:
        """Run both passes as they will be recorded, and look for what a replay could not do."""
        before = recorder.random_state()
        versions = [one._version for one in self.inputs]

        def both() -> None:
            output = function(*self.inputs)
            if not isinstance(output, Tensor) or not output.requires_grad:
                raise NotCapturable("it does not return one tensor that depends on what learns")
            torch.autograd.grad(output, self._wanted, torch.zeros_like(output), allow_unused=True)

        recorder.warm_up(both)
        if not torch.equal(before, recorder.random_state()):
            recorder.set_random_state(before)
            raise NotCapturable("it draws random numbers")
        if versions != [one._version for one in self.inputs]:
            raise NotCapturable("it changes its inputs in place")

    def _record(self, recorder: Recorder, function: Callable[..., Any]) -> tuple[Tensor | None, ...]:
        """Record both passes; return the gradients of what wants some."""
        try:
            self._forward, self._output = recorder.record(lambda: function(*self.inputs))
            self._slope = torch.empty_like(self._output)
            self._backward, found = recorder.record(self._gradients)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RecordingFailed(str(error)) from error
        return found

    def _gradients(self) -> tuple[Tensor | None, ...]:
        """Return the gradients of what wants some. What was saved for them stays: memory is shared with others."""
        return torch.autograd.grad(self._output, self._wanted, self._slope, retain_graph=True, allow_unused=True)

    @property
    def is_free(self) -> bool:
        """Whether no call waits for its backward."""
        return self._flight is None or self._flight() is None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return what the function returns; the memory of the output is used again by the next call."""
        return _Replayed.apply(self, len(inputs), *inputs, *self.weights)

    def take_off(self, inputs: Sequence[Tensor]) -> tuple[_Flight, Tensor]:
        """Replay the forward."""
        flight = _Flight()
        self._flight = weakref.ref(flight)
        torch._foreach_copy_(self.inputs, list(inputs))
        self._forward()
        return flight, self._output.detach()

    def land(self, slope: Tensor) -> list[Tensor | None]:
        """Replay the backward; return the gradients of inputs and weights."""
        self._flight = None
        for weight, gradient in zip(self.weights, self._weight_gradients):
            there = weight.grad
            if there is not None and gradient is not None and there.data_ptr() == gradient.data_ptr():
                weight.grad = there.clone()
        self._slope.copy_(slope)
        self._backward()
        found = (*self._input_gradients, *self._weight_gradients)
        return [None if one is None else one.detach() for one in found]


class _Flight:
    """A call between its forward and its backward; it ends as well where nobody needs its output any more."""

    is_over = False


class _Replayed(torch.autograd.Function):
    """A call of a recorded pass."""

    @staticmethod
    def forward(ctx: Any, one: CapturedPass, count: int, *tensors: Tensor) -> Tensor:
        ctx.one = one
        ctx.flight, output = one.take_off(tensors[:count])
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.flight.is_over:
            raise RuntimeError("the backward of a captured pass runs once; set train.capture to off to run it again")
        ctx.flight.is_over = True
        return None, None, *ctx.one.land(slope)


@contextmanager
def _replaced(module: nn.Module, aliases: Mapping[nn.Parameter, nn.Parameter]) -> Iterator[None]:
    """Let a module read other tensors with the memory of its parameters for a while.

    Autograd remembers on which stream of the device a parameter was used first. Where other passes of the step hold on
    to that, a recording on its own stream would have to wait for the one of the step, and could not.
    """
    places = [
        (part._parameters, name, weight)
        for part in module.modules()
        for name, weight in part._parameters.items()
        if weight is not None and weight in aliases
    ]
    for registry, name, weight in places:
        registry[name] = aliases[weight]
    try:
        yield
    finally:
        for registry, name, weight in places:
            registry[name] = weight


def _autocast_without_memory(device_type: str) -> AbstractContextManager[object]:
    """Return the autocast of the moment, without its memory of weights: a recording must not read or fill it."""
    if not torch.is_autocast_enabled(device_type):
        return nullcontext()
    return torch.autocast(device_type, torch.get_autocast_dtype(device_type), cache_enabled=False)
