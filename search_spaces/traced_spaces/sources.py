"""Where traced networks come from: timm, a function of the user's own, or a module in memory.

A source is small, and another process makes the same network of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from search_spaces.errors import FieldError

_SIDES = (32, 48, 64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512)
_USUAL_SIDE = 224
Example = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class OfImages:
    """A classifier of square images; two equal ones make equal networks but for their weights.

    Args:
        model: Its name.
        classes: Number of its outputs.
        channels: Channels of an image.
        image_size: Side of an image in pixels.
    """

    model: str
    classes: int
    channels: int
    image_size: int

    @property
    def name(self) -> str:
        """What the network is called."""
        return self.model

    def module(self) -> nn.Module:
        """Return the network with fresh weights, on the default device."""
        return self.made(self.image_size)

    def made(self, image_size: int) -> nn.Module:
        """Return the network for images of this side."""
        raise NotImplementedError

    def example(self) -> Example:
        """Return what it is called with, on the processor."""
        return (torch.randn(2, self.channels, self.image_size, self.image_size, generator=_generator(), device="cpu"),)

    def check(self) -> None:
        """Refuse a network that does not run on these images, or that is not a classifier.

        Raises:
            FieldError: Says which sizes fit, or what the network gives.
        """
        try:
            output = self._output(self.image_size, "cpu")
        except FieldError:  # there is no such network, at any size
            raise
        except _UNFIT as error:
            fits = [side for side in _SIDES if self._runs(side)]
            sizes = f"sizes that fit: {', '.join(map(str, fits))}" if fits else "nor on any other usual size"
            raise FieldError(
                "model",
                f"{self.model} does not run on images of {self.image_size} pixels ({_first_line(error)}); {sizes}",
            ) from error
        if not isinstance(output, Tensor) or tuple(output.shape) != (2, self.classes):
            wanted = f"[B, {self.classes}], one number for each class"
            raise FieldError("model", f"{self.model} gives {_shown(output)}; a classifier gives {wanted}")

    def _output(self, image_size: int, device: str) -> object:
        """Return what the network gives for two images of a size; on the device `meta`, nothing is computed."""
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            network = self.made(image_size).eval().to(device)
        with torch.no_grad():
            return network(torch.zeros(2, self.channels, image_size, image_size, device=device))

    def _runs(self, image_size: int) -> bool:
        try:
            self._output(image_size, "meta")
        except _UNFIT:
            return False
        return True


_UNFIT = (RuntimeError, ValueError, AssertionError, TypeError, IndexError, NotImplementedError, ZeroDivisionError)
"""What networks raise for images that they cannot take."""


@dataclass(frozen=True, kw_only=True)
class TimmModel(OfImages):
    """A model of timm, such as `resnet18` or `resnet18.a1_in1k`."""

    def made(self, image_size: int) -> nn.Module:
        return self._created(image_size, num_classes=self.classes, pretrained=False)

    def loaded(self, weights: Mapping[str, Tensor], classes: int) -> nn.Module:
        """Return the network with given weights, which timm converts to its channels and the size of its images.

        Args:
            weights: Tensors by the name that they have in timm, or in the code that they come from.
            classes: Outputs of the network that they are of; 0 for one without a classifier.

        Raises:
            Exception: They are of another network; of any class, since there is a conversion for each model.
        """
        overlay = {"state_dict": dict(weights), "num_classes": classes}
        return self._created(self.image_size, num_classes=classes, pretrained=True, pretrained_cfg_overlay=overlay)

    def _created(self, image_size: int, **given: Any) -> nn.Module:
        import timm
        from timm.models import get_pretrained_cfg

        check_name(self.model)
        sizes = {"in_chans": self.channels, **given}
        config = get_pretrained_cfg(self.model)
        try:
            if config is not None and config.fixed_input_size:
                return timm.create_model(self.model, img_size=image_size, **sizes)
        except TypeError as error:
            if "img_size" not in str(error):
                raise
        return timm.create_model(self.model, **sizes)


@dataclass(frozen=True, kw_only=True)
class OwnModule(OfImages):
    """A network that a function of the user's own makes.

    Args:
        call: Calls the function of this name with those of `classes`, `channels` and `image_size` that it takes.
    """

    call: Callable[..., object]

    def made(self, image_size: int) -> nn.Module:
        offered = {"classes": self.classes, "channels": self.channels, "image_size": image_size}
        try:
            network = self.call(self.model, offered)
        except ValueError as error:
            raise FieldError("model", str(error)) from error
        if not isinstance(network, nn.Module):
            raise FieldError("model", f"{self.model} returned {type(network).__name__}, not a torch.nn.Module")
        return network.to(torch.empty(0).device)


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenModule:
    """A network in memory; every copy of it has its weights.

    Args:
        network: The network.
        inputs: What it is called with.
    """

    network: nn.Module
    inputs: Example

    @property
    def name(self) -> str:
        return type(self.network).__name__

    def check(self) -> None:
        """Refuse a network that cannot be copied.

        Raises:
            FieldError: Says why.
        """
        fresh = [name for name, tensor in self.network.named_parameters() if isinstance(tensor, UninitializedParameter)]
        if fresh:
            raise FieldError(
                "model", f"{self.name} has no weights yet, such as {fresh[0]}: call it on an example first"
            )
        try:
            deepcopy(self.network)
        except Exception as error:
            hint = "; weight_norm is that of torch.nn.utils.parametrizations" if "weight_norm" in str(error) else ""
            raise FieldError(
                "model", f"{self.name} cannot be copied ({_first_line(error).partition('.  ')[0]}){hint}"
            ) from error

    def module(self) -> nn.Module:
        return deepcopy(self.network).to(torch.empty(0).device)

    def example(self) -> Example:
        return self.inputs


def check_name(model: str) -> None:
    """Refuse a name that timm does not have.

    Raises:
        FieldError: Says which names are near.
    """
    import timm

    if not timm.is_model(model):
        near = near_names(model)
        meant = f"did you mean {', '.join(near)}?" if near else "see timm.list_models()"
        raise FieldError("model", f"must be a name of timm or package.module:function, got {model!r}; {meant}")
    architecture, _, tag = model.partition(".")
    if tag and model not in (there := timm.list_pretrained(f"{architecture}.*")):
        raise FieldError("model", f"has no weights {tag!r} of {architecture}; there are {', '.join(there) or 'none'}")


def near_names(model: str) -> list[str]:
    """Return names of timm that a text may mean, the nearest first."""
    import timm

    return get_close_matches(model.partition(".")[0], timm.list_models(), n=4)


def usual_side(model: str) -> int:
    """Return the side in pixels of the images that a model is made for."""
    from timm.models import get_pretrained_cfg

    if ":" in model:
        return _USUAL_SIDE
    check_name(model)
    config = get_pretrained_cfg(model)
    return _USUAL_SIDE if config is None else int(config.input_size[-1])


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _shown(output: object) -> str:
    """Return what kind of output this is, for people."""
    if isinstance(output, Tensor):
        return f"a tensor of shape {list(output.shape)} for two images"
    if isinstance(output, list | tuple) and all(isinstance(one, Tensor) for one in output):
        return f"{len(output)} tensors"
    return f"a {type(output).__name__}"


Source = OfImages | GivenModule
