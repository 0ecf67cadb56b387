"""Models of files made ready to run, here and on other machines: ONNX Runtime, and PyTorch for exported programs.

Only the standard library is imported before a runtime is asked for.
"""

from __future__ import annotations

import io
import os
import platform
import time
from typing import Any, Callable  # noqa: UP035  # other machines have older Pythons

from nas.hardware.timing import Network

_NUMPY_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}


class NoRuntime(Exception):
    """A runtime is not installed; says how to install it."""


def open_onnx(model: bytes, threads: int, *, cuda: bool = False) -> Network:
    """An ONNX model in ONNX Runtime, on random numbers of the shapes that it states; whole numbers are zero."""
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    before = resident_mb()
    provider = "CUDAExecutionProvider" if cuda else "CPUExecutionProvider"
    session = onnxruntime.InferenceSession(model, options, providers=[provider])
    if provider not in session.get_providers():
        raise RuntimeError(f"ONNX Runtime cannot use {provider} here")
    place = "cuda" if cuda else "cpu"
    binding = session.io_binding()
    for taken in session.get_inputs():
        kind = _NUMPY_TYPES[taken.type]
        if kind.startswith("float"):
            numbers = numpy.random.default_rng(0).standard_normal(taken.shape).astype(kind)
        else:
            numbers = numpy.zeros(taken.shape, kind)
        binding.bind_ortvalue_input(taken.name, onnxruntime.OrtValue.ortvalue_from_numpy(numbers, place, 0))
    binding.bind_output(session.get_outputs()[0].name, place)
    run_options = onnxruntime.RunOptions()

    def step() -> None:
        session.run_with_iobinding(binding, run_options)

    def finite() -> bool:
        network.memory_mb = max(0.0, resident_mb() - before)
        return bool(numpy.isfinite(binding.copy_outputs_to_cpu()[0].astype("float32")).all())

    def cancel() -> None:
        run_options.terminate = True

    network = Network(step, finite, wait=binding.synchronize_outputs, cancel=cancel)
    network.clock = time.perf_counter if cuda else None
    return network


def open_exported_program(model: bytes, threads: int, *, cuda: bool = False) -> Network:
    """A `torch.export` program, on random numbers of the shapes it was exported with; whole numbers stay."""
    import torch

    torch.set_num_threads(threads)
    before = resident_mb()
    program = torch.export.load(io.BytesIO(model))
    module: Any = program.module()
    place = "cuda" if cuda else "cpu"
    module.to(place)
    inputs = []
    for example in program.example_inputs[0]:
        floating = example.is_floating_point()
        numbers = torch.randn(example.shape, device=place).to(example.dtype) if floating else example.to(place)
        inputs.append(numbers.contiguous(memory_format=torch.channels_last) if numbers.dim() == 4 else numbers)
    output: list[Any] = [None]

    def step() -> None:
        with torch.inference_mode():
            output[0] = module(*inputs)

    def finite() -> bool:
        network.memory_mb = max(0.0, resident_mb() - before)
        return bool(torch.isfinite(output[0]).all())

    network = Network(step, finite)
    if cuda:
        network.wait, network.clock = torch.cuda.synchronize, time.perf_counter
    return network


OPENERS: dict[str, Callable[..., Network]] = {"onnxruntime": open_onnx, "torch": open_exported_program}
INSTALL = {"onnxruntime": "pip install onnxruntime", "torch": "pip install torch"}


def runtime_version(name: str) -> str:
    """A runtime with its version.

    Raises:
        NoRuntime: It is not installed on this machine.
    """
    try:
        module: Any = __import__(name)
    except ImportError as error:
        raise NoRuntime(f"{name} is not installed for this Python: {INSTALL[name]}") from error
    return f"{name} {module.__version__}" + (" exported" if name == "torch" else "")


def resident_mb() -> float:
    """Memory of this process in megabytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError):
        return 0.0


def processor_name() -> str:
    """What a person calls the processor of this machine."""
    lines = []
    for path in ("/proc/cpuinfo", "/proc/device-tree/model"):
        try:
            with open(path, errors="replace") as file:
                text = file.read().strip("\0\n")
        except OSError:
            continue
        lines += [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
        if path.endswith("model") and text:
            lines.append(text)
    return lines[0] if lines else platform.processor() or platform.machine()
