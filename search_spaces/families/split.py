"""Split computing: a network between a weak device and a server, where it is cut, and what is sent.

Paper: Assine, da Silva and Valle, Slimmable Encoders for Flexible Split DNNs, arXiv 2306.12691: a light encoder, whose
width and bottleneck can be switched at run time, stands for the first part of a network.
Differs: the abstract says no sizes; encoder, decoder and quantizer are ours. Batch norms are calibrated for each
architecture instead of one for each width, and the rest of the network is trained together with the encoders. `input`
and `none` are members, too: the image is sent, and nothing is. This has nothing to do with `train.split`, which splits
a supernet into parts, nor with the splits of data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import isclose
from typing import TYPE_CHECKING, Any, Literal

from search_spaces.architecture import Choice, Decision
from search_spaces.errors import FieldError
from search_spaces.families.split_encoder import EncoderSizes, count_decoder, width_of
from search_spaces.inputs import images
from search_spaces.limits import MOST_CHANNELS, MOST_OF_IMAGES, check_fields, check_most
from search_spaces.places import Block, Place
from search_spaces.sizes import AnySize, Size, largest
from search_spaces.space import Space
from search_spaces.wire_bits import BITS, sent_bytes

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.traced_spaces.chain import Chain, Cut
    from search_spaces.traced_spaces.sources import OfImages

INPUT, NONE = "input", "none"
"""Choices of the cut at the ends: the image is sent, and nothing is."""
_IMAGE_BITS = 8
_UNITS = {
    "sent_bytes": "bytes",
    "device_params": "weights",
    "device_macs": "MACs",
    "server_params": "weights",
    "server_macs": "MACs",
}
_MOST = {"bottlenecks": MOST_CHANNELS, "encoder_width": MOST_CHANNELS, "encoder_depth": 64, "members": 256}
_MOST |= {"widths": 1, "bits": 32}
CallOwn = Callable[..., object]
Kind = Literal["slimmable", "ensemble"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What encoders are made of; see `split`."""

    widths: tuple[float, ...]
    bottlenecks: tuple[int, ...]
    bits: tuple[int, ...]
    encoder: Kind
    members: int
    encoder_width: int
    encoder_depth: int

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits: list[tuple[str, bool, str]] = [
            ("widths", _distinct(self.widths) and min(self.widths) > 0 and max(self.widths) <= 1, "from above 0 to 1"),
            ("bottlenecks", _distinct(self.bottlenecks) and min(self.bottlenecks) >= 1, "different numbers from 1"),
            ("bits", _distinct(self.bits) and set(self.bits) <= set(BITS), "among 1 to 8 and 32"),
            ("encoder", self.encoder in ("slimmable", "ensemble"), "slimmable or ensemble"),
            ("members", self.members >= 1, "at least 1"),
            ("encoder_width", self.encoder_width >= 1, "at least 1"),
            ("encoder_depth", self.encoder_depth >= 0, "0 or more"),
        ]
        check_fields(self, limits)
        if self.encoder == "ensemble":
            self._check_ensemble()

    def _check_ensemble(self) -> None:
        """Refuse widths that are no whole number of members."""
        if self.encoder_width % self.members:
            many = f"a multiple of the {self.members} members of the ensemble"
            raise FieldError("encoder_width", f"must be {many}, got {self.encoder_width}")
        if wrong := [one for one in self.widths if not isclose(one * self.members, round(one * self.members))]:
            raise FieldError("widths", f"must be whole numbers of {self.members} members, got {wrong[0]}")

    def encoder_for(self, cut: Cut, channels: int) -> EncoderSizes:
        """Return the sizes of the elastic encoder in front of a cut."""
        is_ensemble = self.encoder == "ensemble"
        return EncoderSizes(
            channels=channels,
            width=width_of("width", self.widths, self.encoder_width),
            members=width_of("width", self.widths, self.members) if is_ensemble else 0,
            halvings=cut.halvings,
            depth=self.encoder_depth,
            bottleneck=self.bottleneck,
            bits=Size("bits", {bits: bits for bits in self.bits}),
        )

    @property
    def bottleneck(self) -> Size:
        """Channels that are sent."""
        return Size("bottleneck", {channels: channels for channels in self.bottlenecks})


def _distinct(numbers: Sequence[float]) -> bool:
    return bool(numbers) and len(set(numbers)) == len(numbers)


