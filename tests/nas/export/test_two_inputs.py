"""Networks with several inputs of any type are exported like those of images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.export import Deployable, write_exported_program, write_int8, write_onnx, write_safetensors
from nas.export.deployable import describe
from search_spaces import Decision, Space
from tests.nas.two_inputs import masked, sequences

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")


@pytest.fixture(scope="module")
def network() -> Deployable:
    space = Space(name="one", decisions=(Decision("it", (1,)),), network=lambda architecture: masked())
    architecture = space.architecture({"it": 1})
    return Deployable(network=masked(), space=space, architecture=architecture, examples=sequences(6))


@pytest.mark.parametrize("write", [write_onnx, write_exported_program, write_safetensors])
def test_every_exact_format_is_compared_over_all_inputs(network: Deployable, tmp_path: Path, write):
    record = write(network, tmp_path / "model")
    assert record["relative_difference"] <= record["tolerance"]
    assert record["batch_sizes"] == [1, 3, 8]


def test_inputs_of_an_onnx_file_have_names_and_any_batch_size(network: Deployable, tmp_path: Path):
    import onnxruntime

    write_onnx(network, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [taken.name for taken in session.get_inputs()] == network.input_names == ["input1", "input2"]
    for size in (1, 4, 9):
        inputs = sequences(size)
        feed = {name: tensor.numpy() for name, tensor in zip(network.input_names, inputs)}
        (found,) = session.run(["output"], feed)
        with torch.no_grad():
            assert np.allclose(found, network.network(*inputs).numpy(), atol=1e-5)


def test_eight_bits_of_two_inputs_give_finite_numbers(network: Deployable, tmp_path: Path):
    record = write_int8(network, tmp_path / "model.int8.onnx")
    assert record["method"] == "dynamic"
    assert "accuracy" not in record, "no task judges it"


def test_a_card_describes_inputs_by_name_shape_and_type(network: Deployable):
    described = describe(network.input_names, network.examples)
    assert json.loads(json.dumps(described)) == [
        {"name": "input1", "shape": ["batch", 5], "dtype": "int64"},
        {"name": "input2", "shape": ["batch"], "dtype": "int64"},
    ]


def test_inputs_of_different_lengths_are_refused(network: Deployable):
    first, second = sequences(6)
    with pytest.raises(ValueError, match=r"of the same N, at least 1, got \[6, 5\], \[5\]"):
        Deployable(
            network=network.network,
            space=network.space,
            architecture=network.architecture,
            examples=(first, second[:5]),
        )
