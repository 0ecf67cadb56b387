"""The networks that genotypes stand for: stacks of cells for small images and for ImageNet.

Paper: Liu et al., DARTS, arXiv 1806.09055, appendix A; On Network Design Spaces, arXiv 1905.13214, for its relatives.
Differs: pooling before the classifier is global whatever the image size. The order of weights is that of published
checkpoints, their names are not.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from search_spaces.errors import FieldError
from search_spaces.families.cell_operations import OPERATIONS
from search_spaces.families.genotype import Genotype
from search_spaces.families.genotype_skeleton import CellPlace, Skeleton
from search_spaces.networks.cell_modules import FactorisedReduce, ReLUConvNorm, operation_module

_POOLED = 5  # kernel of the pooling before a second classifier


class GenotypeCell(nn.Module):
    """One cell; the operation between states i and j is the module ``edge{i}_{j}``, a second one ``edge{i}_{j}_b``.

    Args:
        preprocess: What brings both inputs to the width of the cell.
        nodes: The two (state, operation) pairs of every node.
        concat: States whose concatenation is the output.
    """

    def __init__(
        self,
        preprocess: tuple[nn.Module, nn.Module],
        nodes: Sequence[Sequence[tuple[int, nn.Module]]],
        concat: Sequence[int],
    ) -> None:
        super().__init__()
        self.preprocess0, self.preprocess1 = preprocess
        self.concat = tuple(concat)
        self.nodes: list[list[tuple[str, int]]] = []
        for node, pairs in enumerate(nodes, start=2):
            self.nodes.append([])
            for state, operation in pairs:
                name = edge_name(state, node)
                name += "_b" if hasattr(self, name) else ""
                self.add_module(name, operation)
                self.nodes[-1].append((name, state))

    def forward(self, before_last: Tensor, last: Tensor, drop_path: float) -> Tensor:
        states = [self.preprocess0(before_last), self.preprocess1(last)]
        for pairs in self.nodes:
            first, second = (self._run(name, states[state], drop_path) for name, state in pairs)
            states.append(first + second)
        return torch.cat([states[state] for state in self.concat], dim=1)

    def _run(self, name: str, x: Tensor, drop_path: float) -> Tensor:
        return run_dropped(getattr(self, name), x, drop_path if self.training else 0.0)


def edge_name(state: int, node: int) -> str:
    """Return the module of the operation that a node applies to a state."""
    return f"edge{state}_{node}"


def run_dropped(operation: nn.Module, x: Tensor, drop_path: float) -> Tensor:
    """Return the output of an operation, left out for some images with this probability; plain skips never are."""
    out = operation(x)
    if drop_path == 0 or isinstance(operation, nn.Identity):
        return out
    kept = torch.empty(len(out), 1, 1, 1, dtype=out.dtype, device=out.device).bernoulli_(1 - drop_path)
    return out * kept / (1 - drop_path)


def preprocessing(place: CellPlace) -> tuple[nn.Module, nn.Module]:
    """Return what brings both inputs of a cell to its width, with fresh weights."""
    if place.after_reduction:
        first: nn.Module = FactorisedReduce(place.widths[0], place.width)
    else:
        first = ReLUConvNorm(place.widths[0], place.width, 1)
    return first, ReLUConvNorm(place.widths[1], place.width, 1)


def operation_on(place: CellPlace, state: int, operation: str) -> nn.Module:
    """Return an operation on a state of a cell with fresh weights; it has stride 2 on the inputs of a reduction."""
    return operation_module(OPERATIONS[operation], place.width, place.stride(state))


def genotype_cell(place: CellPlace, pairs: Sequence[tuple[str, int]], concat: Sequence[int]) -> nn.Module:
    """Return the cell of one genotype with fresh weights."""
    preprocess = preprocessing(place)
    edges = [(state, operation_on(place, state, operation)) for operation, state in pairs]
    return GenotypeCell(preprocess, [edges[i : i + 2] for i in range(0, len(edges), 2)], concat)


class GenotypeNetwork(nn.Module):
    """Stem, cells, classifier; images [B, C, H, W] -> logits [B, classes].

    Args:
        skeleton: The numbers around the cells.
        genotype: The cells.
        drop_path: Probability that an operation is left out for an image in training; the attribute of the same name
            can be changed as training goes on.
        auxiliary: Whether a second classifier reads the second reduction; in training the network then gives both
            logits as a pair.
        cell: Makes a cell from its place, its (operation, state) pairs and the states of its output.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        genotype: Genotype,
        *,
        drop_path: float = 0.0,
        auxiliary: bool = False,
        cell: Callable[[CellPlace, Sequence[tuple[str, int]], Sequence[int]], nn.Module] = genotype_cell,
    ) -> None:
        super().__init__()
        if not 0 <= drop_path < 1:
            raise FieldError("drop_path", f"must be from 0 to below 1, got {drop_path}")
        self.drop_path = drop_path
        self.stems = stems(skeleton)
        places = skeleton.places(len(genotype.normal_concat), len(genotype.reduce_concat))
        cells = {False: (genotype.normal, genotype.normal_concat), True: (genotype.reduce, genotype.reduce_concat)}
        self.cells = nn.ModuleList(cell(place, *cells[place.reduction]) for place in places)
        widths = [place.width * len(cells[place.reduction][1]) for place in places]
        self.auxiliary_after = 2 * skeleton.cells // 3 if auxiliary else -1
        if auxiliary:
            self.auxiliary_head = _auxiliary_head(widths[self.auxiliary_after], skeleton)
        self.classifier = nn.Linear(widths[-1], skeleton.classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        auxiliary = None
        before_last = x = self.stems[0](x)
        for stem in self.stems[1:]:
            x = stem(x)
        for i, cell in enumerate(self.cells):
            before_last, x = x, cell(before_last, x, self.drop_path)
            if i == self.auxiliary_after and self.training:
                auxiliary = self.auxiliary_head(x)
        logits = self.classifier(x.mean((2, 3)))
        return logits if auxiliary is None else (logits, auxiliary)

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive feature maps: stems and cells."""
        return [*self.stems, *self.cells]


def stems(skeleton: Skeleton) -> nn.ModuleList:
    """Return one stem for small images; two for ImageNet, the second of which halves the size again."""
    width, channels = skeleton.width, skeleton.channels
    if skeleton.stem == "cifar":
        conv = nn.Conv2d(channels, 3 * width, 3, padding=1, bias=False)
        return nn.ModuleList([nn.Sequential(conv, nn.BatchNorm2d(3 * width))])
    first = nn.Sequential(
        nn.Conv2d(channels, width // 2, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width // 2),
        nn.ReLU(),
        nn.Conv2d(width // 2, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
    )
    return nn.ModuleList([first, ReLUConvNorm(width, width, 3, stride=2)])


def auxiliary_fits(skeleton: Skeleton) -> bool:
    """Return whether the second classifier has room: its pooling leaves 2x2 pixels or more."""
    size = skeleton.places(1, 1)[2 * skeleton.cells // 3].out_size
    return (size - _POOLED) // _auxiliary_stride(skeleton) >= 1


def _auxiliary_stride(skeleton: Skeleton) -> int:
    return 3 if skeleton.stem == "cifar" else 2


def _auxiliary_head(width: int, skeleton: Skeleton) -> nn.Module:
    """Return two convolutions and a classifier; the published one for ImageNet has no second batch norm."""
    small = skeleton.stem == "cifar"
    return nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(_POOLED, stride=_auxiliary_stride(skeleton), count_include_pad=False),
        nn.Conv2d(width, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        *([nn.BatchNorm2d(768)] if small else []),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(768, skeleton.classes),
    )
