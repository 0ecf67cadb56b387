"""The places of cells of genotypes in a network, and the costs of everything there: for small images and ImageNet.

Paper: Liu et al., DARTS, arXiv 1806.09055, appendix A; On Network Design Spaces, arXiv 1905.13214, for its relatives.
Differs: nothing known.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from search_spaces import costs
from search_spaces.costs import Costs
from search_spaces.errors import FieldError
from search_spaces.families.cell_operations import OPERATIONS, factorised_reduce
from search_spaces.families.genotype import Genotype
from search_spaces.limits import MOST_CHANNELS, MOST_LAYERS, MOST_OF_IMAGES, check_most
from search_spaces.sizes import strided

STEMS = ("cifar", "imagenet")

_MOST = {"width": MOST_CHANNELS, "cells": MOST_LAYERS, **MOST_OF_IMAGES}


@dataclass(frozen=True)
class CellPlace:
    """The place of a cell: channels and size of its two inputs, and its width."""

    reduction: bool
    after_reduction: bool
    widths: tuple[int, int]
    sizes: tuple[int, int]
    width: int

    @property
    def size(self) -> int:
        """Pixels of one side of both inputs after preprocessing."""
        return self.sizes[1]

    @property
    def out_size(self) -> int:
        """Pixels of one side of the output."""
        return strided(self.size, 2) if self.reduction else self.size

    def preprocess_counts(self) -> tuple[Counter[str], Counter[str]]:
        """Return the params and MACs of bringing each input to the width of the cell."""
        first = (self.widths[0], self.width)
        if self.after_reduction:
            before_last = factorised_reduce(*first, self.sizes[0])
        else:
            before_last = costs.conv_norm(*first, pixels=self.sizes[0] ** 2)
        return before_last, costs.conv_norm(self.widths[1], self.width, pixels=self.size**2)

    def stride(self, state: int) -> int:
        """Return the stride of an operation on a state: a reduction halves its inputs."""
        return 2 if self.reduction and state < 2 else 1

    def operation_size(self, state: int) -> int:
        """Return the pixels of one side of a state."""
        return self.size if state < 2 else self.out_size

    def operation_count(self, operation: str, state: int) -> Counter[str]:
        """Return the params and MACs of an operation on a state."""
        return OPERATIONS[operation].count(self.width, self.operation_size(state), self.stride(state))


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """The numbers around the cells: reductions stand at a third and two thirds and double the channels."""

    width: int
    cells: int
    image_size: int
    channels: int
    classes: int
    stem: str

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits = (("width", 2), ("cells", 1), ("image_size", 1), ("channels", 1), ("classes", 2))
        for field, least in limits:
            if getattr(self, field) < least:
                raise FieldError(field, f"must be at least {least}, got {getattr(self, field)}")
        if self.stem not in STEMS:
            raise FieldError("stem", f"must be one of {STEMS}, got {self.stem!r}")

    def places(self, normal_states: int, reduce_states: int) -> list[CellPlace]:
        """Return every cell in order, for outputs that concatenate so many states."""
        small = self.stem == "cifar"
        widths = (3 * self.width,) * 2 if small else (self.width,) * 2
        size = self.image_size
        sizes = (size, size) if small else (halved(size, 2), halved(size, 3))
        places: list[CellPlace] = []
        width, after_reduction = self.width, not small
        for i in range(self.cells):
            reduction = i in (self.cells // 3, 2 * self.cells // 3)
            width = 2 * width if reduction else width
            places.append(CellPlace(reduction, after_reduction, widths, sizes, width))
            widths = (widths[1], width * (reduce_states if reduction else normal_states))
            sizes, after_reduction = (sizes[1], places[-1].out_size), reduction
        return places

    def stem_counts(self) -> list[Counter[str]]:
        """Return the params and MACs of each stem."""
        if self.stem == "cifar":
            return [costs.conv_norm(self.channels, 3 * self.width, 3, pixels=self.image_size**2)]
        half, width = self.width // 2, self.width
        pairs = [(self.channels, half), (half, width), (width, width)]
        first, second, third = (
            costs.conv_norm(*pair, 3, pixels=halved(self.image_size, i) ** 2) for i, pair in enumerate(pairs, start=1)
        )
        return [first + second, third]


def halved(size: int, times: int) -> int:
    """Return the pixels of one side after so many strides of two."""
    for _ in range(times):
        size = strided(size, 2)
    return size


def genotype_costs(skeleton: Skeleton, genotype: Genotype) -> Costs:
    """Return exact costs [1] of the network of a genotype, without auxiliary head."""
    total = sum(_counts(skeleton, genotype), Counter())
    return Costs({name: np.array([total[name]], dtype=np.int64) for name in ("params", "macs")})


def _counts(skeleton: Skeleton, genotype: Genotype) -> Iterator[Counter[str]]:
    """Yield what each part of the network of a genotype costs."""
    places = skeleton.places(len(genotype.normal_concat), len(genotype.reduce_concat))
    yield from skeleton.stem_counts()
    for place in places:
        yield from place.preprocess_counts()
        for operation, state in genotype.reduce if place.reduction else genotype.normal:
            yield place.operation_count(operation, state)
    states = genotype.reduce_concat if places[-1].reduction else genotype.normal_concat
    yield costs.linear(len(states) * places[-1].width, skeleton.classes)
