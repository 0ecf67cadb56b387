"""Elastic depth: a stage that runs its first blocks and skips the rest."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from torch import Tensor, nn

from search_spaces.architecture import Choice, Setting, Weight
from search_spaces.elastic.layer import Elastic, elastic_layers, extracted
from search_spaces.elastic.mixing import refuse_mixtures
from search_spaces.sizes import AnySize, Mixture, Size, largest, mixtures, resolve
from search_spaces.transformer import Stack


class ElasticDepth(Elastic):
    """Blocks in sequence, of which the first `depth` run; the blocks that can be skipped keep the shape.

    A mixture of depths mixes their outputs.
    """

    def __init__(self, blocks: Iterable[nn.Module], depth: AnySize) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.depth = depth
        self.active_depth = largest(depth)
        self._mixed: dict[str, Mixture] = {}
        if self.active_depth != len(self.blocks):
            raise ValueError(f"a stage of depth up to {self.active_depth} was given {len(self.blocks)} blocks")

    def activate(self, setting: Setting) -> None:
        depth = resolve(self.depth, setting)
        if depth is not None:
            self.active_depth, self._mixed = largest(depth), mixtures(depth=depth)
        for block in self:
            for layer in elastic_layers(block):
                layer.activate(setting)

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        if isinstance(self.depth, Size):
            for choice, depth in self.depth.values.items():
                for block in self.blocks[:depth]:
                    yield self.depth.decision, choice, block

    def forward(self, x: Tensor, *beside: Any) -> Tensor:
        if self._mixed:
            return self._mixed_outputs(x, self._mixed["depth"].weights, beside)
        for block in self:
            x = block(x, *beside)
        return x

    def _mixed_outputs(self, x: Tensor, weights: Mapping[int, Weight], beside: tuple[Any, ...]) -> Tensor:
        """Return the weighted sum of what the depths give."""
        total: Tensor | None = None
        for depth, block in enumerate(self, start=1):
            x = block(x, *beside)
            if depth in weights:
                total = x * weights[depth] if total is None else total + x * weights[depth]
        assert total is not None
        return total

    def __iter__(self) -> Iterator[nn.Module]:
        """Yield the blocks that run."""
        return islice(iter(self.blocks), self.active_depth)

    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        blocks = [extracted(block) for block in self]
        return nn.Sequential(*blocks).train(self.training)


class ElasticStack(ElasticDepth):
    """Blocks of which the first `depth` run, and which all receive what is given beside the sequence."""

    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        return Stack(*(extracted(block) for block in self)).train(self.training)
