"""NAS-Bench-201: a cell of four nodes and six edges, each with one of five operations.

Paper: Dong & Yang, NAS-Bench-201, arXiv 2001.00326; the topology space of NATS-Bench.
Differs: nothing known. Weights are those of torch's default initialisation.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import isqrt
from typing import cast

import numpy as np
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.blocks import Sum
from search_spaces.elastic import ElasticChoice, with_shared_norms
from search_spaces.errors import FieldError
from search_spaces.families.cell_operations import ReLUConvNorm
from search_spaces.families.graph_paths import Paths
from search_spaces.inputs import images
from search_spaces.places import Block, Condition, Place, fixed
from search_spaces.space import Columns, Space

TABLE_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
OPERATIONS = ("none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
"""Cheapest first; `TABLE_OPERATIONS` is the order of the digits in published tables."""
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, target) in the order of architecture strings."""
_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
_STAGES = 3
_READERS: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (("edge1_3",), ("edge1_2", "edge2_3")),
    2: (("edge2_3",),),
    3: ((),),
}
"""Node -> the ways from it to the output; where each has an edge without operation, the node reaches nothing."""


def edge_name(source: int, target: int) -> str:
    """The decision that holds the operation of an edge."""
    return f"edge{source}_{target}"


# ---- strings and keys ---------------------------------------------------------------------------------------------


def parse(text: str) -> dict[str, Choice]:
    """The decisions of an architecture string, ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.

    Raises:
        InvalidArchitecture: The string is no such cell.
    """
    nodes = text.strip().split("+")
    if len(nodes) != 3:
        raise InvalidArchitecture(f"arch_str {text!r} must have 3 nodes separated by '+', got {len(nodes)}")
    values: dict[str, Choice] = {}
    for target, node in enumerate(nodes, start=1):
        terms = re.fullmatch(r"\|(?:[^|]*\|)+", node) and node[1:-1].split("|")
        if not terms or len(terms) != target:
            raise InvalidArchitecture(f"arch_str {text!r}: node {target} must be {target} terms '|op~source|'")
        for source, term in enumerate(terms):
            operation, _, named = term.partition("~")
            if operation not in OPERATIONS:
                raise InvalidArchitecture(f"arch_str {text!r}: operation {operation!r} is not one of {OPERATIONS}")
            if named != str(source):
                raise InvalidArchitecture(f"arch_str {text!r}: node {target}, term {term!r} must come from {source}")
            values[edge_name(source, target)] = operation
    return values


def to_string(architecture: Mapping[str, Choice]) -> str:
    """The architecture string of published tables."""
    terms = {(s, t): f"{architecture[edge_name(s, t)]}~{s}" for s, t in EDGES}
    return "+".join("|" + "".join(f"{terms[s, t]}|" for s in range(t)) for t in (1, 2, 3))


def parse_cell(digits: str) -> dict[str, Choice]:
    """The decisions of six operation digits in the order of the architecture string, with or without leading ``x``.

    Raises:
        InvalidArchitecture: These are not six digits from 0 to 4.
    """
    if not re.fullmatch(r"x?[0-4]{6}", digits.strip()):
        raise InvalidArchitecture(f"cell {digits!r} must be six digits from 0 to 4, with or without a leading x")
    return {edge_name(s, t): TABLE_OPERATIONS[int(d)] for (s, t), d in zip(EDGES, digits.strip()[-6:])}


def to_cell(architecture: Mapping[str, Choice]) -> str:
    """Six operation digits with a leading ``x``, as in published tables."""
    return "x" + "".join(str(TABLE_OPERATIONS.index(str(architecture[edge_name(s, t)]))) for s, t in EDGES)


def unique_key(architecture: Mapping[str, Choice]) -> str:
    """The published isomorphism key: skips collapse, zeros propagate but stay as terms; 6,466 distinct ones."""
    return _expression(architecture, propagate_zeros=True, delete_zeros=False)


def skip_key(architecture: Mapping[str, Choice]) -> str:
    """The published key that collapses skips only; 12,751 distinct ones."""
    return _expression(architecture, propagate_zeros=False, delete_zeros=False)


