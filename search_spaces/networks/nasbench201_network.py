"""The networks of NAS-Bench-201.

Paper: Dong & Yang, NAS-Bench-201, arXiv 2001.00326; entangled operations: Sukthanker et al., AutoML-Conf 2024 (PMLR
v256), section 3.
Differs: nothing known. As published, what weighs the two convolutions of an edge weighs the kernel and not what the
norm behind it gives: it says how much of the kernel the smaller one shares, and little about the convolution as such.
"""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from search_spaces.architecture import Choice
from search_spaces.elastic import CroppedConv2d, ElasticChoice, Size
from search_spaces.families.nasbench201_cell import EDGES, KERNELS, OPERATIONS, edge_name
from search_spaces.networks.cell_modules import ReLUConvNorm


def operation_module(name: str, channels: int, *, affine: bool = True) -> nn.Module:
    """Return an operation of an edge with fresh weights; there is no module for `none`."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return ReLUConvNorm(channels, channels, KERNELS[name], affine=affine)


def _on_edge(name: str, channels: int, *, affine: bool = True) -> nn.Module | None:
    return None if name == "none" else operation_module(name, channels, affine=affine)


def stem(channels: int, width: int, *, affine: bool = True) -> nn.Sequential:
    """Return the first convolution."""
    convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width, affine=affine))


def _last(width: int, *, affine: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(width, affine=affine), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


def head(width: int, classes: int) -> nn.Sequential:
    """Return what follows the cells, as one module."""
    return nn.Sequential(_last(width), nn.Flatten(), nn.Linear(width, classes))


class Cell(nn.Module):
    """Node j is the sum of the operations on its edges from nodes i < j; the last node is the output.

    An edge has a module named after it (`edge0_3`), which may give None for nothing; so does an edge without module.
    """

    def __init__(self, edges: Mapping[str, nn.Module | None]) -> None:
        super().__init__()
        for name, operation in edges.items():
            if operation is not None:
                self.add_module(name, operation)

    def forward(self, x: Tensor) -> Tensor:
        edges, nodes = self._modules, [x]
        for target in (1, 2, 3):
            node: Tensor | None = None
            for source in range(target):
                operation = edges.get(edge_name(source, target))
                term = None if operation is None else operation(nodes[source])
                if term is not None:
                    node = term if node is None else node + term
            # zeros that still hang on the input, so that every weight has a gradient
            nodes.append(x * 0.0 if node is None else node)
        return nodes[-1]


def chosen_cell(architecture: Mapping[str, Choice], channels: int) -> Cell:
    """Return the cell of one architecture."""
    names = [edge_name(source, target) for source, target in EDGES]
    return Cell({name: _on_edge(str(architecture[name]), channels) for name in names})


def elastic_cell(channels: int, *, affine: bool, entangled: bool = False) -> Cell:
    """Return the cell of all architectures: every operation of every edge, of which one runs."""
    edges: dict[str, nn.Module | None] = {}
    for source, target in EDGES:
        name = edge_name(source, target)
        operations: dict[Choice, nn.Module | None] = {o: _on_edge(o, channels, affine=affine) for o in OPERATIONS}
        if entangled:
            operations.update(dict.fromkeys(KERNELS, _entangled(name, channels, affine=affine)))
        edges[name] = ElasticChoice(name, operations)
    return Cell(edges)


def _entangled(edge: str, channels: int, *, affine: bool) -> nn.Module:
    """Return both convolutions of an edge as one module: the 1x1 kernel is the centre of the 3x3 one."""
    largest = ReLUConvNorm(channels, channels, max(KERNELS.values()), affine=affine)
    plain = largest.conv
    assert isinstance(plain, nn.Conv2d)
    largest.conv = CroppedConv2d(plain, kernel=Size(edge, dict(KERNELS.items())))
    return largest


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first of stride 2, beside average pooling and a 1x1 convolution."""

    def __init__(self, in_width: int, out_width: int, *, affine: bool = True) -> None:
        super().__init__()
        self.conv_a = ReLUConvNorm(in_width, out_width, 3, stride=2, affine=affine)
        self.conv_b = ReLUConvNorm(out_width, out_width, 3, affine=affine)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_width, out_width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.conv_b(self.conv_a(x))


class NASBench201Network(nn.Module):
    """Stem, stages of cells with residual blocks between, head; images [B, C, H, W] -> logits [B, classes].

    Args:
        widths: Channels of each stage.
        cell: Makes the cell of a width.
        cells: Cells of each stage.
        channels: Channels of an image.
        classes: Number of outputs.
        affine: Whether norms outside of the cells have weights.
    """

    def __init__(
        self,
        widths: Sequence[int],
        cell: Callable[[int], Cell],
        *,
        cells: int,
        channels: int,
        classes: int,
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.stem = stem(channels, widths[0], affine=affine)
        modules: list[nn.Module] = []
        for stage, width in enumerate(widths):
            if stage > 0:
                modules.append(ResidualBlock(widths[stage - 1], width, affine=affine))
            modules.extend(cell(width) for _ in range(cells))
        self.cells = nn.Sequential(*modules)
        self.last = _last(widths[-1], affine=affine)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.last(self.cells(self.stem(x))).flatten(1))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive feature maps: stem, cells and residual blocks."""
        return [self.stem, *self.cells]
