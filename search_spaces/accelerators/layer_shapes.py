"""The layers of a block as accelerators see them: seven numbers each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import nn

    from search_spaces.places import Block


class LayerShape(NamedTuple):
    """A convolution or a linear layer, for one input.

    Attributes:
        outputs: Channels that it writes.
        inputs: Channels that each of them reads; those of one group.
        rows: Rows of the kernel.
        columns: Columns of the kernel.
        height: Rows of what it writes.
        width: Columns of what it writes.
        stride: Pixels between two neighbours of what it reads.
        groups: Groups of channels.
    """

    outputs: int
    inputs: int
    rows: int = 1
    columns: int = 1
    height: int = 1
    width: int = 1
    stride: int = 1
    groups: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.outputs * self.inputs * self.rows * self.columns * self.height * self.width

    @property
    def weights(self) -> int:
        """Numbers in its kernel."""
        return self.outputs * self.inputs * self.rows * self.columns

    @property
    def read(self) -> int:
        """Numbers that it reads, each counted once."""
        height = (self.height - 1) * self.stride + self.rows
        width = (self.width - 1) * self.stride + self.columns
        return self.inputs * self.groups * height * width

    @property
    def written(self) -> int:
        """Numbers that it writes."""
        return self.outputs * self.height * self.width


def layers_of(block: Block) -> tuple[LayerShape, ...]:
    """Return the convolutions and linear layers of a block, in the order in which they run.

    Products of two feature maps, such as those of attention, are left out. Nothing is computed or stored for it.
    """
    import torch
    from torch import nn

    found: list[LayerShape] = []

    def note(layer: nn.Module, _: tuple, output: torch.Tensor) -> None:
        found.append(_shape(layer, output))

    with torch.device("meta"), torch.no_grad():
        module = block.build().eval()
        inputs = tuple(one.to("meta") for one in block.example())
        for layer in module.modules():
            if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
                layer.register_forward_hook(note)
        module(*inputs)
    return tuple(found)


def _shape(layer: nn.Module, output: torch.Tensor) -> LayerShape:
    """Return the numbers of a layer that wrote an output [1, ...]."""
    from torch import nn

    if isinstance(layer, nn.Linear):
        return LayerShape(layer.out_features, layer.in_features, height=output[0].numel() // layer.out_features)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    two = isinstance(layer, nn.Conv2d)
    return LayerShape(
        layer.out_channels,
        layer.in_channels // layer.groups,
        layer.kernel_size[0],
        layer.kernel_size[-1] if two else 1,
        output.shape[2],
        output.shape[3] if two else 1,
        layer.stride[0],
        layer.groups,
    )
