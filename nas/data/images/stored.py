"""Images as a source provides them, and their split within each class."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nas.data.config import InvalidData
from nas.data.images.samples import Part, Samples
from nas.data.images.survey import usable_threads
from nas.data.members import Division
from nas.data.splits import Positions, split_positions


class ImageShape(NamedTuple):
    """The shape that all images are brought to: channels, 1 (grey) or 3, and side in pixels."""

    channels: int
    image_size: int


@dataclass(frozen=True, kw_only=True)
class StoredImages:
    """The images of a source, before splitting and decoding.

    Args:
        name: Name of the data, for people.
        place: Name in messages: a path, or a name.
        class_names: Name of each label.
        train: Training images.
        validation: Published validation split, if any.
        test: Published test split, if any.
        fractions: Parts to hold out for validation (of the training images) and test (of all) where they are missing.
        flip: Whether a mirrored image keeps its meaning.
        threads: Number of threads that may decode.
        remarks: Sentences for people about how the images were found.
        positions: The three splits, where they were made before.
    """

    name: str
    place: str
    class_names: tuple[str, ...]
    train: Samples
    validation: Samples | None = None
    test: Samples | None = None
    fractions: tuple[float, float]
    flip: bool = True
    threads: int = field(default_factory=usable_threads)
    remarks: tuple[str, ...] = ()
    positions: Positions | None = None

    def split(self, seed: int = 0) -> dict[str, Part]:
        """Return the three disjoint parts by name, each in random order; the same for the same seed.

        Raises:
            InvalidData: There are too few classes or images.
        """
        _check(self)
        given = self._given()
        return {name: Part(given.get(name, self.train), chosen) for name, chosen in self._positions(seed).items()}

    def division(self, seed: int = 0) -> Division:
        """Return the members by which the images of each part are recognised, and their split.

        Raises:
            InvalidData: There are too few classes or images.
        """
        _check(self)
        parts = {name: samples.members() for name, samples in self._given().items()}
        return Division(classes=self.class_names, parts=parts, positions=self._positions(seed), examples="images")

    def _given(self) -> dict[str, Samples]:
        """Return the parts that exist."""
        given = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: samples for name, samples in given.items() if samples is not None}

    def _positions(self, seed: int) -> Positions:
        if self.positions is not None:
            return self.positions
        sizes = {name: len(samples.labels) for name, samples in self._given().items() if name != "train"}
        return split_positions(self.train.labels, **sizes, fractions=self.fractions, seed=seed)


def _check(stored: StoredImages) -> None:
    """Refuse labels out of range, fewer than two classes, or too few images to split."""
    classes = len(stored.class_names)
    if classes < 2:
        raise InvalidData(f"{stored.place}: at least 2 classes are needed, found {classes}")
    for name, samples in (("train", stored.train), ("validation", stored.validation), ("test", stored.test)):
        if samples is None:
            continue
        labels = samples.labels
        if len(labels) == 0:
            raise InvalidData(f"{stored.place}: the {name} split has no images")
        if labels.min() < 0 or labels.max() >= classes:
            wrong = labels[(labels < 0) | (labels >= classes)][0]
            raise InvalidData(f"{stored.place}: labels must be 0 to {classes - 1}, the {name} split has {wrong}")
    needed = 1 + (stored.validation is None) + (stored.test is None)
    counts = np.bincount(stored.train.labels, minlength=classes)
    for name, count in zip(stored.class_names, counts):
        if count < needed:
            raise InvalidData(
                f"{stored.place}: class {name!r} needs at least {needed} training images to be split, found {count}"
            )