def canonical_key(architecture: Mapping[str, Choice]) -> str:
    """The key to recognise equal functions by: skips collapse, zero terms vanish; 5,390 distinct ones.

    Equal keys are equal outputs where equal operations on equal inputs have equal weights and what follows zeros is
    zero, which holds for convolutions with batch norm as long as the norm's bias is zero.
    """
    return _expression(architecture, propagate_zeros=True, delete_zeros=True)


def path_traits(columns: Columns) -> np.ndarray:
    """What the paths of cells come to [N, 11]: the operations on them, how many paths, how deep in convolutions, how
    many poolings stand in the way, and whether the input itself is handed on."""
    operations = np.stack([columns[edge_name(source, target)] for source, target in EDGES], axis=1)
    paths = Paths(EDGES, operations != "none")
    live = paths.live()
    convolutions = np.isin(operations, list(_KERNELS)).astype(float)
    changing = (operations != "skip_connect").astype(float)
    counted = [((operations == name) & live).sum(axis=1) for name in OPERATIONS[1:]]
    depths = [paths.longest(convolutions), paths.shortest(convolutions), paths.longest(np.ones(live.shape))]
    pooled = paths.shortest((operations == "avg_pool_3x3").astype(float))
    identity = (paths.count() > 0) & (paths.shortest(changing) == 0)
    wide = (convolutions * live).sum(axis=1)
    return np.stack([*counted, *depths, pooled, identity, paths.count(), wide], axis=1).astype(float)


def _expression(architecture: Mapping[str, Choice], *, propagate_zeros: bool, delete_zeros: bool) -> str:
    """Node 3 written as an expression of node 0, with the terms of every sum sorted; ``#`` is zero."""
    nodes = ["0"]
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            operation = architecture[edge_name(source, target)]
            if propagate_zeros and (operation == "none" or nodes[source] == "#"):
                terms.append("#")
            elif operation == "skip_connect":
                terms.append(nodes[source])
            else:
                terms.append(f"({nodes[source]})@{operation}")
        if delete_zeros:
            terms = [term for term in terms if term != "#"] or ["#"]
        nodes.append("+".join(sorted(terms)))
    return nodes[3]


