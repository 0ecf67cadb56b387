"""Models of timm as teachers: with their weights, and on the scale of images that they were trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.errors import FieldError
from search_spaces.weights.files import read_weights
from search_spaces.weights.hub import pretrained_file

FIELD, FILE = "teacher", "teacher_checkpoint"


class OnOwnScale(nn.Module):
    """A network whose images are scaled as in its own training before it sees them.

    Args:
        network: The network.
        here: Mean and standard deviation of the images that arrive, by channel, on the scale 0 to 1.
        own: Those that it was trained with.
        side: Side of the images that it needs in pixels; None for any.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: nn.Module,
        here: tuple[Sequence[float], Sequence[float]],
        own: tuple[Sequence[float], Sequence[float]],
        side: int | None = None,
    ) -> None:
        super().__init__()
        self.network, self.side = network, side
        (mean, std), (own_mean, own_std) = (torch.tensor(pair, dtype=torch.float64) for pair in (here, own))
        self.register_buffer("scale", (std / own_std).float()[:, None, None])
        self.register_buffer("shift", ((mean - own_mean) / own_std).float()[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Return what the network makes of images [B, C, H, W] of the scale that arrives."""
        images = images * self.scale + self.shift
        if self.side is not None and images.shape[-1] != self.side:
            size = (self.side, self.side)
            images = nn.functional.interpolate(images, size=size, mode="bilinear", antialias=True)
        return self.network(images)


def check_timm_teacher(name: str, *, classes: int | None, checkpoint: str | None) -> None:
    """Refuse a model of timm that cannot teach, as far as that shows without its weights.

    Args:
        name: Its name, such as `resnet50.a1_in1k`.
        classes: Number of outputs that it must have; None where that is not known.
        checkpoint: File of its weights; None for those that timm has.

    Raises:
        FieldError: Says what is wrong.
    """
    import timm
    from timm.models import get_pretrained_cfg

    architecture, _, tag = name.partition(".")
    if not timm.is_model(name):
        near = get_close_matches(architecture, timm.list_models(), n=4)
        meant = f"did you mean {', '.join(near)}?" if near else "see timm.list_models()"
        kinds = "a model of timm, a job folder, a file of weights in one, or package.module:function"
        raise FieldError(FIELD, f"must be {kinds}, got {name!r}; {meant}")
    if tag and name not in (there := timm.list_pretrained(f"{architecture}.*")):
        raise FieldError(FIELD, f"has no weights {tag!r} of {architecture}; there are {', '.join(there) or 'none'}")
    config = get_pretrained_cfg(name)
    if checkpoint is not None:
        return
    if config is None or not config.has_weights:
        raise FieldError(FIELD, f"must be a model with weights, timm has none of {name}; give train.{FILE}")
    if classes is not None and config.num_classes != classes:
        _refuse_classes(name, config.num_classes, classes)


def timm_teacher(
    name: str,
    *,
    classes: int,
    channels: int = 3,
    image_size: int | None = None,
    checkpoint: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return a model of timm with its weights, in evaluation mode, for the images of a data set.

    Args:
        name: Its name, such as `resnet50.a1_in1k`.
        classes: Number of outputs that it must have.
        channels: Channels of an image.
        image_size: Side of an image in pixels.
        checkpoint: File of its weights; None for those that timm has or fetches.
        preprocessing: Mean and std of the images that arrive, see `nas.data.Data`; empty where they have none.

    Raises:
        FieldError: The weights cannot be had, or are of another network or of other classes.
    """
    import timm
    from timm.models import get_pretrained_cfg

    check_timm_teacher(name, classes=classes, checkpoint=checkpoint)
    config = get_pretrained_cfg(name)
    sizes = {"num_classes": classes, "in_chans": channels}
    if checkpoint is not None:
        network = timm.create_model(name, pretrained=False, **sizes)
        _load(network, read_weights(checkpoint, field=FILE), checkpoint, classes)
    else:
        try:
            pretrained_file(name)
        except FieldError as error:
            why = f"the weights of {name} are not on this machine, and cannot be fetched"
            raise FieldError(FIELD, f"{why}; give a file of them as train.{FILE}") from error
        network = timm.create_model(name, pretrained=True, **sizes)
    return _scaled(network.eval(), config, channels, image_size, preprocessing or {})


def _scaled(
    network: nn.Module, config: Any, channels: int, image_size: int | None, preprocessing: Mapping[str, Any]
) -> nn.Module:
    if config is None or not {"mean", "std"} <= preprocessing.keys():
        return network
    mean, std = _of_channels(config.mean, channels), _of_channels(config.std, channels)
    side = config.input_size[-1] if config.fixed_input_size and config.input_size[-1] != image_size else None
    return OnOwnScale(network, (preprocessing["mean"], preprocessing["std"]), (mean, std), side)


def _of_channels(values: Sequence[float], channels: int) -> list[float]:
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


def _load(network: nn.Module, tensors: Mapping[str, Tensor], path: str, classes: int) -> None:
    ours = network.state_dict()
    wrong = [name for name, tensor in tensors.items() if name in ours and ours[name].shape != tensor.shape]
    if wrong and set(wrong) <= _heads(network):
        _refuse_classes(path, len(tensors[wrong[0]]), classes)
    missing = [name for name in ours if name not in tensors and not name.endswith("num_batches_tracked")]
    if wrong or missing:
        what = f"{wrong[0]} has another shape there" if wrong else f"it has no {missing[0]}"
        raise FieldError(FILE, f"{path} holds the weights of another network: {what}")
    network.load_state_dict({name: tensor for name, tensor in tensors.items() if name in ours}, strict=False)


def _heads(network: nn.Module) -> set[str]:
    """Return the tensors of the classifiers of a model of timm."""
    names = getattr(network, "default_cfg", {}).get("classifier") or ()
    found = [names] if isinstance(names, str) else list(names)
    return {f"{name}.{kind}" for name in found for kind in ("weight", "bias")}


def _refuse_classes(what: str, theirs: int, ours: int) -> None:
    trained = f"train it on these data first and give its weights as train.{FILE}"
    raise FieldError(FIELD, f"{what} tells {theirs} classes apart, the data have {ours}; {trained}")
