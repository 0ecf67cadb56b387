"""Which member of a front runs, given the link of the moment: one search, many situations."""

from collections.abc import Sequence
from dataclasses import dataclass

from nas.offload.link import Link
from search_spaces.errors import FieldError


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network in two halves, as the choice at run time sees it.

    Args:
        key: Its name.
        quality: Its quality; more is better.
        sent_bytes: Bytes that are sent for one input; 0 where all of it runs on the device.
        device_ms: Measured time of its half on the device.
        server_ms: Measured time of its half on the server.
    """

    key: str
    quality: float
    sent_bytes: int
    device_ms: float
    server_ms: float = 0.0

    def ms(self, link: Link) -> float:
        """Return the time in ms from an input to its answer."""
        return self.device_ms + link.ms(self.sent_bytes) + self.server_ms


def choose(
    members: Sequence[Member],
    link: Link,
    *,
    deadline_ms: float | None = None,
    most_bytes: float | None = None,
    most_device_ms: float | None = None,
) -> Member:
    """Return the best member within the limits; where none is, the one that comes nearest to them.

    Of equal quality, the faster one is taken, and of equal speed the one that sends less. Nearest is the member whose
    worst excess over a limit, relative to the limit, is least.

    Args:
        members: Members of a front.
        link: The link of the moment.
        deadline_ms: Longest time from an input to its answer; None for any.
        most_bytes: Most bytes that are sent for one input; None for any.
        most_device_ms: Longest time on the device, as its battery allows; None for any.

    Raises:
        FieldError: There are no members, or a limit is not above 0.
    """
    if not members:
        raise FieldError("members", "must be one or more, got none")
    limits = {"deadline_ms": deadline_ms, "most_bytes": most_bytes, "most_device_ms": most_device_ms}
    for name, limit in limits.items():
        if limit is not None and not (limit >= 0 if name == "most_bytes" else limit > 0):
            raise FieldError(name, f"must be more than 0, got {limit:g}")

    def excess(member: Member) -> float:
        takes = {
            "deadline_ms": member.ms(link),
            "most_bytes": float(member.sent_bytes),
            "most_device_ms": member.device_ms,
        }
        over = [(takes[name] - limit) / max(limit, 1e-12) for name, limit in limits.items() if limit is not None]
        return max(0.0, *over) if over else 0.0

    return min(members, key=lambda one: (excess(one), -one.quality, one.ms(link), one.sent_bytes))
