"""The networks of NAS-Bench-101."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search_spaces.blocks import ConvNormAct
from search_spaces.families.nasbench101_cell import Cell, vertex_widths


def _conv_norm_relu(in_width: int, out_width: int, kernel: int) -> ConvNormAct:
    conv = nn.Conv2d(in_width, out_width, kernel, padding=kernel // 2, bias=False)
    block = ConvNormAct(conv, nn.BatchNorm2d(out_width))
    block.act = nn.ReLU()
    return block


class CellNetwork(nn.Module):
    """One cell: projections of the input, operations of the vertices, concatenation [B, C, H, W] -> [B, C', H, W]."""

    def __init__(self, cell: Cell, in_width: int, out_width: int) -> None:
        super().__init__()
        self.last = cell.vertices - 1
        self.edges = sorted(cell.edges)
        self.widths = [in_width, *vertex_widths(cell, out_width), out_width]
        self.project = nn.ModuleDict()
        for vertex in range(1, cell.vertices):
            if (0, vertex) in cell.edges:
                slot = "output" if vertex == self.last else str(vertex)
                self.project[slot] = _conv_norm_relu(in_width, self.widths[vertex], 1)
        self.vertex = nn.ModuleDict()
        for vertex, operation in enumerate(cell.operations, start=1):
            width = self.widths[vertex]
            pool = operation == "maxpool3x3"
            module = nn.MaxPool2d(3, stride=1, padding=1) if pool else _conv_norm_relu(width, width, int(operation[-1]))
            self.vertex[str(vertex)] = module

    def forward(self, x: Tensor) -> Tensor:
        outputs = {0: x}
        for vertex in range(1, self.last):
            width = self.widths[vertex]
            terms = [outputs[source][:, :width] for source, target in self.edges if target == vertex and source > 0]
            if (0, vertex) in self.edges:
                terms.append(self.project[str(vertex)](x))
            outputs[vertex] = self.vertex[str(vertex)](sum(terms[1:], terms[0]))
        joined = [outputs[source] for source, target in self.edges if target == self.last and source > 0]
        if (0, self.last) not in self.edges:
            return torch.cat(joined, dim=1)
        projected = self.project["output"](x)
        return torch.cat(joined, dim=1) + projected if joined else projected


class NASBench101Network(nn.Module):
    """Stem, stacks of cells with max pooling between, head; images [B, C, H, W] -> logits [B, classes].

    Args:
        cell: All cells.
        stacks_widths: Channels that enter and leave each stack; the stem has those that enter the first.
        cells: Cells of each stack.
        channels: Channels of an image.
        classes: Number of outputs.
    """

    def __init__(
        self, cell: Cell, stacks_widths: Sequence[tuple[int, int]], *, cells: int, channels: int, classes: int
    ) -> None:
        super().__init__()
        self.stem = _conv_norm_relu(channels, stacks_widths[0][0], 3)
        modules: list[nn.Module] = []
        for stack, (in_width, out_width) in enumerate(stacks_widths):
            if stack > 0:
                modules.append(nn.MaxPool2d(2))
            modules.extend(CellNetwork(cell, in_width if i == 0 else out_width, out_width) for i in range(cells))
        self.cells = nn.Sequential(*modules)
        self.classifier = nn.Linear(stacks_widths[-1][1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.cells(self.stem(x)).mean((2, 3)))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive feature maps: stem and cells."""
        return [self.stem, *(module for module in self.cells if isinstance(module, CellNetwork))]
