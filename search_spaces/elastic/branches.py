"""Elastic branches: parallel paths of one block, each of which keeps its first channels or disappears.

Paper: SuperTickets, arXiv 2207.03677; the block is that of HR-NAS, arXiv 2106.06560, without its transformer.
Differs: nothing known.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Setting
from search_spaces.blocks import ConvNormAct
from search_spaces.elastic.layer import Elastic, elastic_layers, extracted
from search_spaces.elastic.norm import ElasticBatchNorm2d


class Branch(nn.Module):
    """One path: 1x1 expansion, depthwise convolution, 1x1 projection whose norm all paths share."""

    def __init__(self, expand: ConvNormAct, depthwise: ConvNormAct, project: nn.Module) -> None:
        super().__init__()
        self.expand, self.depthwise, self.project = expand, depthwise, project

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.depthwise(self.expand(x)))

    def carriers(self) -> list[tuple[Tensor, int]]:
        """Return the tensors that hold the channels inside an elastic branch, and on which dimension."""
        layers: list[tuple[nn.Module, int]] = [(self.project, 1)]
        for part in (self.expand, self.depthwise):
            layers += [(part.conv, 0), (part.norm, 0)]
        return [
            (tensor, dimension)
            for layer, dimension in layers
            for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False))
        ]


class Branches(nn.Module):
    """A block: the normalised sum of its paths, beside a shortcut; the shortcut alone where there are no paths."""

    def __init__(self, paths: Mapping[str, nn.Module], norm: nn.Module | None, shortcut: nn.Module) -> None:
        super().__init__()
        self.paths = nn.ModuleDict(paths)
        self.norm, self.shortcut = norm, shortcut

    def forward(self, x: Tensor) -> Tensor:
        beside = self.shortcut(x)
        if self.norm is None:
            return beside
        total: Tensor | None = None
        for path in self.paths.values():
            total = path(x) if total is None else total + path(x)
        return beside + self.norm(torch.zeros_like(beside) if total is None else total)


class ElasticBranches(Elastic):
    """A block whose paths follow an architecture.

    Args:
        decision: Decision that says by 1 or 0 whether the block has paths at all.
        channels: Decision of the channels of each path -> the path, whose layers follow this decision.
        norm: Norm of the sum of the paths.
        shortcut: What stands beside the paths.
    """

    def __init__(
        self, decision: str, channels: Mapping[str, Branch], norm: ElasticBatchNorm2d, shortcut: nn.Module
    ) -> None:
        super().__init__()
        self.decision = decision
        self.channels = {name: name.rpartition(".")[2] for name in channels}
        self.paths = nn.ModuleDict({self.channels[name]: path for name, path in channels.items()})
        self.norm, self.shortcut = norm, shortcut
        self._layers = {name: elastic_layers(path) for name, path in channels.items()}
        self.runs = True
        self.active = dict.fromkeys(channels, True)

    def path(self, decision: str) -> Branch:
        """Return the path whose channels a decision says."""
        path = self.paths[self.channels[decision]]
        assert isinstance(path, Branch)
        return path

    def activate(self, setting: Setting) -> None:
        runs = setting.get(self.decision)
        if runs is None:
            return
        if isinstance(runs, Mapping) or any(isinstance(setting.get(name), Mapping) for name in self.channels):
            raise TypeError(f"{self.decision} has paths that disappear: its choices cannot be mixed")
        self.runs = bool(runs)
        for name, layers in self._layers.items():
            kept: Choice = setting[name] if runs else 0  # type: ignore[assignment]
            self.active[name] = bool(kept)
            for layer in layers:
                layer.activate(Architecture({name: kept}))

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        yield self.decision, 1, self.norm

    def forward(self, x: Tensor) -> Tensor:
        beside = self.shortcut(x)
        if not self.runs:
            return beside
        total: Tensor | None = None
        for name, active in self.active.items():
            if active:
                out = self.paths[self.channels[name]](x)
                total = out if total is None else total + out
        return beside + self.norm(torch.zeros_like(beside) if total is None else total)

    def extract(self) -> nn.Module:
        shown = [self.channels[name] for name, active in self.active.items() if active and self.runs]
        paths = {name: extracted(self.paths[name]) for name in shown}
        return Branches(paths, self.norm.extract() if self.runs else None, extracted(self.shortcut)).train(
            self.training
        )
