"""The bits that numbers between the two halves of a network are sent with."""

from math import ceil

STEPS = {1: 1.5958, 2: 0.9957, 3: 0.5860, 4: 0.3352, 5: 0.1881, 6: 0.1041, 7: 0.0569, 8: 0.0308}
"""Bits of a number -> distance between two levels, in standard deviations."""
WHOLE_BITS = 32
"""Bits of a number that is sent as it is."""
BITS = (*STEPS, WHOLE_BITS)
"""Bits that a number can be sent with."""


def sent_bytes(numbers: int, bits: int) -> int:
    """Return the bytes of so many numbers of so many bits, packed without gaps."""
    return ceil(numbers * bits / 8)
