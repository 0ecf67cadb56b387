"""Elastic resolution: images are brought to the size that an architecture works at.

Paper: Once-for-All, arXiv 1908.09791, section 3.3.
Differs: images come in the largest size and are resized inside the network, in training and evaluation; the released
code crops each image to the size of its batch. So images of smaller sizes are interpolated twice here, and once there.
"""

from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.blocks import Resize
from search_spaces.elastic.layer import Elastic
from search_spaces.sizes import AnySize, largest, resolve_number


class ElasticResize(Elastic):
    """`Resize` to the resolution an architecture asks for."""

    def __init__(self, resolution: AnySize) -> None:
        super().__init__()
        self.resolution = resolution
        self.resize = Resize(largest(resolution))

    def activate(self, setting: Setting) -> None:
        self.resize.size = resolve_number(self.resolution, setting) or self.resize.size

    def forward(self, x: Tensor) -> Tensor:
        return self.resize(x)

    def extract(self) -> nn.Module:
        return Resize(self.resize.size).train(self.training)
