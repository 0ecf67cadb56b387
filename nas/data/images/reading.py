"""Reading all images of the splits: bad ones are refused together, or left out and reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nas.data.config import InvalidData, InvalidExamples
from nas.data.images.decoding import GREY_MODES, Levels, usual_range
from nas.data.images.preprocessing import Decoding
from nas.data.images.remembered import remembered_survey
from nas.data.images.samples import Part, decode_into
from nas.data.images.survey import Survey, Tell, survey_and_decode

Parts = Mapping[str, Part]


@dataclass(frozen=True, kw_only=True)
class ReadImages:
    """All images of the splits after reading.

    Args:
        splits: The images that can be used.
        surveys: What the images of each split are like.
        decoding: How they are decoded, with the levels of the training split.
        decoded: Bytes [N, H, W, C] of each split; nothing where they are streamed.
        left_out: One line for each image that cannot be used.
    """

    splits: Mapping[str, Part]
    surveys: Mapping[str, Survey]
    decoding: Decoding
    decoded: dict[str, np.ndarray]
    left_out: tuple[str, ...] = ()

    def remarks(self) -> Iterator[str]:
        """Yield what people should know of how the images were read, a sentence each."""
        found = Survey.joined(self.surveys.values())
        of = f"of {found.images} images"
        if self.left_out:
            total = found.images + len(self.left_out)
            yield f"{len(self.left_out)} of {total} images cannot be used and {_be(len(self.left_out))} left out"
        if found.turned:
            yield f"{found.turned} {of} {_be(found.turned)} turned upright, as EXIF says"
        if found.transparent:
            yield f"{found.transparent} {of} {_be(found.transparent)} transparent in places and laid over white"
        if found.several:
            have = "has" if found.several == 1 else "have"
            yield f"{found.several} {of} {have} several frames or pages, of which the first is used"
        levels = self.decoding.levels
        if found.integers:
            yield _depth(found.integers, levels.integers, "whole numbers of more than 8 bits")
        if found.floats:
            yield _depth(found.floats, levels.floats, "floating-point numbers")
        coloured = sum(count for mode, count in found.modes.items() if mode not in GREY_MODES)
        if self.decoding.channels == 1 and coloured:
            yield f"{coloured} {of} {_be(coloured)} in colour and made grey, as those looked at first are"


def read_images(
    splits: Parts,
    decoding: Decoding,
    *,
    in_memory: bool,
    threads: int,
    levels: Levels | None = None,
    tell: Tell | None = None,
) -> ReadImages:
    """Return all images, including unusable ones, which the surveys name.

    Args:
        splits: The images.
        decoding: What they are decoded to.
        in_memory: Whether the decoded images are kept.
        threads: Number of threads that decode.
        levels: Levels of images of more than 8 bits; those of the training split by default.
        tell: Receives the progress.
    """
    surveys, decoded = {}, {}
    total, before = sum(len(part.indices) for part in splits.values()), 0
    for name, part in splits.items():
        told = None if tell is None else _shifted(tell, before, total)
        if in_memory:
            surveys[name], decoded[name] = survey_and_decode(part, decoding, threads=threads, tell=told)
        else:
            surveys[name] = remembered_survey(part, threads=threads, tell=told)
        before += len(part.indices)
    decoding = replace(decoding, levels=levels or _levels(surveys["train"]))
    for name, pixels in decoded.items():
        decode_into(pixels, splits[name], surveys[name].deep, decoding, threads=threads)
    return ReadImages(splits=splits, surveys=surveys, decoding=decoding, decoded=decoded)


def refuse_bad(surveys: Mapping[str, Survey], place: str) -> None:
    """Refuse data with images that cannot be used, and name all of them.

    Raises:
        InvalidExamples: There are such images.
    """
    lines = _lines(surveys)
    if lines:
        total = len(lines) + sum(found.images for found in surveys.values())
        advice = "replace or remove them, or train without them: data.on_error: skip"
        raise InvalidExamples(f"{place}: {len(lines)} of {total} images cannot be used; {advice}", lines)


def without_bad(read: ReadImages, place: str, class_names: tuple[str, ...]) -> ReadImages:
    """Return the images that can be used; each stays in its split.

    Raises:
        InvalidData: A split or a class of the training split has none.
    """
    left_out = _lines(read.surveys)
    if not left_out:
        return read
    splits, decoded = dict(read.splits), dict(read.decoded)
    for name, found in read.surveys.items():
        if found.bad:
            kept = np.setdiff1d(np.arange(len(splits[name].indices)), list(found.bad))
            splits[name] = Part(splits[name].samples, splits[name].indices[kept])
            if name in decoded:
                decoded[name] = decoded[name][kept]
    for name, part in splits.items():
        if len(part.indices) == 0:
            raise InvalidData(f"{place}: no image of the {name} split can be used, e.g. {left_out[0]}")
    missing = np.flatnonzero(np.bincount(splits["train"].labels, minlength=len(class_names)) == 0)
    if len(missing):
        name = class_names[missing[0]]
        raise InvalidData(f"{place}: no training image of class {name!r} can be used, e.g. {left_out[0]}")
    return replace(read, splits=splits, decoded=decoded, left_out=left_out)


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _lines(surveys: Mapping[str, Survey]) -> tuple[str, ...]:
    return tuple(sorted(why for found in surveys.values() for why in found.bad.values()))


def _shifted(tell: Tell, before: int, total: int) -> Tell:
    return lambda done, _: tell(before + done, total)


def _levels(train: Survey) -> Levels:
    """Return the levels of the training split, the default ones where it has no images of more than 8 bits."""
    given = {"integers": train.integers, "floats": train.floats}
    return Levels(**{kind: usual_range(*values) for kind, values in given.items() if values is not None})


def _depth(there: tuple[float, float], levels: tuple[float, float], what: str) -> str:
    (lowest, highest), (black, white) = there, levels
    shown = f"{lowest:g} to {highest:g}"
    return f"images of {what} ({shown}) become 8 bits: {black:g} is black and {white:g} is white, by the training split"
