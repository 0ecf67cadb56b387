"""A search space of networks on vectors, made as a user would make one."""

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from search_spaces import Choice, Decision, Input, Space, costs
from search_spaces.elastic import ElasticDepth, ElasticLinear
from search_spaces.places import Block, Place
from search_spaces.sizes import Size

FEATURES, OUTPUTS, WIDTHS, DEPTHS = 10, 1, (4, 8, 16), (1, 2, 3)


class Perceptron(nn.Module):
    """Linear layers whose width and number follow an architecture; vectors [B, features] -> [B, outputs]."""

    def __init__(self) -> None:
        super().__init__()
        width = Size("width", {choice: choice for choice in WIDTHS})
        self.first = nn.Sequential(ElasticLinear(FEATURES, width), nn.ReLU())
        hidden = (nn.Sequential(ElasticLinear(width, width), nn.ReLU()) for _ in range(max(DEPTHS)))
        self.hidden = ElasticDepth(hidden, Size("depth", {choice: choice for choice in DEPTHS}))
        self.last = ElasticLinear(width, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(self.first(x)))


def _layer(inputs: int, outputs: int, *, relu: bool) -> Block:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU()) if relu else nn.Linear(inputs, outputs)

    return Block(f"linear {inputs}-{outputs}", (inputs,), build, partial(costs.linear, inputs, outputs))


def _hidden(layer: int, width: int, depth: int) -> Block | None:
    return _layer(width, width, relu=True) if layer <= depth else None


def _places() -> list[Place]:
    hidden = [Place(("width", "depth"), partial(_hidden, layer)) for layer in range(1, max(DEPTHS) + 1)]
    first = Place(("width",), lambda width: _layer(FEATURES, width, relu=True))
    return [first, *hidden, Place(("width",), lambda width: _layer(width, OUTPUTS, relu=False))]


def _parse(layers: str) -> Mapping[str, Choice]:
    width, depth = layers.split("x")
    return {"width": int(width), "depth": int(depth)}


def vector_space() -> Space:
    """Nine networks."""
    return Space(
        name="vectors",
        decisions=(Decision("width", WIDTHS), Decision("depth", DEPTHS)),
        inputs=(Input((FEATURES,)),),
        build=Perceptron,
        places=_places,
        formats={("layers",): _parse},
    )
