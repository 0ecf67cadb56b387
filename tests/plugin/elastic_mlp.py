"""A space of small perceptrons on vectors: how many hidden layers, and how wide each is."""

from functools import partial

from torch import Tensor, nn

from search_spaces import Decision, Space
from search_spaces.costs import linear
from search_spaces.elastic import ElasticDepth, ElasticLinear, Size
from search_spaces.inputs import Input
from search_spaces.places import Block, Place

STEM = 32


class ElasticMLP(nn.Module):
    """Vectors [B, features] -> [B, outputs]; every hidden layer is a residual block of its own width."""

    def __init__(self, features: int, outputs: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(features, STEM), nn.ReLU())
        layers = (ResidualLayer(Size(f"layer{i}.width", {w: w for w in widths})) for i in range(1, max(depths) + 1))
        self.layers = ElasticDepth(layers, Size("depth", {d: d for d in depths}))
        self.head = nn.Linear(STEM, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.stem(x)))


class ResidualLayer(nn.Module):
    """x + up(relu(down(x))) with `width` units between."""

    def __init__(self, width: Size | int) -> None:
        super().__init__()
        self.down, self.act, self.up = ElasticLinear(STEM, width), nn.ReLU(), ElasticLinear(width, STEM)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(self.act(self.down(x)))


def elastic_mlp(
    *,
    features: int = 10,
    outputs: int = 1,
    widths: tuple[int, ...] = (4, 8, 16, 32),
    depths: tuple[int, ...] = (1, 2, 3),
) -> Space:
    """Return the space of perceptrons with a stem of 32 units.

    Args:
        features: Numbers of one input vector.
        outputs: Numbers of one output.
        widths: Choices of the units of a hidden layer, ascending.
        depths: Choices of the number of hidden layers, ascending.
    """
    decisions = [Decision("depth", tuple(depths))]
    places = [Place((), lambda: _block("stem", features, STEM))]
    for layer in range(1, max(depths) + 1):
        deep_enough = tuple(depth for depth in depths if depth >= layer)
        parent, when = ("depth", deep_enough) if len(deep_enough) < len(depths) else (None, ())
        decisions.append(Decision(f"layer{layer}.width", tuple(widths), parent, when))
        places.append(Place(("depth", f"layer{layer}.width"), partial(_hidden, layer)))
    return Space(
        name="elastic_mlp",
        decisions=tuple(decisions),
        inputs=(Input((features,)),),
        build=lambda: ElasticMLP(features, outputs, tuple(widths), tuple(depths)),
        places=lambda: [*places, Place((), lambda: _block("head", STEM, outputs))],
    )


def _block(name: str, before: int, after: int) -> Block:
    return Block(f"{name} {before}-{after}", (before,), lambda: nn.Linear(before, after), lambda: linear(before, after))


def _hidden(layer: int, depth: int, width: int) -> Block | None:
    if layer > depth:
        return None
    build = partial(nn.Sequential, nn.Linear(STEM, width), nn.ReLU(), nn.Linear(width, STEM))
    return Block(f"hidden {width}", (STEM,), build, lambda: linear(STEM, width) + linear(width, STEM))
