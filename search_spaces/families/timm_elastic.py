"""Any classifier of timm, or of the user's own, as a search space that is read off its traced graph.

The largest architecture is the model itself. Decisions are fractions of its channels by stage, of the channels inside
its blocks, of its heads and of its blocks, sizes of depthwise kernels, and the size of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from search_spaces.errors import FieldError
from search_spaces.limits import MOST_OF_IMAGES
from search_spaces.space import Space

if TYPE_CHECKING:
    from search_spaces.traced_spaces.sources import OwnModule, TimmModel
    from search_spaces.weights.given import GivenWeights

CallOwn = Callable[..., object]


def timm(
    *,
    model: str = "",
    classes: int = 1000,
    channels: int = 3,
    resolutions: Sequence[int] | None = None,
    pretrained: bool = False,
    checkpoint: str | None = None,
    head: Literal["new", "kept"] = "new",
    widths: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    ratios: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    ratios_per: Literal["stage", "block"] = "stage",
    heads: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    depths: Sequence[float] = (0.5, 0.75, 1.0),
    kernels: Sequence[int] = (3, 5, 7),
    divisor: int = 8,
    least_width: int = 8,
    call_own: CallOwn | None = None,
) -> Space:
    """Return the space of a model's own subnets; its largest network is the model.

    Args:
        model: A name of timm, such as `resnet18`, or `package.module:function` that returns a module. The function is
            called with those of `classes`, `channels` and `image_size` that it takes.
        classes: Number of outputs.
        channels: Channels of an image.
        resolutions: Image sizes in pixels; the model is made for the largest. In a job they are by default the size of
            the data's images, elsewhere the size that the model is made for.
        pretrained: Whether a training begins with the weights that timm has for the model, from the cache of the hub
            or fetched.
        checkpoint: File of weights that a training begins with: safetensors, or a state dict that torch.save wrote,
            alone or inside a checkpoint.
        head: `new` for a classifier of the classes of the data with fresh weights; `kept` for that of the weights,
            which must have the same classes in the same order.
        widths: Fractions of the channels of a stage.
        ratios: Fractions of the channels inside blocks.
        ratios_per: Whether all blocks of a `stage` share one ratio, or every `block` has its own.
        heads: Fractions of the heads of attentions.
        depths: Fractions of the blocks of a stage, rounded up; at least one block runs, unless 0 is among them.
        kernels: Sizes that depthwise kernels are cropped to; their own size is always a choice.
        divisor: Numbers of channels are multiples of it, in groups that are large enough.
        least_width: Channels that always stay, at least.
        call_own: Calls `package.module:function`; a job gives it.
    """
    for field, value in (("classes", classes), ("channels", channels)):
        if not 1 <= value <= MOST_OF_IMAGES[field]:
            raise FieldError(field, f"must be from 1 to {MOST_OF_IMAGES[field]:,}, got {value}")
    from search_spaces.traced_spaces.choices import Choices

    choices = Choices(
        widths=tuple(widths),
        ratios=tuple(ratios),
        ratios_per=ratios_per,
        heads=tuple(heads),
        depths=tuple(depths),
        kernels=tuple(kernels),
        **({} if resolutions is None else {"resolutions": tuple(resolutions)}),
        divisor=divisor,
        least_width=least_width,
    )
    if not model:
        raise FieldError("model", "must name a model of timm, such as resnet18, or package.module:function")
    from search_spaces.traced_spaces.reading import Reading
    from search_spaces.traced_spaces.sources import usual_side

    if resolutions is None:
        choices = replace(choices, resolutions=(usual_side(model),))
    source = _source(model, classes, channels, choices.resolution, call_own)
    weights = _weights(source, pretrained, checkpoint, head)
    return Space(name="timm", weights=weights, **Reading(source, choices).fields())


def _weights(source: TimmModel | OwnModule, pretrained: bool, checkpoint: str | None, head: str) -> GivenWeights | None:
    """Return the weights that a training begins with; None for fresh ones."""
    from search_spaces.weights.given import GivenWeights

    return GivenWeights.of(source, pretrained=pretrained, checkpoint=checkpoint, head=head)


def _source(
    model: str, classes: int, channels: int, image_size: int, call_own: CallOwn | None
) -> TimmModel | OwnModule:
    from search_spaces.traced_spaces.sources import OwnModule, TimmModel

    if ":" not in model:
        return TimmModel(model=model, classes=classes, channels=channels, image_size=image_size)
    if not callable(call_own):
        raise FieldError("model", f"must be a name of timm outside a job, got {model!r}; see Space.from_module")
    return OwnModule(model=model, classes=classes, channels=channels, image_size=image_size, call=call_own)
