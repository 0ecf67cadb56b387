"""The depthwise convolution without a compilation per shape: exact on a CPU by Triton's interpreter, and on a GPU."""

import inspect
import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.search_spaces.kernels.cases import worst_errors

pytest.importorskip("triton")

MOST = 8.0
"""Largest error, in roundings of the sum of the magnitudes of what is summed up."""


@pytest.fixture(scope="module")
def interpreted() -> dict[str, float]:
    command = [sys.executable, "-m", "tests.search_spaces.kernels.cases", "200"]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.integration
@pytest.mark.parametrize("cases", ["named", "drawn"])
def test_output_and_gradients_are_those_of_float64(interpreted, cases):
    assert 0 < interpreted[cases] < MOST


@pytest.mark.integration
def test_blocks_change_no_bit_of_a_result(interpreted):
    assert interpreted["same"] is True


def test_programs_are_compiled_for_no_channels_and_no_sizes():
    from search_spaces.kernels import programs

    compiled = {"KERNEL", "STRIDE", "VECTOR", "HAS_BIAS", "TOGETHER", "BLOCK_PIXELS", "BLOCK_CHANNELS", "BLOCK_TAPS"}
    tensors = {"x", "y", "weight", "bias", "gradient", "out", "parts"}
    for program in (programs.output, programs.input_gradient, programs.weight_gradient):
        looked_at = {one.name for one in program.params if one.is_constexpr or not one.do_not_specialize}
        assert {one.name for one in program.params if one.is_constexpr} <= compiled
        assert looked_at <= compiled | tensors


def test_programs_compile_for_a_card_and_read_16_bytes_at_once():
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from search_spaces.kernels import programs

    if "constexprs" not in inspect.signature(ASTSource).parameters:
        pytest.skip("this version of Triton is asked in another way")
    sizes = {"KERNEL": 5, "STRIDE": 2, "VECTOR": 8, "BLOCK_CHANNELS": 32}
    pixels = {**sizes, "BLOCK_PIXELS": 64}
    types = dict.fromkeys(("x", "y", "gradient", "out"), "*bf16") | dict.fromkeys(("weight", "bias", "parts"), "*fp32")
    for program, constants in (
        (programs.output, {**pixels, "HAS_BIAS": False}),
        (programs.input_gradient, pixels),
        (programs.weight_gradient, {**sizes, "BLOCK_TAPS": 32, "TOGETHER": 4}),
    ):
        signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in program.arg_names}
        aligned = {(place,): [["tt.divisibility", 16]] for place, name in enumerate(signature) if name in types}
        source = ASTSource(program, signature, constexprs=constants, attrs=aligned)
        made = compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4, "enable_fp_fusion": True})
        assert "ld.global.v4.b32" in made.asm["ptx"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_computes_what_float64_gives():
    errors = worst_errors(torch.device("cuda"), 200)
    assert all(0 < error < MOST for error in errors.values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_new_shapes_compile_nothing_on_a_gpu():
    from search_spaces.kernels import programs
    from search_spaces.kernels.conv2d import conv2d

    def step(channels: int, size: int, batch: int) -> None:
        x = torch.randn(batch, channels, size, size + 1, device="cuda", dtype=torch.bfloat16)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        weight = nn.Parameter(torch.randn(channels, 1, 5, 5, device="cuda"))
        with torch.autocast("cuda", torch.bfloat16):
            conv2d(x, weight, None, 2, 2, 1, channels).sum().backward()

    def compiled() -> int:
        all_programs = (programs.output, programs.input_gradient, programs.weight_gradient)
        return sum(len(program.device_caches[torch.cuda.current_device()][0]) for program in all_programs)

    step(64, 14, 32)
    before = compiled()
    assert before >= 3
    for channels, size, batch in ((72, 14, 32), (8, 7, 1), (128, 28, 3), (240, 1, 16), (16, 16, 16)):
        step(channels, size, batch)
    assert compiled() == before
