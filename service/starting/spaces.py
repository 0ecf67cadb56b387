"""The spaces that are offered for images of a size, from the largest networks to the smallest."""

from typing import Any, NamedTuple

_LARGEST_SMALL = 64  # pixels, of small_mobilenet_v3
_WIDE: dict[str, Any] = {"depths": [1, 2, 3], "kernels": [3, 5, 7], "expands": [2, 3, 4]}
_NARROW: dict[str, Any] = {"depths": [1, 2], "kernels": [3, 5], "expands": [1, 2, 3]}
_SMALL: dict[str, dict[str, Any]] = {
    "large": {"stem": 24, "widths": [32, 64, 128], "head": (192, 256), **_WIDE},
    "medium": {"stem": 16, "widths": [24, 40, 80], "head": (160, 256), **_WIDE},
    "small": {"stem": 16, "widths": [16, 24, 40], "head": (96, 128), **_NARROW},
    "tiny": {"stem": 8, "widths": [12, 16, 24], "head": (64, 64), **_NARROW},
}
"""From the largest networks to the smallest."""


class OfferedSpace(NamedTuple):
    """A search space with options.

    Attributes:
        name: Name of the catalogue.
        options: Options, without those that follow from the data.
        about: Description in a few words.
    """

    name: str
    options: dict[str, Any]
    about: str


def offered_spaces(image_size: int) -> list[OfferedSpace]:
    """Return the spaces for square images of this size in pixels, the one with the largest networks first."""
    if image_size > _LARGEST_SMALL:
        return [
            OfferedSpace("ofa_mobilenet_v3", {"width": width}, f"MobileNetV3 for large images, {width} times as wide")
            for width in (1.0, 0.5, 0.25)
        ]
    return [_small(image_size, size) for size in _SMALL]


def given_model(model: str, checkpoint: str | None) -> OfferedSpace:
    """Return the space of a model's own subnets.

    Args:
        model: A name of timm, or `package.module:function`.
        checkpoint: File of its weights; None for those of timm, or for those that the function gives it.
    """
    options: dict[str, Any] = {"model": model}
    if checkpoint is not None:
        options["checkpoint"] = checkpoint
    elif ":" not in model:
        options["pretrained"] = True
    return OfferedSpace("timm", options, f"{model} and its parts")


def _small(image_size: int, size: str) -> OfferedSpace:
    numbers = _SMALL[size]
    options = {
        "stem_stride": 2 if image_size >= 32 else 1,
        "stem_width": numbers["stem"],
        "first_width": numbers["stem"],
        "stage_widths": numbers["widths"],
        "strides": [2, 2, 2] if image_size >= 48 else [1, 2, 2],
        "depths": numbers["depths"],
        "kernels": numbers["kernels"],
        "expands": numbers["expands"],
        "last_width": numbers["head"][0],
        "feature_width": numbers["head"][1],
    }
    return OfferedSpace("small_mobilenet_v3", options, f"MobileNetV3 for small images, {size}")
