"""Elastic quantizers: bits, granularity and symmetry of a layer's weights and inputs follow an architecture.

Paper: EQ-Net, arXiv 2308.07650, section 3: one bank of scales and offsets for every layer, weights are shared.
Differs: ranges are fitted to the first tensors that a layer sees. Inputs of layers behind it are then rounded already,
with the bits of the first architecture, which are the highest where training begins with progressive guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic.fake_quantize import Levels, fitted, is_signed, rounded
from search_spaces.elastic.layer import Elastic
from search_spaces.sizes import AnySize, Size, resolve_number

Form = tuple[int, int, int]
"""Bits, whether every channel has a scale (1 or 0), and whether there are offsets (1 or 0)."""
Kept = Callable[[Tensor, int], Tensor]
"""Numbers [O] of all output channels, and how many are active -> those of the active ones."""


def _first(vector: Tensor, channels: int) -> Tensor:
    return vector[:channels]


def _numbers(size: AnySize) -> list[int]:
    return sorted(set(size.values.values())) if isinstance(size, Size) else [size]


def _said_by_first(tensor: Tensor) -> None:
    """Let all processes that train together have a tensor of the first one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.broadcast(tensor, 0)


class Rounding(nn.Module):
    """One fixed rounding of a tensor: what a bank becomes in the plain network of an architecture.

    Its state dict holds the bits, and whether numbers below 0 are rounded to levels below 0.

    Args:
        bits: Bits of a number.
        channels: Output channels that have scales of their own; None for one scale of the whole tensor.
        has_offset: Whether an offset is added.
        signed: Whether levels are below and above 0; None where the first tensor says it.
    """

    form: Tensor

    def __init__(self, bits: int, *, channels: int | None = None, has_offset: bool = False, signed: bool | None = None):
        super().__init__()
        self.bits, self.signed = bits, signed
        shape = () if channels is None else (channels,)
        self.scale = nn.Parameter(torch.zeros(shape))  # 0 is no scale: it is not fitted yet
        self.offset = nn.Parameter(torch.zeros(shape)) if has_offset else None
        self.register_buffer("form", torch.tensor([bits, 1 if signed in (None, True) else 0]))
        self._levels: Levels | None = None

    def reset_parameters(self) -> None:
        """Forget the range: it is fitted to the next tensor."""
        with torch.no_grad():
            for tensor in (self.scale, self.offset):
                if tensor is not None:
                    tensor.zero_()
            self.form.copy_(torch.tensor([self.bits, 1 if self.signed in (None, True) else 0]))
        self._levels = None

    def forward(self, x: Tensor) -> Tensor:
        """Return a rounded tensor."""
        return rounded(x, self.scale, self.offset, self._levels or self._begun(x))

    @torch.no_grad()
    def _begun(self, x: Tensor) -> Levels:
        """Return the levels; a range that is not known yet is fitted to a tensor."""
        if x.is_meta:
            return Levels.of(self.bits, signed=True)
        if not self._read():
            signed = is_signed(x) if self.signed is None else self.signed
            self.form[1] = int(signed)
            levels, channels = Levels.of(self.bits, signed=signed), self.scale.dim() > 0
            scale, offset = fitted(x, levels, per_channel=channels, symmetric=self.offset is None)
            self.scale.copy_(scale)
            if self.offset is not None:
                self.offset.copy_(offset)
            self._read()
        assert self._levels is not None
        return self._levels

    def _read(self) -> bool:
        """Take the levels that belong to the range; return whether there is one."""
        if self.scale.is_meta or not bool((self.scale != 0).any()):
            self._levels = None
            return False
        self._levels = Levels.of(self.bits, signed=bool(self.form[1]))
        return True

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        bits = state_dict.get(f"{prefix}form")
        if bits is not None and int(bits[0]) != self.bits:
            args[-1].append(f"{prefix.rstrip('.')}: the weights are of {int(bits[0])} bits, the network of {self.bits}")
            return
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._read()

    def extra_repr(self) -> str:
        return f"{self.bits} bits, {'per channel' if self.scale.dim() else 'per tensor'}"


