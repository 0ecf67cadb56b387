"""A source of labelled images: facts about them, and their way from files to splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.data.config import DataConfig, InvalidData
from nas.data.images.preprocessing import Preprocessing
from nas.data.images.samples import Part, probe
from nas.data.images.stored import ImageShape, StoredImages
from nas.data.images.survey import Tell
from nas.data.kept_split import KeptSplit
from nas.data.members import Division
from nas.data.splits import Positions

if TYPE_CHECKING:
    import torch

    from nas.data.images.image_data import ImageData


class ImageSource:
    """Stored images as a `nas.data.data.DataSource`.

    Args:
        config: Size, augmentation and memory.
        stored: The images.
        tell: Receives the number of images that are read.
        kept: Facts of the images when networks were made for them; their shape and normalisation stay valid.
    """

    task = "classification"

    def __init__(
        self,
        config: DataConfig,
        stored: StoredImages,
        tell: Tell | None = None,
        kept: KeptSplit | None = None,
    ) -> None:
        self.config, self.stored, self.tell, self.kept = config, stored, tell, kept

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """Classes, channels and image size, as far as headers tell."""
        return self._facts(self._shape(self.splits), self.splits)

    @property
    def sizes(self) -> Mapping[str, int]:
        return {name: len(part.indices) for name, part in self.splits.items()}

    @cached_property
    def splits(self) -> dict[str, Part]:
        """The three parts, as they are split by default."""
        return self.stored.split()

    def watched(self, tell: Tell) -> ImageSource:
        """Return the same images, which tell how many of them are read."""
        return ImageSource(self.config, self.stored, tell, self.kept)

    def division(self, seed: int = 0) -> Division:
        """Return what the images are recognised by, and their split."""
        return self.stored.division(seed)

    def with_split(self, kept: KeptSplit, positions: Positions) -> ImageSource:
        """Return the same images with other splits, for networks that were made for a kept one."""
        return ImageSource(self.config, replace(self.stored, positions=positions), self.tell, kept)

    def load(self, device: torch.device, seed: int = 0) -> ImageData:
        """Return the three splits, decoded where they fit into memory.

        Raises:
            InvalidExamples: Some images cannot be decoded, and the configuration does not allow to leave them out.
            InvalidData: A split or a class has no image that can be decoded.
        """
        from nas.data.images.image_data import ImageLoader  # torch is needed only from here on

        splits = self.stored.split(seed)
        shape = self._shape(splits)
        loader = ImageLoader(
            config=self.config,
            stored=self.stored,
            splits=splits,
            shape=shape,
            tell=self.tell,
            kept=self._preprocessing(),
        )
        return loader.load(self.task, self._facts(shape, splits), device)

    def _preprocessing(self) -> Preprocessing | None:
        """Return what was done to images when networks were made for them."""
        if self.kept is None or not self.kept.preprocessing:
            return None
        try:
            return Preprocessing.from_json(self.kept.preprocessing)
        except ValueError as error:
            raise InvalidData(f"{self.stored.place}: the kept preprocessing cannot be used: {error}") from error

    def _shape(self, splits: Mapping[str, Part]) -> ImageShape:
        if self.kept is not None and {"channels", "image_size"} <= self.kept.facts.keys():
            return ImageShape(self.kept.facts["channels"], self.kept.facts["image_size"])
        found = probe(list(splits.values()))
        if found.looked_at == len(found.bad):  # other sources report all of them at once, when all images are read
            raise InvalidData(f"{self.stored.place}: none of the images looked at can be decoded, e.g. {found.bad[0]}")
        return ImageShape(found.channels, self.config.image_size or found.image_size)

    def _facts(self, shape: ImageShape, splits: Mapping[str, Part]) -> dict[str, Any]:
        classes = len(self.stored.class_names)
        counts = np.bincount(splits["train"].labels, minlength=classes).tolist()
        return {"classes": classes, **shape._asdict(), "class_counts": counts}
