"""Spans of time and conditions of a measurement in one line."""

from collections.abc import Mapping, Sequence
from typing import Any

_RUN_ONNX = ("onnxruntime", "openvino", "tensorrt")
"""Backends that run the same file as is exported."""


def duration(seconds: float) -> str:
    """Return a span of time in words short enough for a line."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds) % 60} s" if minutes else f"{seconds:.0f} s"


def with_interval(value: float, ends: tuple[float, float] | None, digits: str, error_digits: str = "") -> str:
    """Return a value with its interval: ± where both ends are equally far in print, else [low, high]."""
    text, digits = f"{value:{digits}}", error_digits or digits
    if ends is None or not ends[1] > ends[0]:
        return text
    down, up = (f"{abs(end - value):{digits}}" for end in ends)
    return f"{text} ± {up}" if down == up else f"{text} [{ends[0]:{digits}}, {ends[1]:{digits}}]"


def other_runtime_line(conditions: Mapping[str, Any]) -> str | None:
    """Return a line if the latency is not that of the ONNX file, which an export makes by default; else None."""
    backend = str(conditions.get("backend") or "")
    if not backend or backend.startswith(_RUN_ONNX):
        return None
    return f"latency is that of {backend}, not of the exported ONNX file; by the file's: latency.backend=onnxruntime"


def shape_text(shape: Sequence[Any]) -> str:
    """Return the shape of an example, or those of its several inputs, in a few words."""
    if shape and isinstance(shape[0], list | tuple):
        return " and ".join(map(shape_text, shape))
    return " x ".join(map(str, shape))


def written_text(tokens: int) -> str:
    """Return how many tokens were written while a latency was measured."""
    return f"{tokens} token{'s' if tokens != 1 else ''} written"


def conditions_line(conditions: Mapping[str, Any]) -> str:
    """Return the conditions of a latency in one line."""
    threads = conditions.get("threads")
    parts = [
        conditions.get("device"),
        conditions.get("backend"),
        conditions.get("precision"),
        f"batch {conditions.get('batch_size', '?')}",
        f"{threads} thread{'s' if threads != 1 else ''}" if threads else None,
        f"input {shape_text(conditions['input_shape'])}" if conditions.get("input_shape") else None,
        written_text(conditions["decode"]) if conditions.get("decode") else None,
        conditions.get("simulated"),
    ]
    return ", ".join(str(part) for part in parts if part)