class Bank(Elastic):
    """The ranges of one tensor: a scale for each of its bits, granularities and symmetries, and an offset for some.

    The parameters of forms that an architecture does not use have no gradient.

    Args:
        bits: Bits of a number.
        channels: Output channels; 0 where they cannot have scales of their own.
        per_channel: 1 where every output channel has a scale, else 0.
        has_offset: 1 where an offset is added, else 0.
        signed: Whether levels are below and above 0; None where the first tensor says it.
    """

    def __init__(
        self,
        bits: AnySize,
        *,
        channels: int = 0,
        per_channel: AnySize = 0,
        has_offset: AnySize = 0,
        signed: bool | None = None,
    ) -> None:
        super().__init__()
        self.bits, self.per_channel, self.has_offset = bits, per_channel, has_offset
        self.channels, self.signed = channels, signed
        forms = [(b, c, o) for b in _numbers(bits) for c in _numbers(per_channel) for o in _numbers(has_offset)]
        shapes = {form: (channels,) if form[1] else () for form in forms}
        self.scales = nn.ParameterDict({_key(one): nn.Parameter(torch.zeros(shapes[one])) for one in forms})
        self.offsets = nn.ParameterDict({_key(one): nn.Parameter(torch.zeros(shapes[one])) for one in forms if one[2]})
        # no buffer, which whoever leaves a supernet as it was sets back; -1 until the first tensor says it
        self.below_zero = nn.Parameter(torch.tensor(-1.0), requires_grad=False)
        self._is_signed: bool | None = None
        self.forms, self.form = forms, forms[-1]

    @property
    def is_fixed(self) -> bool:
        return len(self.forms) == 1

    def activate(self, setting: Setting) -> None:
        bits, channel, offset = (
            resolve_number(size, setting) for size in (self.bits, self.per_channel, self.has_offset)
        )
        if bits is not None and channel is not None and offset is not None:
            self.form = (bits, channel, offset)

    def forward(self, x: Tensor, whole: Callable[[], Tensor] | None = None, kept: Kept = _first) -> Tensor:
        """Return a rounded tensor.

        Args:
            x: Tensor; its first dimension is that of the active output channels where these have scales.
            whole: Gives the tensor of all channels, which ranges are fitted to; None where `x` is all of it.
            kept: Picks what belongs to the active output channels.
        """
        signed = self._is_signed
        if signed is None:
            signed = self._begun(x if whole is None else whole())
        (bits, channel, _), key = self.form, _key(self.form)
        scale, offset = self.scales[key], self.offsets.get(key)
        if channel:
            scale, offset = kept(scale, len(x)), None if offset is None else kept(offset, len(x))
        return rounded(x, scale, offset, Levels.of(bits, signed=signed))

    @torch.no_grad()
    def _begun(self, x: Tensor) -> bool:
        """Return whether levels are below 0, too; ranges that are not known yet are fitted to a tensor."""
        if x.is_meta:
            return True
        if float(self.below_zero) < 0:
            signed = is_signed(x) if self.signed is None else self.signed
            self.below_zero.fill_(float(signed))
            _said_by_first(self.below_zero.data)
            for form in self.forms:
                self._fit(x, form, signed=bool(self.below_zero))
        self._is_signed = bool(self.below_zero)
        return self._is_signed

    def _fit(self, x: Tensor, form: Form, *, signed: bool) -> None:
        bits, channel, has_offset = form
        found = fitted(x, Levels.of(bits, signed=signed), per_channel=bool(channel), symmetric=not has_offset)
        for held, value in zip((self.scales, self.offsets), found):
            if (key := _key(form)) in held:
                held[key].copy_(value)
                _said_by_first(held[key].data)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._is_signed = None

    def vectors(self) -> list[Tensor]:
        """Return what has one number [O] for each output channel: who changes their order changes that of these."""
        return [one for held in (self.scales, self.offsets) for one in held.values() if one.dim() > 0]

    def extract(self) -> Rounding:
        return self.extract_kept(self.channels, _first)

    @torch.no_grad()
    def extract_kept(self, channels: int, kept: Kept) -> Rounding:
        """Return the fixed rounding of the active form, for so many active output channels."""
        (bits, channel, has_offset), key = self.form, _key(self.form)
        signed = self.signed if _value(self.below_zero) < 0 else bool(self.below_zero)
        like = self.scales[key]
        with like.device:
            rounding = Rounding(
                bits, channels=channels if channel else None, has_offset=bool(has_offset), signed=self.signed
            )
        rounding.form[1] = int(signed in (None, True))
        for ours, theirs in ((self.scales, rounding.scale), (self.offsets, rounding.offset)):
            if theirs is not None:
                theirs.copy_(kept(ours[key], channels) if channel else ours[key])
        rounding._read()
        return rounding.train(self.training)


def _value(number: Tensor) -> float:
    """Return a number, or -1 where it has no value."""
    return -1.0 if number.is_meta else float(number)


def _key(form: Form) -> str:
    bits, channel, offset = form
    return f"bits{bits}{'_channel' if channel else ''}{'_offset' if offset else ''}"


class Quantizer(nn.Module):
    """The roundings of a layer's weight and input, elastic or fixed.

    Args:
        weight: Rounds the weight.
        input: Rounds the input.
    """

    def __init__(self, weight: Bank | Rounding, input: Bank | Rounding) -> None:
        super().__init__()
        self.weight, self.input = weight, input

    def forward(
        self, x: Tensor, weight: Tensor, whole: Callable[[], Tensor] | None = None, kept: Kept = _first
    ) -> tuple[Tensor, Tensor]:
        """Return input [B, ...] and weight [O, ...], rounded; see `Bank.forward`."""
        rounded = self.weight(weight, whole, kept) if isinstance(self.weight, Bank) else self.weight(weight)
        return self.input(x), rounded

    def banks(self) -> list[Bank]:
        """Return what follows architectures."""
        return [one for one in (self.weight, self.input) if isinstance(one, Bank)]

    def vectors(self) -> list[Tensor]:
        """Return what has one number [O] for each output channel."""
        return [] if isinstance(self.weight, Rounding) else self.weight.vectors()

    def fixed(self, channels: int, kept: Kept = _first) -> Quantizer:
        """Return the roundings of the active setting, for so many active output channels."""
        assert isinstance(self.weight, Bank)
        assert isinstance(self.input, Bank)
        made = Quantizer(self.weight.extract_kept(channels, kept), self.input.extract())
        return made.train(self.training)
