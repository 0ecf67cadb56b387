"""8-bit ONNX by ONNX Runtime: static with calibration batches, dynamic where a network has no convolution.

Activations are unsigned with a range of their own, weights signed, one scale a channel (QDQ form). Processors without
the VNNI instructions add two products in 16 bits and may overflow: for them weights keep 7 bits.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.export.deployable import Deployable
from nas.export.onnx import runtime, write_onnx
from nas.hardware.examples import Example


def write_int8(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write the network with 8-bit weights and activations, and compare it with the exact one.

    Returns:
        How it was quantised, and the metric of the task on every split before and after, both by ONNX Runtime.

    Raises:
        ImportError: ONNX or its runtime is not installed.
        ValueError: There are no calibration batches, or the file does not give finite numbers for any batch size.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "exact.onnx"
        write_onnx(deployable, exact)
        record = _quantise(deployable, exact, path)
        for size in (1, 3):
            if not torch.isfinite(deployable.outputs(runtime(path), size)).all():
                raise ValueError(f"a batch of {size} does not give {size} rows of finite numbers")
        record |= _judged(deployable, exact, path)
    return {**record, "checked_with": f"onnxruntime {onnxruntime.__version__}"}


def _quantise(deployable: Deployable, exact: Path, path: Path) -> dict[str, Any]:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    examples = deployable.task.examples if deployable.task is not None else "examples"
    prepared = exact.with_name("prepared.onnx")
    weights = {"weights": "int8, one scale a channel"}
    with _quiet():
        quant_pre_process(exact, prepared)
        if not any(node.op_type == "Conv" for node in onnx.load(prepared).graph.node):
            quantize_dynamic(prepared, path, per_channel=True, weight_type=QuantType.QInt8)
            return {"method": "dynamic", "activations": "uint8, ranges of every batch", **weights}
        if deployable.calibration is None:
            raise ValueError(f"static quantisation needs calibration {examples}")
        reader = _Calibration(deployable.calibration(), deployable.input_names)
        narrow = not _has_vnni()
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(prepared, path, reader, per_channel=True, reduce_range=narrow, **types)
    record = {"method": "static", "activations": f"uint8, ranges of the calibration {examples}", **weights}
    return {**record, "reduced_range": narrow, f"calibration_{examples}": reader.seen}


class _Calibration:
    """Batches of inputs as ONNX Runtime wants them for calibration: one feed after the other, then None."""

    def __init__(self, batches: Iterable[Example], names: Sequence[str]) -> None:
        self.batches, self.names, self.seen = iter(batches), names, 0

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.batches, None)
        if batch is None:
            return None
        self.seen += len(batch[0])
        return {name: tensor.cpu().contiguous().numpy() for name, tensor in zip(self.names, batch, strict=True)}


class _File(nn.Module):
    """An ONNX file as a network that a task can evaluate."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.run = runtime(path)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.run(*inputs)


def _judged(deployable: Deployable, exact: Path, path: Path) -> dict[str, Any]:
    """Return the metric of the task before and after quantisation on every split."""
    task = deployable.task
    if task is None:
        return {}
    unit = "_percent" if task.metric.unit == "%" else ""
    before, after = _File(exact), _File(path)
    values = {
        name: {
            f"{when}{unit}": task.evaluate(file, batches()).value
            for when, file in (("before", before), ("after", after))
        }
        for name, batches in deployable.splits.items()
    }
    return {task.metric.name: values}


def _has_vnni() -> bool:
    """Return whether this processor multiplies 8-bit numbers without overflow; where it cannot be told, it is said not
    to.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags or "asimddp" in flags


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantiser, which advises on the root logger what is done already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
