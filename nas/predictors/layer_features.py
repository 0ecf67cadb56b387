"""Layer-wise scores of many architectures as one matrix of features.

Paper: Dong et al., ParZC, AAAI 2025, arXiv 2402.02105: proxies side by side, networks padded with zeros.
Differs: nothing known for `align="order"`; `align="name"`, where a column is always the same place of the network, is
ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

LayerScores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class LayerLayout:
    """The meaning of the columns: [N, P * L] is one block of L columns for each of P proxies.

    Made once, from all architectures that will be asked about, or from those of training; then every matrix it gives
    has the same columns. It needs no targets, and consists of names and numbers only, so it can be stored beside a
    predictor.

    Attributes:
        proxies: Names, in the order of their blocks.
        layers: Names of the columns of a block, in network order; for `align="order"` their number alone matters.
        align: `order`: the k-th column is the k-th layer that the architecture has, zeros at the end. `name`: each
            layer has its own column, zero where an architecture lacks it.
    """

    proxies: tuple[str, ...]
    layers: tuple[str, ...]
    align: Literal["order", "name"] = "order"

    def __post_init__(self) -> None:
        if self.align not in ("order", "name"):
            raise ValueError(f"align is {self.align!r}; allowed: order, name")
        if not self.proxies or not self.layers:
            raise ValueError(f"{len(self.proxies)} proxies and {len(self.layers)} layers make no features")

    @classmethod
    def of(
        cls, scores: Sequence[LayerScores], *, align: Literal["order", "name"] = "order", depth: int | None = None
    ) -> Self:
        """Return the smallest layout that holds these architectures.

        Args:
            scores: Scores of each architecture: proxy name -> layer name -> value, layers in network order.
            align: See the class.
            depth: Smallest number of columns for each proxy in the layout `order`, for deeper networks to come.
        """
        if not scores:
            raise ValueError("there are no architectures; a layout is made from at least one")
        proxies = tuple(scores[0])
        if align == "name":
            return cls(proxies, _merged(layers for one in scores for layers in one.values()), align)
        deepest = max((len(layers) for one in scores for layers in one.values()), default=0)
        return cls(proxies, tuple(f"layer{k}" for k in range(max(deepest, depth or 0))), align)

    def features(self, scores: Sequence[LayerScores]) -> np.ndarray:
        """Return one row for each architecture [N, P * L]; values that are NaN stay so.

        Raises:
            ValueError: An architecture lacks a proxy, or has a proxy or layer that the layout does not know.
        """
        place = {name: column for column, name in enumerate(self.layers)}
        matrix = np.zeros((len(scores), len(self.proxies), len(self.layers)))
        for row, one in enumerate(scores):
            if set(one) != set(self.proxies):
                raise ValueError(f"architecture {row} has scores of {sorted(one)}; the layout is of {self.proxies}")
            for block, proxy in enumerate(self.proxies):
                layers = one[proxy]
                columns = self._columns(layers, place, f"architecture {row}, {proxy}")
                matrix[row, block, columns] = np.fromiter(layers.values(), np.float64, len(layers))
        return matrix.reshape(len(scores), len(self.proxies) * len(self.layers))

    def _columns(self, layers: Mapping[str, float], place: Mapping[str, int], where: str) -> slice | list[int]:
        if self.align == "order":
            if len(layers) > len(self.layers):
                raise ValueError(f"{where}: {len(layers)} layers; the layout holds {len(self.layers)}, see depth")
            return slice(len(layers))
        unknown = [name for name in layers if name not in place]
        if unknown:
            raise ValueError(
                f"{where}: {len(unknown)} layers are not in the layout, the first is {unknown[0]!r}; "
                "make it from architectures that have them"
            )
        return [place[name] for name in layers]


def _merged(networks: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return all names, each new one after the name that precedes it in its network."""
    merged: list[str] = []
    known: set[str] = set()
    for names in networks:
        previous = None
        for name in names:
            if name not in known:
                merged.insert(merged.index(previous) + 1 if previous is not None else 0, name)
                known.add(name)
            previous = name
    return tuple(merged)
