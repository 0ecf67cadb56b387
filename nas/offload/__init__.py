"""Networks in two halves: the link between device and server, what passes over it, and which member runs when."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from nas.offload.halved import HalfTimes, Halved, measured_halves
    from nas.offload.link import Link
    from nas.offload.message import Message
    from nas.offload.policy import Member, choose
    from nas.offload.sockets import Device, serve

__all__ = ["Device", "HalfTimes", "Halved", "Link", "Member", "Message", "choose", "measured_halves", "serve"]

__getattr__ = lazy(__name__, __file__)
