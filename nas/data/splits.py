"""Train, validation and test: what a source does not provide is held out of the training images, class by class."""

from dataclasses import dataclass

import numpy as np

from nas.data.config import InvalidData
from nas.data.order import SPLIT
from nas.data.samples import Part, Samples

# Draws of one seed must differ between the two splits and the order in which the images are kept.
_TEST, _VALIDATION, _SHUFFLE = range(3)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a source provides, before splitting and decoding.

    Args:
        name: Of the data, for people.
        place: What messages call it: a path, or a name.
        class_names: One a label.
        train: Training images.
        validation: Published validation split, if any.
        test: Published test split, if any.
        fractions: Parts to hold out for validation (of the training images) and test (of all) where they are missing.
        flip: Whether a mirrored image keeps its meaning.
        threads: How many threads may decode.
    """

    name: str
    place: str
    class_names: tuple[str, ...]
    train: Samples
    validation: Samples | None = None
    test: Samples | None = None
    fractions: tuple[float, float]
    flip: bool = True
    threads: int = 2


@dataclass(frozen=True)
class Splits:
    """The three disjoint parts of the data."""

    train: Part
    validation: Part
    test: Part

    def parts(self) -> dict[str, Part]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


def stratified(labels: np.ndarray, fraction: float, seed: int, purpose: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions that are kept, and positions that are held out: `fraction` of each class, at least one."""
    rng = np.random.default_rng((SPLIT, seed, purpose))
    held = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        held.append(members[: min(len(members) - 1, max(1, round(fraction * len(members))))])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), out), out


def split(source: Source, seed: int = 0) -> Splits:
    """The three parts, each in random order; the same for the same seed.

    Raises:
        InvalidData: Too few classes or images.
    """
    _check(source)
    train = Part(source.train, np.arange(len(source.train.labels)))
    validation_fraction, test_fraction = source.fractions
    train, test = _hold_out(train, source.test, test_fraction, seed, _TEST)
    train, validation = _hold_out(train, source.validation, validation_fraction, seed, _VALIDATION)
    rng = np.random.default_rng((SPLIT, seed, _SHUFFLE))
    shuffled = [Part(part.samples, rng.permutation(part.indices)) for part in (train, validation, test)]
    return Splits(*shuffled)


def _hold_out(train: Part, given: Samples | None, fraction: float, seed: int, purpose: int) -> tuple[Part, Part]:
    if given is not None:
        return train, Part(given, np.arange(len(given.labels)))
    kept, out = stratified(train.labels, fraction, seed, purpose)
    return Part(train.samples, train.indices[kept]), Part(train.samples, train.indices[out])


def _check(source: Source) -> None:
    """Raises InvalidData for labels out of range, fewer than two classes, or too few images to split."""
    classes = len(source.class_names)
    if classes < 2:
        raise InvalidData(f"{source.place}: at least 2 classes are needed, found {classes}")
    for name, samples in (("train", source.train), ("validation", source.validation), ("test", source.test)):
        if samples is None:
            continue
        labels = samples.labels
        if len(labels) == 0:
            raise InvalidData(f"{source.place}: the {name} split has no images")
        if labels.min() < 0 or labels.max() >= classes:
            wrong = labels[(labels < 0) | (labels >= classes)][0]
            raise InvalidData(f"{source.place}: labels must be 0 to {classes - 1}, the {name} split has {wrong}")
    needed = 1 + (source.validation is None) + (source.test is None)
    counts = np.bincount(source.train.labels, minlength=classes)
    for name, count in zip(source.class_names, counts):
        if count < needed:
            raise InvalidData(
                f"{source.place}: class {name!r} needs at least {needed} training images to be split, found {count}"
            )
