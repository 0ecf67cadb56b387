"""Sizes of the blocks that a device computes depthwise convolutions in: a few are timed once and the best is kept.

The choice belongs to a device and to a pass, kernel size, stride and types of numbers, not to a shape. It is kept in
memory and in a file of the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`), so that later processes time
nothing. It never changes a result, see `search_spaces.kernels.programs`.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch


class Blocks(NamedTuple):
    """What one program computes: so many pixels and channels, by so many warps of 32 threads."""

    pixels: int
    channels: int
    warps: int


PIXELWISE = (Blocks(64, 32, 4), Blocks(32, 64, 4), Blocks(16, 32, 2))
"""What is tried where each pixel is a result; the first where nothing can be timed."""
SUMMED = (Blocks(4, 32, 4), Blocks(4, 64, 4), Blocks(4, 32, 2))
"""What is tried where pixels are summed up; always four at a time, because their number decides the order of sums."""
_TRIALS = 5

_chosen: dict[tuple[str, str], Blocks] = {}


def best_blocks(
    name: str, candidates: tuple[Blocks, ...], device: torch.device, run: Callable[[Blocks], None]
) -> Blocks:
    """Return the blocks that `run` is fastest with on a device; timed once for a name.

    Args:
        name: Pass, kernel size, stride and types of numbers.
        candidates: Blocks to try.
        device: Device of the tensors; the first candidate is taken where it is not CUDA.
        run: Computes the same result with any of the candidates.
    """
    if device.type != "cuda":
        return candidates[0]
    key = (torch.cuda.get_device_name(device), name)
    if key not in _chosen:
        _chosen.update(_kept())
    if _chosen.get(key) not in candidates:
        if torch.cuda.is_current_stream_capturing():  # nothing can be timed inside a graph
            return candidates[0]
        _chosen[key] = min(candidates, key=lambda blocks: _milliseconds(run, blocks))
        _keep()
    return _chosen[key]


def _milliseconds(run: Callable[[Blocks], None], blocks: Blocks) -> float:
    """Return the shortest of a few runs after a first one, which compiles."""
    run(blocks)
    times = []
    for _ in range(_TRIALS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run(blocks)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return min(times)


def _file() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "espalier" / "depthwise_blocks.json"


def _kept() -> dict[tuple[str, str], Blocks]:
    """Return what the file says; nothing where there is none or it cannot be read."""
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
        return {
            (device, name): Blocks(*(int(size) for size in blocks))
            for device, choices in content.items()
            for name, blocks in choices.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError):  # RuntimeError: there is no home folder
        return {}


def _keep() -> None:
    """Write all choices, whole or not at all; a folder that cannot be written to only means timing again."""
    content: dict[str, dict[str, Blocks]] = {}
    for (device, name), blocks in sorted({**_kept(), **_chosen}.items()):
        content.setdefault(device, {})[name] = blocks
    try:
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as fresh:
            json.dump(content, fresh, indent=1)
        Path(fresh.name).replace(file)
    except (OSError, RuntimeError):
        return
