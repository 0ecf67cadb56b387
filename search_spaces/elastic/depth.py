"""Elastic depth: a stage that runs its first blocks and skips the rest."""

from collections.abc import Iterable, Iterator
from itertools import islice

from torch import Tensor, nn

from search_spaces.architecture import Choice, Setting
from search_spaces.elastic.size import AnySize, Elastic, Size, elastic_layers, extracted, largest, resolve


class ElasticDepth(Elastic):
    """Blocks in sequence, of which the first `depth` run; the blocks that can be skipped keep the shape."""

    def __init__(self, blocks: Iterable[nn.Module], depth: AnySize) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.depth = depth
        self.active_depth = largest(depth)
        if self.active_depth != len(self.blocks):
            raise ValueError(f"a stage of depth up to {self.active_depth} was given {len(self.blocks)} blocks")

    def activate(self, setting: Setting) -> None:
        self.active_depth = resolve(self.depth, setting) or self.active_depth
        for block in self:
            for layer in elastic_layers(block):
                layer.activate(setting)

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        if isinstance(self.depth, Size):
            for choice, depth in self.depth.values.items():
                for block in self.blocks[:depth]:
                    yield self.depth.decision, choice, block

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = block(x)
        return x

    def __iter__(self) -> Iterator[nn.Module]:
        """The blocks that run."""
        return islice(iter(self.blocks), self.active_depth)

    def extract(self) -> nn.Module:
        blocks = [extracted(block) for block in self]
        return nn.Sequential(*blocks).train(self.training)
