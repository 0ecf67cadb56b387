"""The surroundings of a process: its output encoding, the current folder, the variables of torchrun."""

import io
import os
import sys
from collections.abc import Mapping

_OF_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def print_anything() -> None:
    """Print a question mark for a character that the terminal or the locale does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="replace")


def mistakes(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the reasons why no command could work here, one line each; empty where commands can.

    Args:
        environment: The variables of this process.
    """
    try:
        os.getcwd()
    except OSError:
        return ["the current folder was deleted or cannot be read; go to another one, for example with: cd ~"]
    return _of_torchrun(environment)


def _of_torchrun(environment: Mapping[str, str]) -> list[str]:
    given = {name: environment[name] for name in _OF_TORCHRUN if name in environment}
    for name in _NUMBERS:
        if name in given and not (given[name].isascii() and given[name].isdigit()):
            return [f"{name}: must be a number, as torchrun sets it, got {given[name]!r}; unset it to use one process"]
    world_size, rank = int(given.get("WORLD_SIZE", "1")), int(given.get("RANK", "0"))
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in given]
    if world_size > 1 and missing:
        advice = "start all processes with torchrun, or unset WORLD_SIZE to use one process"
        verb = "is" if len(missing) == 1 else "are"
        return [f"WORLD_SIZE is {world_size}, but {', '.join(missing)} {verb} not set: {advice}"]
    if rank >= max(1, world_size):
        return [f"RANK: must be less than WORLD_SIZE, which is {world_size}, got {rank}; unset both to use one process"]
    return []
