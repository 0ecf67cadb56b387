"""The forward and backward passes of one model on one batch, made when first asked for and shared by all proxies."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from proxies.batch import Batch
from proxies.gathered_gradients import Use, alike, is_small, weight_gradients
from proxies.recording import Alone, Recording, WeightCall
from proxies.sample_gradients import weight_gradient_pieces
from proxies.sample_norm import sample_norm, sample_norm_at_once
from proxies.scores import ScoreError
from proxies.spare import Spare
from proxies.twice_differentiable import TwiceDifferentiable

WEIGHT_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
Cotangent = Literal["loss", "output"]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Trace:
    """One forward pass in training mode.

    Attributes:
        inputs: What went in, floating ones as leaves of the graph.
        output: What came out [B, ...].
        calls: Every use of a weight of a convolution or linear layer, in the order of execution.
        signs: Which inputs of every call of an activation are positive [B, units], as booleans, channels
            last; of ReLUs where there are any, else of smooth activations. Empty where they were not asked for.
    """

    inputs: tuple[Tensor, ...]
    output: Tensor
    calls: list[WeightCall]
    signs: list[Tensor]

    @property
    def differentiable(self) -> list[WeightCall]:
        """The calls outside of `torch.no_grad`."""
        return [call for call in self.calls if call.edge is not None]

    @property
    def edges(self) -> list[GradientEdge]:
        """Where the outputs of those calls hang in the graph."""
        return [call.edge for call in self.calls if call.edge is not None]


class Passes:
    """One model and one batch, for any number of proxies.

    Batch norm is in training mode; everything else (dropout, stochastic depth) is in evaluation mode, so that a pass
    is a function of weights and inputs.

    Args:
        model: Plain torch; a private copy is used.
        batch: What the model reads and what it loses on it.
        seed: Seed of all random draws.
        needs: What will be asked for, so that it comes out of passes that are made anyway: `second_order`
            (`hessian_gradient`), `channel_products`.
        copy: Whether to work on a copy of the model.
        gathered: Whether many small operations become few large ones, for devices where an operation takes longer to
            start than to compute; None: on CUDA. Results are the same but for rounding.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        seed: int = 0,
        needs: frozenset[str] = frozenset(),
        copy: bool = True,
        gathered: bool | None = None,
    ) -> None:
        first = next((module.weight for module in model.modules() if isinstance(module, WEIGHT_LAYERS)), None)
        if first is None:
            raise ValueError("the model has no convolution and no linear layer, so there is nothing to score")
        self.gathered = first.device.type == "cuda" if gathered is None else gathered
        self.model = _private(model, copy=copy, channels_last=not self.gathered)
        self.weights = weight_layers(self.model)
        self.batch = batch.to(first.device, first.dtype)
        self.device = first.device
        self.seed, self.needs = seed, needs
        self._shared: dict[Callable[[Passes], Any], Any] = {}

    def generator(self, purpose: str) -> torch.Generator:
        """Return random numbers for one purpose, on the device of the model; the same at every call."""
        generator = torch.Generator(self.device)
        generator.manual_seed(zlib.crc32(f"{self.seed} {purpose}".encode()))
        return generator

    def shared(self, make: Callable[["Passes"], Made]) -> Made:
        """Return what `make` gives for these passes, made once for all proxies that ask for it."""
        if make not in self._shared:
            self._shared[make] = make(self)
        return cast(Made, self._shared[make])

    # ---- the batch as one: batch norm by the statistics of the batch ------------------------------------------------

    @cached_property
    def ordinary(self) -> Trace:
        """The forward pass of the whole batch."""
        with TwiceDifferentiable(gathered=self.gathered) if "second_order" in self.needs else nullcontext():
            return self.trace(self.batch.inputs, signs=True)

    @cached_property
    def weight_gradients(self) -> dict[str, Tensor]:
        """Gradients of the mean loss, by layer; zero where a layer takes no part."""
        return {name: gradient.detach() for name, gradient in self._backward[0].items()}

    @cached_property
    def channel_products(self) -> dict[str, Tensor]:
        """For every weight layer, output times its gradient (mean loss), summed over positions [B, C]."""
        _require_intact(self.ordinary)
        if "channel_products" in self.needs:
            return self._backward[1]
        return self._products(self._gradients(self.ordinary.edges))

    @cached_property
    def hessian_gradient(self) -> dict[str, Tensor]:
        """Hessian of the mean loss times its gradient, over all these weights, by layer."""
        first = self._backward[0]
        if "second_order" not in self.needs:
            first = self._by_layer(self._gradients(list(self.weights.values()), create_graph=True))
        live = [g for g in first.values() if g.requires_grad]
        if not live:
            return {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        product = torch.stack([(g.detach() * g).sum() for g in live]).sum()
        try:
            gradients = torch.autograd.grad(product, list(self.weights.values()), retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            raise ScoreError(f"an operation of the model has no second derivative: {error}") from error
        return self._by_layer(gradients)

    @cached_property
    def input_gradients(self) -> Tensor:
        """Gradient of the sum of all outputs of the batch with respect to all inputs of real numbers [B, numbers].

        Raises:
            ScoreError: There is no such input.
        """
        trace = self.ordinary
        leaves = [x for x in trace.inputs if x.requires_grad]
        if not leaves:
            raise ScoreError(f"the model reads {self.batch.kinds}, which have no gradient")
        gradients = torch.autograd.grad(trace.output.sum(), leaves, retain_graph=True, allow_unused=True)
        found = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients)]
        return torch.cat([gradient.flatten(1) for gradient in found], 1)

    def gradients_of(self, rows: slice) -> dict[str, Tensor]:
        """Return gradients by layer of the mean loss of some examples, as a batch of their own."""
        trace = self.trace(self.batch.part(rows), input_gradients=False)
        loss = self.losses(trace.output, rows).mean()
        return self._by_layer(torch.autograd.grad(loss, list(self.weights.values()), allow_unused=True))

    # ---- every sample by itself -------------------------------------------------------------------------------------

    def sample_gradients(self, samples: slice, cotangent: Cotangent) -> Iterator[tuple[tuple[str, ...], Tensor]]:
        """Yield gradients of each sample, as if it were the only one of its batch: batch norm by its own statistics.

        One forward pass and one backward pass to layer outputs; weight gradients follow from inputs and output
        gradients, piece by piece, so they never exist all at once.

        Args:
            samples: Which samples of the batch, n.
            cotangent: What is differentiated: the `loss` of each sample, or the sum of its `output`.

        Yields:
            Names of L layers and the gradients of weights of each [L, n, p]: all weights where L is more than one,
            else maybe some of them; all pieces of one layer in a row.

        Raises:
            ScoreError: A layer is used in a way that has no such gradient; it is named.
        """
        by_layer = self._uses(samples, cotangent)
        if self.gathered:
            single = [uses[0] for uses in by_layer.values() if len(uses) == 1 and is_small(uses[0])]
            for together in alike(single):
                names = tuple(call.layer for call, _ in together)
                yield names, weight_gradients([by_layer.pop(name)[0] for name in names])
        for layer in [name for name in self.weights if name in by_layer]:
            pieces = [weight_gradient_pieces(call, gradient) for call, gradient in by_layer.pop(layer)]
            for parts in zip(*pieces, strict=True):
                yield (layer,), sum(parts[1:], start=parts[0]).unsqueeze(0)

    # ---- building blocks --------------------------------------------------------------------------------------------

    def duplicate(self) -> nn.Module:
        """Return a copy of the private model, to be changed at will: the graphs of the passes stay intact.

        Gathered passes have one copy, which is what this gives until it is asked for again.
        """
        return self._spare.renewed() if self.gathered else deepcopy(self.model)

    def losses(self, output: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return the loss of each of some examples [n], from the output for them.

        Raises:
            ScoreError: The loss does not fit the output of the model.
        """
        try:
            losses = self.batch.losses(output, rows)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ScoreError(f"the loss fails on an output {tuple(output.shape)}: {error}") from error
        examples = len(range(*rows.indices(len(self.batch))))
        if losses.shape != (examples,):
            raise ScoreError(f"the loss gives {_what(losses)}, not a number for each of {examples} examples")
        return losses

    def trace(
        self,
        inputs: tuple[Tensor, ...],
        *,
        input_gradients: bool = True,
        each_alone: bool = False,
        signs: bool = False,
    ) -> Trace:
        """Return a forward pass of the private model as it is now.

        Args:
            inputs: What the model is called with.
            input_gradients: Whether gradients with respect to them will be asked for.
            each_alone: Whether batch norm treats every sample by itself.
            signs: Whether the signs of what activations read will be asked for.

        Raises:
            ScoreError: The model fails on these inputs, or gives no tensor that depends on its weights.
        """
        leaves = tuple(
            x.detach().clone().requires_grad_(input_gradients) if x.is_floating_point() else x for x in inputs
        )
        layers = {id(weight): name for name, weight in self.weights.items()}
        alone: Alone | None = None
        if each_alone:
            alone = sample_norm_at_once if self.gathered else sample_norm
        recording = Recording(layers, alone=alone, signs=signs)
        # fused attention has no second derivative, and on CUDA its first one differs from run to run
        with recording, torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            output = output_of(self.model, leaves)
        if not isinstance(output, Tensor) or output.dim() < 1 or not output.is_floating_point():
            raise ScoreError(f"the model gives {_what(output)}, not numbers [B, ...]")
        if not output.requires_grad:
            raise ScoreError("the output depends on no weight: there is no gradient")
        if each_alone and recording.foreign:
            raise ScoreError(
                f"a layer computes its weight of shape {recording.foreign[0]} from others, which has no "
                "per-sample gradient here"
            )
        return Trace(leaves, output, recording.calls, recording.relus or recording.smooth)

    # ---- inside -----------------------------------------------------------------------------------------------------

    @cached_property
    def _spare(self) -> Spare:
        return Spare(self.model)

    @cached_property
    def _backward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weight gradients and, if they are needed, channel products, from one backward pass."""
        edges = self.ordinary.edges if "channel_products" in self.needs else []
        found = self._gradients([*self.weights.values(), *edges], create_graph="second_order" in self.needs)
        layers = len(self.weights)
        return self._by_layer(found[:layers]), self._products(found[layers:]) if edges else {}

    def _gradients(
        self, targets: Sequence[Tensor | GradientEdge], *, create_graph: bool = False
    ) -> tuple[Tensor | None, ...]:
        """Return gradients of the mean loss of the whole batch; None where it does not depend on the target."""
        loss = self.losses(self.ordinary.output).mean()
        tensors = cast(Sequence[Tensor], targets)  # torch takes both in one list, its types do not say so
        return torch.autograd.grad(loss, tensors, retain_graph=True, create_graph=create_graph, allow_unused=True)

    def _products(self, gradients: Sequence[Tensor | None]) -> dict[str, Tensor]:
        products: dict[str, Tensor] = {}
        for call, gradient in zip(self.ordinary.differentiable, gradients, strict=True):
            product = torch.zeros_like(call.output) if gradient is None else call.output * gradient.detach()
            axes = tuple(range(2, product.dim())) if call.is_convolution else tuple(range(1, product.dim() - 1))
            product = product.sum(axes) if axes else product
            products[call.layer] = products[call.layer] + product if call.layer in products else product
        return {name: products[name] for name in self.weights if name in products}

    def _by_layer(self, gradients: Sequence[Tensor | None]) -> dict[str, Tensor]:
        return {
            name: torch.zeros_like(weight) if gradient is None else gradient
            for (name, weight), gradient in zip(self.weights.items(), gradients)
        }

    def _uses(self, samples: slice, cotangent: Cotangent) -> dict[str, list[Use]]:
        """Return the uses of each weight on some samples, every sample by itself, with their output gradients."""
        trace = self.trace(self.batch.part(samples), input_gradients=False, each_alone=True)
        target = (self.losses(trace.output, samples) if cotangent == "loss" else trace.output).sum()
        self._require_recorded(trace, target)
        gradients = torch.autograd.grad(target, trace.edges, allow_unused=True)
        by_layer: dict[str, list[Use]] = {}
        for call, gradient in zip(trace.differentiable, gradients):
            if gradient is not None:
                by_layer.setdefault(call.layer, []).append((call, gradient))
        return by_layer

    def _require_recorded(self, trace: Trace, target: Tensor) -> None:
        """Refuse a weight that takes part without a recorded call: it would silently count as unused."""
        seen = {call.layer for call in trace.calls}
        unseen = {name: weight for name, weight in self.weights.items() if name not in seen}
        if not unseen:
            return
        gradients = torch.autograd.grad(target, list(unseen.values()), retain_graph=True, allow_unused=True)
        for name, gradient in zip(unseen, gradients):
            if gradient is not None:
                raise ScoreError(f"{name}: its weight is used in a way that has no per-sample gradient here")


def _require_intact(trace: Trace) -> None:
    """Refuse outputs that were changed in place: they are no longer what the layer gave."""
    for call in trace.calls:
        if call.output._version != call.version:
            raise ScoreError(f"{call.layer}: its output is changed in place by an operation that follows")


def output_of(model: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Return what a model gives.

    Raises:
        ScoreError: The model fails on these inputs.
    """
    try:
        return model(*inputs)
    except (RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, ScoreError):
            raise
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise ScoreError(f"the model fails on inputs {shapes}: {error}") from error


def weight_layers(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of all convolutions and linear layers by module name; a shared weight counts once.

    Raises:
        ValueError: A layer computes its weight from other parameters, so it has none that could be scored.
    """
    weights: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, module in model.named_modules():
        if not isinstance(module, WEIGHT_LAYERS):
            continue
        if not isinstance(module.weight, nn.Parameter):
            raise ValueError(f"{name}: its weight is computed from other parameters; remove the parametrisation first")
        if id(module.weight) not in seen:
            seen.add(id(module.weight))
            weights[name] = module.weight
    return weights


def _private(model: nn.Module, *, copy: bool, channels_last: bool) -> nn.Module:
    """Return a model of our own: batch norm in training mode, the rest in evaluation mode, nothing in place.

    On CUDA channels stay first: cuDNN compiles depthwise convolutions with channels last for every new shape, and each
    network is scored once.
    """
    model = deepcopy(model) if copy else model
    model.eval().requires_grad_(True)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()
        if getattr(module, "inplace", False) is True:
            setattr(module, "inplace", False)  # noqa: B010 - not every module has it
    if channels_last and any(parameter.dim() == 4 for parameter in model.parameters()):
        model.to(memory_format=torch.channels_last)
    return model


def _what(value: object) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
