"""Networks in two halves: an encoder on a device, and on a server a decoder and the rest of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from search_spaces.blocks import ConvNormAct
from search_spaces.elastic import ElasticBatchNorm2d, ElasticChoice, ElasticConv2d, with_shared_norms
from search_spaces.elastic.bits import ElasticWire
from search_spaces.elastic.ensemble_conv import EnsembleConv2d
from search_spaces.elastic.tail import ElasticTail
from search_spaces.families.split_encoder import EncoderSizes
from search_spaces.sizes import AnySize, Size
from search_spaces.wire import Wire

CUT = "cut"
"""The decision where a network is cut."""


def encoder_layers(sizes: EncoderSizes) -> nn.Sequential:
    """Return the elastic layers of an encoder before the bottleneck."""
    layers: list[nn.Module] = []
    before: AnySize = sizes.channels
    for stride in sizes.strides:
        if sizes.members and layers:
            width = sizes.member_width
            conv: nn.Module = EnsembleConv2d(sizes.members, width, width, kernel=3, stride=stride)
        else:
            conv = ElasticConv2d(before, sizes.width, kernel=3, stride=stride)
        layers.append(ConvNormAct(conv, ElasticBatchNorm2d(sizes.width), "relu"))
        before = sizes.width
    return nn.Sequential(*layers)


def bottleneck(sizes: EncoderSizes) -> nn.Sequential:
    """Return the elastic layers that make few numbers of mean 0 and variance 1."""
    norm = ElasticBatchNorm2d(sizes.bottleneck, affine=False)
    return nn.Sequential(ElasticConv2d(sizes.width, sizes.bottleneck), norm)


def decoder(sizes: AnySize, out_width: int) -> nn.Sequential:
    """Return the elastic layers that make feature maps of what was sent."""
    first = ConvNormAct(ElasticConv2d(sizes, out_width, kernel=3), ElasticBatchNorm2d(out_width), "relu")
    return nn.Sequential(first, ConvNormAct(ElasticConv2d(out_width, out_width), ElasticBatchNorm2d(out_width)))


class Encoder(nn.Module):
    """What runs on the device of a network that is cut: images [B, C, H, W] -> numbers as they arrive.

    Args:
        layers: Layers before the bottleneck.
        bottleneck: Makes the numbers that are sent.
        wire: Says what arrives of them.
    """

    def __init__(self, layers: nn.Module, bottleneck: nn.Module, wire: nn.Module) -> None:
        super().__init__()
        self.layers, self.bottleneck, self.wire = layers, bottleneck, wire

    @classmethod
    def of(cls, sizes: EncoderSizes) -> Encoder:
        """Return the elastic encoder of these sizes."""
        return cls(encoder_layers(sizes), bottleneck(sizes), ElasticWire(sizes.bits))

    def forward(self, x: Tensor) -> Tensor:
        return self.wire(self.bottleneck(self.layers(x)))


class AsImage(nn.Identity):
    """The device of a network that is cut before its first layer: images are sent as they are."""


class OnDevice(nn.Identity):
    """The device of a network that is not cut: nothing is sent."""


class SplitNetwork(nn.Module):
    """A network that may be cut; images [B, C, H, W] -> logits [B, classes].

    Args:
        encoder: What runs on the device, an `Encoder`, `AsImage` or `OnDevice`; elastic, or one of them.
        decoder: Makes feature maps of what arrives.
        tail: The pieces of the network behind the cut.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, tail: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.tail = encoder, decoder, tail

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.decoder(self.encoder(x)))

    def imitations(self) -> list[tuple[nn.Module, nn.Module]]:
        """Return modules whose outputs stand for those of other modules, and these: decoders, and pieces before a cut.

        They are those of an elastic network; a plain one has none.
        """
        tail, decoders = self.tail, self.decoder
        if not isinstance(tail, ElasticTail) or not isinstance(decoders, ElasticChoice):
            return []
        assert isinstance(tail.start, Size)
        starts = {cut: start for cut, start in tail.start.values.items() if start}
        found = [(decoders.operation(cut), tail.pieces[start - 1]) for cut, start in starts.items()]
        return [(one, other) for one, other in found if one is not None]

    def halves(self) -> tuple[nn.Module, nn.Module]:
        """Return what runs on the device and what runs on the server, of a plain network.

        They share its weights. What the first gives is what is sent: whole numbers uint8 from 0 to 2^bits - 1,
        numbers, an image, or, where nothing is left for the server, the logits themselves.

        Raises:
            TypeError: The network is elastic.
        """
        if isinstance(self.encoder, Encoder):
            return DeviceHalf(self.encoder), ServerHalf(self.encoder, self.decoder, self.tail)
        if isinstance(self.encoder, AsImage):
            return self.encoder, self.tail
        if isinstance(self.encoder, OnDevice):
            return self.tail, nn.Identity()
        raise TypeError("an elastic network has no halves: extract an architecture first")


class DeviceHalf(nn.Module):
    """The half of a network on the device: images [B, C, H, W] -> what is sent [B, c, h, w].

    Args:
        encoder: Encoder of the network.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.layers, self.bottleneck, self.wire = encoder.layers, encoder.bottleneck, _wire(encoder)
        self.train(encoder.training)

    def forward(self, x: Tensor) -> Tensor:
        return self.wire.codes(self.bottleneck(self.layers(x)))


class ServerHalf(nn.Module):
    """The half of a network on the server: what arrives [B, c, h, w] -> logits [B, classes].

    Args:
        encoder: Encoder of the network, which says what the numbers mean.
        decoder: Makes feature maps of them.
        tail: The rest of the network.
    """

    def __init__(self, encoder: Encoder, decoder: nn.Module, tail: nn.Module) -> None:
        super().__init__()
        self.wire, self.decoder, self.tail = _wire(encoder), decoder, tail
        self.train(encoder.training)

    def forward(self, codes: Tensor) -> Tensor:
        values = self.wire.values(codes).to(next(self.decoder.parameters()).dtype)  # a measurement may take half of it
        return self.tail(self.decoder(values))


def _wire(encoder: Encoder) -> Wire:
    assert isinstance(encoder.wire, Wire)
    return encoder.wire


def split_network(
    encoders: Mapping[Any, nn.Module],
    decoders: Mapping[Any, nn.Module],
    pieces: Sequence[nn.Module],
    starts: Mapping[Any, int],
) -> SplitNetwork:
    """Return the elastic network of all cuts.

    Args:
        encoders: What runs on the device, by cut.
        decoders: What makes feature maps on the server, by cut.
        pieces: The pieces of the whole network, with plain norms.
        starts: Number of the first piece behind each cut.
    """
    tail = ElasticTail([with_shared_norms(piece) for piece in pieces], Size(CUT, dict(starts)))
    return SplitNetwork(ElasticChoice(CUT, encoders), ElasticChoice(CUT, decoders), tail)
