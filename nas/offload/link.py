"""The link between a device and a server, as a model of two numbers."""

from dataclasses import dataclass

from search_spaces.limits import check_fields, check_most

SENT = "sent_bytes"
"""Cost of spaces whose networks have two halves: the bytes that one sends the other for one input."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A link whose time is that of the bytes and of one round trip.

    Args:
        rate_mbit_s: What it carries to the server, in 1e6 bits a second.
        round_trip_ms: Time in ms of a message without content and its answer.
    """

    rate_mbit_s: float
    round_trip_ms: float = 0.0

    def __post_init__(self) -> None:
        check_most(self, {"rate_mbit_s": 1e9, "round_trip_ms": 1e9})
        limits: list[tuple[str, bool, str]] = [
            ("rate_mbit_s", self.rate_mbit_s > 0, "more than 0"),
            ("round_trip_ms", self.round_trip_ms >= 0, "0 or more"),
        ]
        check_fields(self, limits)

    def ms(self, sent: float) -> float:
        """Return the time in ms of so many bytes; none where nothing is sent."""
        return 0.0 if sent == 0 else self.round_trip_ms + 8 * sent / (1e3 * self.rate_mbit_s)
