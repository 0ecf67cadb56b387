"""Models from files, made ready to run here and on other machines: ONNX Runtime, and PyTorch for exported programs.

Only the standard library is imported before a runtime is asked for.
"""

from __future__ import annotations

import io
import json
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
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


EXAMPLE = "example of "
"""Prefix of the name of an input in the metadata of an ONNX file, which hold whole numbers to call it with."""


class NoRuntime(Exception):
    """A runtime is not installed; the message says how to install it."""


def open_onnx(model: bytes, threads: int, *, cuda: bool = False) -> Network:
    """Open an ONNX model in ONNX Runtime, on random numbers of the shapes that it states and its whole numbers."""
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
    held = session.get_modelmeta().custom_metadata_map
    for taken in session.get_inputs():
        numbers = _numbers(taken, held.get(EXAMPLE + taken.name))
        binding.bind_ortvalue_input(taken.name, onnxruntime.OrtValue.ortvalue_from_numpy(numbers, place, 0))
    for given in session.get_outputs():
        binding.bind_output(given.name, place)
    run_options = onnxruntime.RunOptions()

    def step() -> None:
        session.run_with_iobinding(binding, run_options)

    def finite() -> bool:
        network.memory_mb = max(0.0, resident_mb() - before)
        return all(numpy.isfinite(one.astype("float32")).all() for one in binding.copy_outputs_to_cpu())

    def cancel() -> None:
        run_options.terminate = True

    network = Network(step, finite, wait=binding.synchronize_outputs, cancel=cancel)
    network.clock = time.perf_counter if cuda else None
    return network


def _numbers(taken: Any, held: str | None) -> Any:
    """Return what an input of an ONNX model is given, as an array of NumPy."""
    import numpy

    kind = _NUMPY_TYPES[taken.type]
    if kind.startswith("float"):
        return numpy.random.default_rng(0).standard_normal(taken.shape).astype(kind)
    return numpy.zeros(taken.shape, kind) if held is None else numpy.array(json.loads(held), kind)


def open_exported_program(model: bytes, threads: int, *, cuda: bool = False) -> Network:
    """Open a `torch.export` program, on random numbers of the shapes it was exported with; whole numbers stay."""
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
        is_image = floating and numbers.dim() == 4
        inputs.append(numbers.contiguous(memory_format=torch.channels_last) if is_image else numbers)
    output: list[Any] = [None]

    def step() -> None:
        with torch.inference_mode():
            output[0] = module(*inputs)

    def finite() -> bool:
        network.memory_mb = max(0.0, resident_mb() - before)
        outputs = output[0] if isinstance(output[0], (tuple, list)) else output
        return all(bool(torch.isfinite(one).all()) for one in outputs)

    network = Network(step, finite)
    if cuda:
        network.wait, network.clock = torch.cuda.synchronize, time.perf_counter
    return network


OPENERS: dict[str, Callable[..., Network]] = {"onnxruntime": open_onnx, "torch": open_exported_program}
INSTALL = {"onnxruntime": "pip install onnxruntime", "torch": "pip install torch"}


def runtime_version(name: str) -> str:
    """Return a runtime with its version.

    Raises:
        NoRuntime: The runtime is not installed on this machine.
    """
    try:
        module: Any = __import__(name)
    except ImportError as error:
        raise NoRuntime(f"{name} is not installed for this Python: {INSTALL[name]}") from error
    return f"{name} {module.__version__}" + (" exported" if name == "torch" else "")


def usable_cores() -> int:
    """Return the cores that this process may use, by its affinity and the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return max(1, min(cores, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        return cores


def resident_mb() -> float:
    """Return the memory of this process in megabytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError):
        return 0.0


def processor_name() -> str:
    """Return the name by which people call the processor of this machine."""
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
