"""8-bit ONNX by ONNX Runtime: static with calibration images, dynamic where a network is all linear.

Activations are unsigned with a range of their own, weights signed, one scale a channel (QDQ form). Processors without
the VNNI instructions add two products in 16 bits and may overflow: for them weights keep 7 bits.
"""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.export.deployable import Deployable
from nas.export.onnx import runtime, write_onnx


def write_int8(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write the network with 8-bit weights and activations, and compare its accuracy with that in float32.

    Returns:
        How it was quantised, and top-1 percent before and after on every split, both by ONNX Runtime.

    Raises:
        ImportError: ONNX or its runtime is not installed.
        ValueError: There are no calibration images, or the file does not give finite logits of any batch size.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "exact.onnx"
        write_onnx(deployable, exact)
        record = _quantise(deployable, exact, path)
        before, after = runtime(exact), runtime(path)
        for size in (1, 3):
            logits = after(deployable.examples[:1].expand(size, -1, -1, -1))
            if logits.shape != (size, deployable.classes) or not torch.isfinite(logits).all():
                raise ValueError(f"a batch of {size} does not give {size} rows of finite logits")
        accuracy = {name: _before_and_after(before, after, batches()) for name, batches in deployable.splits.items()}
    return {**record, "checked_with": f"onnxruntime {onnxruntime.__version__}", "accuracy": accuracy}


def _quantise(deployable: Deployable, exact: Path, path: Path) -> dict[str, Any]:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = exact.with_name("prepared.onnx")
    weights = {"weights": "int8, one scale a channel"}
    with _quiet():
        quant_pre_process(exact, prepared)
        if not any(node.op_type == "Conv" for node in onnx.load(prepared).graph.node):
            quantize_dynamic(prepared, path, per_channel=True, weight_type=QuantType.QInt8)
            return {"method": "dynamic", "activations": "uint8, ranges of every batch", **weights}
        if deployable.calibration is None:
            raise ValueError("static quantisation needs calibration images")
        reader = _Calibration(deployable.calibration(), _input_name(exact))
        narrow = not _has_vnni()
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(prepared, path, reader, per_channel=True, reduce_range=narrow, **types)
    record = {"method": "static", "activations": "uint8, ranges of the calibration images", **weights}
    return {**record, "reduced_range": narrow, "calibration_images": reader.images}


class _Calibration:
    """Images as ONNX Runtime wants them for calibration: one feed after the other, then None."""

    def __init__(self, batches: Iterable[Tensor], name: str) -> None:
        self.batches, self.name, self.images = iter(batches), name, 0

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.batches, None)
        if batch is None:
            return None
        self.images += len(batch)
        return {self.name: batch.cpu().contiguous().numpy()}


def _input_name(path: Path) -> str:
    """The name of the one input of an ONNX file."""
    import onnx

    return onnx.load(path, load_external_data=False).graph.input[0].name


def _before_and_after(
    before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, float]:
    """Top-1 percent of two networks on the same images."""
    seen, right = 0, [0, 0]
    for images, labels in batches:
        on_cpu, truth = images.cpu(), labels.cpu()
        seen += len(truth)
        for i, run in enumerate((before, after)):
            right[i] += int((run(on_cpu).argmax(1) == truth).sum())
    return {"before_percent": 100 * right[0] / max(1, seen), "after_percent": 100 * right[1] / max(1, seen)}


def _has_vnni() -> bool:
    """Whether this processor multiplies 8-bit numbers without overflow; where it cannot be told, it is said not to."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags or "asimddp" in flags


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises on the root logger what is done already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