@dataclass(frozen=True, kw_only=True)
class SplitNetworks:
    """The networks of one space.

    Args:
        chain: The network that is cut.
        sizes: What encoders are made of.
    """

    chain: Chain
    sizes: Sizes

    # ---- what can be chosen ---------------------------------------------------------------------------------------

    def decisions(self) -> tuple[Decision, ...]:
        """Return the cut, and what is chosen of the encoder where there is one."""
        names = tuple(sorted(self._cuts, key=self._macs_behind))
        cut = Decision("cut", (*names, INPUT, NONE))
        choices = {"width": self.sizes.widths, "bottleneck": self.sizes.bottlenecks, "bits": self.sizes.bits}
        return (cut, *(Decision(name, tuple(sorted(of)), "cut", names) for name, of in choices.items()))

    @cached_property
    def _cuts(self) -> dict[str, tuple[int, Cut]]:
        """The cuts by name, with the number of the first piece behind each."""
        return {cut.name: (number, cut) for number, cut in enumerate(self.chain.cuts, start=1)}

    def _macs_behind(self, name: str) -> int:
        """Return the multiply-accumulates of the largest network that is cut here."""
        number, cut = self._cuts[name]
        whole, side = self._encoder(name), self.chain.source.image_size
        own = whole.count_layers(side) + whole.count_bottleneck(cut.shape[1])
        own += count_decoder(max(self.sizes.bottlenecks), *cut.shape[:2])
        return own["macs"] + sum(costs["macs"] for costs in self.chain.costs[number:])

    def _encoder(self, cut: str, width: Choice | None = None, **sizes: int) -> EncoderSizes:
        """Return the sizes of an encoder at one width, the largest unless given."""
        elastic = self.sizes.encoder_for(self._cuts[cut][1], self.chain.source.channels)
        width = max(self.sizes.widths) if width is None else width

        def at(size: AnySize) -> int:
            return size if isinstance(size, int) else size.values[width]

        return replace(elastic, width=at(elastic.width), members=at(elastic.members), **sizes)

    # ---- the network and its blocks -------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        """Return the network of all architectures."""
        from torch import nn

        from search_spaces.networks.split_network import AsImage, Encoder, OnDevice, decoder, split_network

        starts = {**{name: number for name, (number, _) in self._cuts.items()}, INPUT: 0, NONE: 0}
        channels = self.chain.source.channels
        encoders = {name: Encoder.of(self.sizes.encoder_for(cut, channels)) for name, (_, cut) in self._cuts.items()}
        decoders = {name: decoder(self.sizes.bottleneck, cut.shape[0]) for name, (_, cut) in self._cuts.items()}
        whole: dict[Choice, nn.Module] = {INPUT: AsImage(), NONE: OnDevice()}
        nothing = {INPUT: nn.Identity(), NONE: nn.Identity()}
        return split_network({**encoders, **whole}, {**decoders, **nothing}, self.chain.pieces(), starts)

    def places(self) -> list[Place]:
        """Return the places of the encoder, the bottleneck, the decoder, and of each piece of the network."""
        own = [
            Place(("cut", "width"), self._layers_block),
            Place(("cut", "width", "bottleneck", "bits"), self._bottleneck_block),
            Place(("cut", "bottleneck"), self._decoder_block),
        ]
        return own + [Place(("cut",), partial(self._piece_block, number)) for number in range(len(self.chain.costs))]

    def _layers_block(self, cut: str, width: Choice) -> Block | None:
        side, channels = self.chain.source.image_size, self.chain.source.channels
        if cut == INPUT:
            counted = Counter(sent_bytes=sent_bytes(channels * side**2, _IMAGE_BITS))
            return Block("image", (channels, side, side), _nothing, lambda: counted)
        if cut == NONE:
            return None
        sizes = self._encoder(cut, width)
        groups = f" in {sizes.members}" if sizes.members else ""
        name = f"device encoder {channels}-{sizes.width}{groups} s{''.join(map(str, sizes.strides))}"
        build = partial(_plain, "encoder_layers", sizes)
        return Block(name, (channels, side, side), build, _on("device", sizes.count_layers(side)))

    def _bottleneck_block(self, cut: str, width: Choice, bottleneck: int, bits: int) -> Block | None:
        if cut not in self._cuts:
            return None
        sizes, side = self._encoder(cut, width, bottleneck=bottleneck, bits=bits), self._cuts[cut][1].shape[1]
        counted = _on("device", sizes.count_bottleneck(side), sent_bytes=sent_bytes(bottleneck * side**2, bits))
        name = f"device bottleneck {sizes.width}-{bottleneck} in {bits} bits"
        return Block(name, (largest(sizes.width), side, side), partial(_plain, "bottleneck", sizes), counted)

    def _decoder_block(self, cut: str, bottleneck: int) -> Block | None:
        if cut not in self._cuts:
            return None
        width, side, _ = self._cuts[cut][1].shape
        counted = _on("server", count_decoder(bottleneck, width, side))
        name = f"server decoder {bottleneck}-{width}"
        return Block(name, (bottleneck, side, side), partial(_plain, "decoder", bottleneck, width), counted)

    def _piece_block(self, number: int, cut: str) -> Block | None:
        if number < self._cuts.get(cut, (0, None))[0]:
            return None
        where, chain = "device" if cut == NONE else "server", self.chain
        name = f"{where} {chain.source.name} {self._span(number)}"
        shape = chain.shapes[number]
        return Block(name, shape, partial(chain.piece, number), _on(where, chain.costs[number]))

    def _span(self, number: int) -> str:
        """Return which piece of the network this is, in words."""
        names = list(self._cuts)
        before, behind = names[number - 1] if number else "", names[number] if number < len(names) else ""
        return " ".join(filter(None, (f"behind {before}" if before else "", f"up to {behind}" if behind else "")))


