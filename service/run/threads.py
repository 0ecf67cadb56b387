"""How the threads of one operation wait for each other."""

import os

_SPINS = "2000"


def wait_briefly() -> None:
    """Let threads that wait for each other sleep after some microseconds; to be called before torch is imported.

    GNU OpenMP, which torch brings along on Linux, by default spins for milliseconds where there seem to be enough
    cores. While another program takes one of them, training is then tens of times slower than its share of time; on a
    machine with nothing else to do the spinning gives nothing. A choice of the user's own stands.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
