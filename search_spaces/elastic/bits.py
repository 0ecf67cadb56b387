"""Elastic number of bits of the numbers that one half of a network sends to the other."""

from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic.layer import Elastic
from search_spaces.sizes import AnySize, largest, resolve_number
from search_spaces.wire import Wire


class ElasticWire(Elastic):
    """`Wire` with the bits that an architecture asks for.

    Args:
        bits: Bits of each number.
    """

    def __init__(self, bits: AnySize) -> None:
        super().__init__()
        self.bits = bits
        self.wire = Wire(largest(bits))

    @property
    def is_fixed(self) -> bool:
        return isinstance(self.bits, int)

    def activate(self, setting: Setting) -> None:
        self.wire.bits = resolve_number(self.bits, setting) or self.wire.bits

    def forward(self, x: Tensor) -> Tensor:
        return self.wire(x)

    def extract(self) -> nn.Module:
        return Wire(self.wire.bits).train(self.training)