def _on(where: str, counted: Mapping[str, int], **more: int) -> Callable[[], Mapping[str, int]]:
    """Return costs that count for one half, too."""
    total = {**counted, **{f"{where}_{name}": value for name, value in counted.items()}, **more}
    return lambda: total


def _plain(name: str, *sizes: Any) -> nn.Module:
    """Return a part of the network whose sizes are fixed, as a plain module."""
    from search_spaces.networks import split_network
    from search_spaces.plain import plain

    return plain(lambda: getattr(split_network, name)(*sizes))


def _nothing() -> nn.Module:
    from torch import nn

    return nn.Identity()


# ---- the space ------------------------------------------------------------------------------------------------------


def split(
    *,
    model: str = "small_mobilenet_v3",
    model_options: Mapping[str, Any] | None = None,
    classes: int = 10,
    channels: int = 3,
    image_size: int = 32,
    cuts: Sequence[str] = (),
    widths: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    bottlenecks: Sequence[int] = (1, 2, 3, 6, 12, 24),
    bits: Sequence[int] = (2, 4, 8, 32),
    encoder: Kind = "slimmable",
    members: int = 4,
    encoder_width: int = 32,
    encoder_depth: int = 1,
    pretrained: bool = False,
    checkpoint: str | None = None,
    head: Literal["new", "kept"] = "new",
    call_own: CallOwn | None = None,
) -> Space:
    """Return the space of a network that is cut between a device and a server.

    The decision `cut` says behind which module; `input` sends the image, `none` sends nothing. Costs are those of both
    halves together, of each half, and the `sent_bytes` for one image.

    Args:
        model: The network: `small_mobilenet_v3` (its largest one), a name of timm, such as `resnet18`, or
            `package.module:function` that returns a module or a space, which is taken at its largest.
        model_options: Options of `small_mobilenet_v3`.
        classes: Number of outputs.
        channels: Channels of an image.
        image_size: Side of the square images in pixels.
        cuts: Modules behind which the network may be cut; by default the last block of each size of feature maps but
            the smallest. Everything must pass there: a cut beside a shortcut is refused.
        widths: Fractions of the channels of the encoder, or of the members of an ensemble.
        bottlenecks: Channels that are sent.
        bits: Bits of each number that is sent, from 1 to 8, or 32 for numbers as they are.
        encoder: `slimmable`, one network whose layers use their first channels; or `ensemble`, small networks beside
            each other of which the first ones run, so that costs are linear in their number.
        members: Members of an ensemble.
        encoder_width: Channels of each layer of the encoder.
        encoder_depth: Layers of the encoder behind those that halve the side.
        pretrained: Whether a training begins with the weights that timm has for the model.
        checkpoint: File of weights that a training begins with, as for the space `timm`.
        head: `new` for a classifier with fresh weights, `kept` for that of the weights.
        call_own: Calls `package.module:function`; a job gives it.
    """
    for field, value in (("classes", classes), ("channels", channels), ("image_size", image_size)):
        if not 1 <= value <= MOST_OF_IMAGES[field]:
            raise FieldError(field, f"must be from 1 to {MOST_OF_IMAGES[field]:,}, got {value}")
    sizes = Sizes(
        widths=tuple(widths),
        bottlenecks=tuple(bottlenecks),
        bits=tuple(bits),
        encoder=encoder,
        members=members,
        encoder_width=encoder_width,
        encoder_depth=encoder_depth,
    )
    from search_spaces.traced_spaces.chain import Chain
    from search_spaces.weights.weights_of_pieces import WeightsOfPieces

    facts = {"classes": classes, "channels": channels, "image_size": image_size}
    source = _source(model, model_options, facts, call_own)
    weights = WeightsOfPieces.of(source, pretrained=pretrained, checkpoint=checkpoint, head=head)
    networks = SplitNetworks(chain=Chain(source, tuple(cuts)), sizes=sizes)
    return Space(
        name="split",
        decisions=networks.decisions(),
        inputs=images(channels, image_size),
        build=networks.build,
        places=networks.places,
        units=_UNITS,
        weights=weights,
    )


def _source(
    model: str, options: Mapping[str, Any] | None, facts: Mapping[str, int], call_own: CallOwn | None
) -> OfImages:
    """Return the network that is cut."""
    from search_spaces.traced_spaces.sources import TimmModel
    from search_spaces.traced_spaces.space_networks import LARGEST, LargestOfSpace, OwnNetwork

    if model in LARGEST:
        return LargestOfSpace.of(model, options or {}, facts)
    if options:
        raise FieldError("model_options", f"must be left out for {model!r}, they are those of {', '.join(LARGEST)}")
    if ":" not in model:
        return TimmModel(model=model, **facts)
    if not callable(call_own):
        raise FieldError("model", f"must be {', '.join(LARGEST)} or a name of timm outside a job, got {model!r}")
    return OwnNetwork(model=model, call=call_own, **facts)