# ---- the network --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """The numbers around the cells: three stages of equal cells, each after the first with half the pixels and twice
    the channels."""

    width: int
    cells: int
    image_size: int
    channels: int
    classes: int
    shared_affine: bool = True

    def __post_init__(self) -> None:
        for field, least in (("width", 1), ("cells", 1), ("channels", 1), ("classes", 2)):
            if getattr(self, field) < least:
                raise FieldError(field, f"must be at least {least}, got {getattr(self, field)}")
        if self.image_size < 4 or self.image_size % 4:
            raise FieldError("image_size", f"must be a multiple of 4 pixels, got {self.image_size}")

    @property
    def stages(self) -> list[tuple[int, int]]:
        """(channels, pixels of a feature map) of each stage."""
        return [(self.width * 2**s, (self.image_size // 2**s) ** 2) for s in range(_STAGES)]

    def network(self, architecture: Architecture) -> nn.Module:
        """The network of one architecture with fresh weights."""
        return NASBench201Network(self, lambda width: chosen_cell(architecture, width))

    def supernet(self) -> nn.Module:
        """The network whose edges follow an architecture, each operation of each edge with weights of its own."""
        affine = self.shared_affine
        return with_shared_norms(NASBench201Network(self, lambda width: elastic_cell(width, affine=affine)))

    def places(self) -> list[Place]:
        """Stem; the operations and the sums of the cells of each stage, all alike; residual blocks; head."""
        width, size = self.stages[0][0], self.image_size
        stem = Block(f"stem {self.channels}-{width}", (self.channels, size, size), lambda: _stem(self.channels, width))
        places = [fixed(stem)]
        for (before, pixels), (after, _) in pairwise(self.stages):
            shape = (before, isqrt(pixels), isqrt(pixels))
            places.append(fixed(Block(f"residual {before}-{after}", shape, partial(ResidualBlock, before, after))))
        for channels, pixels in self.stages:
            places += _cell_places((channels, isqrt(pixels), isqrt(pixels)), self.cells)
        channels, pixels = self.stages[-1]
        head = partial(_head, channels, self.classes)
        return [*places, fixed(Block(f"head {channels}-{self.classes}", (channels, *(isqrt(pixels),) * 2), head))]

    def cost(self, columns: Columns) -> dict[str, np.ndarray]:
        """Exact costs: parameters with batch-norm weights and biases; MACs of convolutions and the classifier."""
        params, macs = self._fixed_cost()
        total_params = np.full(len(columns[edge_name(0, 1)]), params, dtype=np.int64)
        total_macs = np.full(len(total_params), macs, dtype=np.int64)
        for operation, kernel in _KERNELS.items():
            edges = np.sum([columns[edge_name(s, t)] == operation for s, t in EDGES], axis=0, dtype=np.int64)
            weights = [(kernel * kernel * c * c, c, pixels) for c, pixels in self.stages]
            total_params += edges * self.cells * sum(w + 2 * c for w, c, _ in weights)
            total_macs += edges * self.cells * sum(w * pixels for w, _, pixels in weights)
        return {"params": total_params, "macs": total_macs}

    def _fixed_cost(self) -> tuple[int, int]:
        """Parameters and MACs of what every architecture has: stem, residual blocks and head."""
        width, last = self.stages[0][0], self.stages[-1][0]
        stem, classifier = 9 * self.channels * width, last * self.classes
        params, macs = stem + 2 * width + 2 * last + classifier + self.classes, stem * self.image_size**2 + classifier
        for (before, _), (after, pixels) in pairwise(self.stages):
            weights = 9 * before * after + 9 * after * after + before * after
            params += weights + 4 * after
            macs += weights * pixels
        return params, macs


def _operation(name: str, channels: int, *, affine: bool = True) -> nn.Module | None:
    if name == "none":
        return None
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return ReLUConvNorm(channels, channels, _KERNELS[name], affine=affine)


def _stem(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))


def _last(width: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


def _head(width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(_last(width), nn.Flatten(), nn.Linear(width, classes))


def _cell_places(shape: tuple[int, ...], repeats: int) -> list[Place]:
    """The operations on the six edges of cells on feature maps of one shape, and the sums at their three nodes.

    Backends that do not look ahead compute all of it. Others leave out nodes that the output does not read, and pool
    the same feature maps once only, however many edges do so.
    """
    places = []
    for i, (source, target) in enumerate(EDGES):
        edge, before = edge_name(source, target), [edge_name(*earlier) for earlier in EDGES[:i]]
        names = dict.fromkeys((edge, *before, *_reading(*(node for _, node in EDGES[: i + 1]))))
        unused = Condition(tuple(names), partial(_is_unneeded, (source, target)))
        places.append(Place((edge,), partial(_edge_block, shape), repeats, unused))
    for target in _READERS:
        incoming = tuple(edge_name(source, target) for source in range(target))
        unused = Condition(_reading(target), partial(_reaches_nothing, target))
        places.append(Place(incoming, partial(_sum_block, shape), repeats, unused if unused.decisions else None))
    return places


def _reading(*nodes: int) -> tuple[str, ...]:
    """The edges behind nodes."""
    return tuple(dict.fromkeys(name for node in nodes for way in _READERS[node] for name in way))


def _is_unneeded(edge: tuple[int, int], chosen: Mapping[str, Choice]) -> bool:
    return not _is_needed(edge, chosen)


def _reaches_nothing(node: int, chosen: Mapping[str, Choice]) -> bool:
    return not _reaches(node, chosen)


def _is_needed(edge: tuple[int, int], chosen: Mapping[str, Choice]) -> bool:
    """Whether the output reads the node that an edge leads to, and what the edge gives is not there already."""
    source, target = edge
    if not _reaches(target, chosen):
        return False
    if chosen[edge_name(*edge)] != "avg_pool_3x3":
        return True
    same = _origin(source, chosen)
    return not any(
        chosen[edge_name(*earlier)] == "avg_pool_3x3"
        and _origin(earlier[0], chosen) == same
        and _reaches(earlier[1], chosen)
        for earlier in EDGES[: EDGES.index(edge)]
    )


def _origin(node: int, chosen: Mapping[str, Choice]) -> int:
    """The first node with the same feature maps: a node with nothing but a skip connection has those of its source."""
    sources = [source for source in range(node) if chosen[edge_name(source, node)] != "none"]
    if len(sources) == 1 and chosen[edge_name(sources[0], node)] == "skip_connect":
        return _origin(sources[0], chosen)
    return node


def _reaches(node: int, chosen: Mapping[str, Choice]) -> bool:
    """Whether the output reads a node."""
    return any(all(chosen[name] != "none" for name in way) for way in _READERS[node])


def _edge_block(shape: tuple[int, ...], operation: str) -> Block | None:
    if operation in ("none", "skip_connect"):
        return None
    return Block(operation, shape, lambda: cast(nn.Module, _operation(operation, shape[0])))


def _sum_block(shape: tuple[int, ...], *operations: str) -> Block | None:
    terms = sum(operation != "none" for operation in operations)
    return None if terms == 1 else Block(f"sum of {terms}", shape, partial(Sum, terms))


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
    """The cell of one architecture."""
    names = [edge_name(source, target) for source, target in EDGES]
    return Cell({name: _operation(str(architecture[name]), channels) for name in names})


def elastic_cell(channels: int, *, affine: bool) -> Cell:
    """The cell of all architectures: every operation of every edge, of which one runs."""
    edges: dict[str, nn.Module | None] = {}
    for source, target in EDGES:
        name = edge_name(source, target)
        edges[name] = ElasticChoice(name, {o: _operation(o, channels, affine=affine) for o in OPERATIONS})
    return Cell(edges)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first of stride 2, beside average pooling and a 1x1 convolution."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvNorm(in_width, out_width, 3, stride=2)
        self.conv_b = ReLUConvNorm(out_width, out_width, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_width, out_width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.conv_b(self.conv_a(x))


class NASBench201Network(nn.Module):
    """Stem, three stages of cells with residual blocks between, head; images [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, skeleton: Skeleton, cell: Callable[[int], Cell]) -> None:
        super().__init__()
        widths = [width for width, _ in skeleton.stages]
        self.stem = _stem(skeleton.channels, widths[0])
        cells: list[nn.Module] = []
        for stage, width in enumerate(widths):
            if stage > 0:
                cells.append(ResidualBlock(widths[stage - 1], width))
            cells.extend(cell(width) for _ in range(skeleton.cells))
        self.cells = nn.Sequential(*cells)
        self.last = _last(widths[-1])
        self.classifier = nn.Linear(widths[-1], skeleton.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.last(self.cells(self.stem(x))).flatten(1))

    def blocks(self) -> list[nn.Module]:
        """The modules whose outputs are the successive feature maps: stem, cells and residual blocks."""
        return [self.stem, *self.cells]


def nasbench201(
    *,
    width: int = 16,
    cells: int = 5,
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
    shared_affine: bool = True,
) -> Space:
    """The published space of 15,625 cells.

    Args:
        width: Channels of the first stage; they double with every stage.
        cells: Cells of each of the three stages.
        image_size: Pixels of the square images, a multiple of 4; published are 32, and 16 for ImageNet16-120.
        channels: Channels of an image.
        classes: Number of outputs; published are 10, 100 and 120.
        shared_affine: Whether the norms of the operations of a supernet have weights, as those of single networks do.
            Published supernets have none, and a bias in each convolution instead.
    """
    skeleton = Skeleton(
        width=width,
        cells=cells,
        image_size=image_size,
        channels=channels,
        classes=classes,
        shared_affine=shared_affine,
    )
    return Space(
        name="nasbench201",
        decisions=tuple(Decision(edge_name(source, target), OPERATIONS) for source, target in EDGES),
        inputs=images(channels, image_size),
        classes=classes,
        build=skeleton.supernet,
        cost=skeleton.cost,
        network=skeleton.network,
        places=skeleton.places,
        formats={("arch_str",): parse, ("cell",): parse_cell},
        traits=path_traits,
    )
