"""Descriptions of images and of their preparation, in words for people."""

from collections.abc import Iterable, Mapping

from nas.data.images.augment import Augmentation
from nas.data.images.decoding import GREY_MODES
from nas.data.images.preprocessing import Preprocessing
from nas.data.images.survey import Survey

_COLOURS = {1: "grey", 3: "in colour"}


def described(
    surveys: Iterable[Survey],
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    *,
    streamed: bool,
    statistics_given: bool = False,
) -> Mapping[str, str]:
    """Return a line on what the images are like, and one on how they are prepared.

    Args:
        surveys: Surveys of all splits.
        preprocessing: Preparation of every image.
        augmentation: Random changes of training images.
        streamed: Whether they are read while they are used.
        statistics_given: Whether the job says mean and deviation, so that they are not those of the images.
    """
    found = Survey.joined(surveys)
    scaled = _scaled(preprocessing) if statistics_given else "brightness scaled to mean 0 and deviation 1"
    treatment = [*_brought_to_size(found, preprocessing), scaled]
    changes = _augmented(augmentation, streamed=streamed)
    return {"images": _form(found), "treatment": f"{'; '.join(treatment)}; in training {changes}"}


def _scaled(preprocessing: Preprocessing) -> str:
    mean, std = (
        ", ".join(f"{value:g}" for value in dict.fromkeys(one)) for one in (preprocessing.mean, preprocessing.std)
    )
    return f"brightness less {mean}, divided by {std} (data.mean and data.std)"


def _form(found: Survey) -> str:
    grey = sum(count for mode, count in found.modes.items() if mode in GREY_MODES)
    coloured = found.images - grey
    kinds = [f"{count:,} {_COLOURS[channels]}" for count, channels in ((coloured, 3), (grey, 1)) if count]
    if found.sizes is None:
        return ", ".join(kinds)
    smallest, largest = (f"{width} x {height}" for width, height in found.sizes)
    sizes = smallest if smallest == largest else f"from {smallest} to {largest}"
    return f"{sizes} pixels, {' and '.join(kinds)}"


def _brought_to_size(found: Survey, preprocessing: Preprocessing) -> list[str]:
    """Return the steps from the size of the images to that of the input, and to its channels."""
    size, shorter, channels = preprocessing.image_size, preprocessing.decoding.shorter_side, preprocessing.channels
    if found.sizes == ((size, size), (size, size)):
        steps = [f"kept at {size} x {size}"]
    else:
        steps = [f"shorter side brought to {shorter} pixels, centre of {size} x {size} cut out"]
        if found.sizes is not None and min(found.sizes[0]) < shorter:
            steps.append("smaller ones are enlarged")
    grey = sum(count for mode, count in found.modes.items() if mode in GREY_MODES)
    if (channels == 3 and grey) or (channels == 1 and grey < found.images):
        steps.append("made " + ("red, green, blue" if channels == 3 else "grey"))
    return steps


def _augmented(augmentation: Augmentation, *, streamed: bool) -> str:
    changes = []
    if streamed:
        changes.append("cut at random places and sizes")
    elif augmentation.crop_padding:
        changes.append(f"moved by up to {augmentation.crop_padding} pixels")
    if augmentation.flip:
        changes.append("mirrored at random")
    if augmentation.cutout:
        changes.append(f"a square of {augmentation.cutout} pixels blanked")
    return ", ".join(changes) or "nothing else"
