"""Networks of spaces as sources: the largest network of a space of this package, or of one of the user's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from search_spaces.errors import FieldError
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.space import Space
from search_spaces.traced_spaces.sources import OfImages, OwnModule

LARGEST: Mapping[str, Callable[..., Space]] = {"small_mobilenet_v3": small_mobilenet_v3}
"""Spaces whose largest networks have a name."""


@dataclass(frozen=True, kw_only=True)
class LargestOfSpace(OfImages):
    """The largest network of a space of this package.

    Args:
        options: Options of the space, as JSON.
    """

    options: str = "{}"

    @classmethod
    def of(cls, model: str, options: Mapping[str, Any], facts: Mapping[str, int]) -> LargestOfSpace:
        """Return the network of a space with these options.

        Raises:
            FieldError: The space has no such option, or the option cannot have this value.
        """
        source = cls(model=model, options=json.dumps(dict(options), sort_keys=True), **facts)
        try:
            source.space(source.image_size)
        except FieldError as error:
            field = error.field if error.field in facts else f"model_options.{error.field}"
            raise FieldError(field, error.text) from error
        except TypeError as error:
            told = str(error).partition(") ")[2] or str(error)
            raise FieldError("model_options", f"must be options of {model}: {told}") from error
        return source

    def space(self, image_size: int) -> Space:
        """Return the space for images of this side."""
        facts = {"classes": self.classes, "channels": self.channels, "image_size": image_size}
        return LARGEST[self.model](**{**facts, **json.loads(self.options)})

    def made(self, image_size: int) -> nn.Module:
        return _largest(self.space(image_size))


@dataclass(frozen=True, kw_only=True)
class OwnNetwork(OwnModule):
    """A network that a function of the user's own makes, or the largest one of the space that it makes."""

    def made(self, image_size: int) -> nn.Module:
        offered = {"classes": self.classes, "channels": self.channels, "image_size": image_size}
        try:
            found = self.call(self.model, offered)
        except ValueError as error:
            raise FieldError("model", str(error)) from error
        return _largest(found) if isinstance(found, Space) else super().made(image_size)


def _largest(space: Space) -> nn.Module:
    return space.subnet(space.largest()).to(torch.empty(0).device)
