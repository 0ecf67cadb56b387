"""What pretrained weights ask of images: the size that they were trained at, and the scale of the pixels."""

from collections.abc import Mapping, Sequence
from typing import Any


def wanted_images(
    *,
    model: object = "",
    pretrained: object = False,
    checkpoint: object = None,
    resolutions: object = None,
    **others: object,
) -> Mapping[str, Any]:
    """Return the settings of data that the weights of a model of timm were trained with, by field of `data`.

    Args:
        model: Option of the space, checked or not, as the others are.
        pretrained: Whether the weights are those of timm.
        checkpoint: File of weights.
        resolutions: Sizes of images that the user chose.
        others: Options that say nothing of images.

    Returns:
        `image_size`, `mean` and `std`; nothing where no weights are given or nothing is known of the model.
    """
    if not isinstance(model, str) or ":" in model or not (pretrained is True or checkpoint):
        return {}
    from timm.data import resolve_model_data_config
    from timm.models import get_pretrained_cfg, is_model

    config = get_pretrained_cfg(model) if is_model(model) else None
    if config is None:
        return {}
    known = resolve_model_data_config(None, pretrained_cfg=config.to_dict(), use_test_size=False)
    scale: dict[str, Any] = {"mean": list(known["mean"]), "std": list(known["std"])}
    channels, height, width = known["input_size"]
    chosen = _largest(resolutions)
    if chosen is not None or height == width:
        scale["image_size"] = chosen or height
    return scale if channels in (1, 3) else {}


def _largest(resolutions: object) -> int | None:
    """Return the largest of the sizes that a user chose, if these are sizes at all."""
    if not isinstance(resolutions, Sequence) or isinstance(resolutions, str) or not resolutions:
        return None
    sizes = [side for side in resolutions if isinstance(side, int) and not isinstance(side, bool)]
    return max(sizes) if len(sizes) == len(resolutions) else None
