"""Networks of tokens are exported for any batch and any length."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.export import Deployable, write_exported_program, write_onnx
from nas.export.deployable import describe
from search_spaces import Space
from search_spaces.families.autoformer import small_autoformer
from search_spaces.families.bert import small_bert
from search_spaces.families.hat import small_hat
from search_spaces.families.language import language

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")

SIZES = {"width": 16, "embeds": (16, 24), "hidden": (8, 16), "heads": (1, 2), "encoder_layers": 2, "depths": (1, 2)}
SPACES = {
    "small_hat": lambda: small_hat(source_vocabulary=20, target_vocabulary=20, length=6, longest=40, **SIZES),
    "language": lambda: language(vocabulary=20, embeds=(8,), heads=(1,), depths=(1, 2), length=6, longest=40),
    "small_bert": lambda: small_bert(
        vocabulary=20, size=16, widths=(8, 16), layers=2, heads=2, hidden=8, length=6, longest=40
    ),
    "small_autoformer": lambda: small_autoformer(image_size=8, embeds=(16,), heads=(1,), depths=(1, 2), head_width=8),
}


def deployable(space: Space, *, rows: int = 3) -> Deployable:
    torch.manual_seed(0)
    architecture = space.sample(np.random.default_rng(0))
    network = space.subnet(architecture)
    return Deployable(
        network=network, space=space, architecture=architecture, examples=space.example(architecture, rows)
    )


@pytest.mark.parametrize(
    "name", ["small_hat", *(pytest.param(name, marks=pytest.mark.slow) for name in SPACES if name != "small_hat")]
)
def test_an_onnx_file_takes_any_batch_and_any_length(name: str, tmp_path: Path):
    import onnxruntime

    space = SPACES[name]()
    made = deployable(space)
    record = write_onnx(made, tmp_path / "model.onnx")
    assert record["relative_difference"] <= 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    free = [name for one in session.get_inputs() for name in one.shape if isinstance(name, str)]
    assert set(free) == {"batch", *(name for one in space.inputs for name in one.lengths.values())}
    generator = torch.Generator().manual_seed(1)
    for batch, longest in ((1, 1), (5, 13), (2, 40)):
        inputs = []
        for place, one in enumerate(space.inputs):
            if one.lengths:
                shape = (batch, max(1, longest - place))
                inputs.append(torch.randint(1, 20, shape, generator=generator))
            else:
                inputs.append(torch.randn(batch, *one.shape, generator=generator))
        (found,) = session.run(None, {n: x.numpy() for n, x in zip(made.input_names, inputs)})
        with torch.no_grad():
            assert np.allclose(found, made.network(*inputs).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "small_autoformer",
        *(pytest.param(name, marks=pytest.mark.slow) for name in SPACES if name != "small_autoformer"),
    ],
)
def test_an_exported_program_takes_any_batch_and_any_length(name: str, tmp_path: Path):
    record = write_exported_program(deployable(SPACES[name]()), tmp_path / "model.pt2")
    assert record["relative_difference"] <= 1e-4


def test_a_file_that_takes_one_length_alone_is_noticed():
    made = deployable(SPACES["language"]())

    def run(tokens: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return made.network(torch.nn.functional.pad(tokens, (0, 6 - tokens.shape[1])))

    assert made.agreement(run)["relative_difference"] == 0
    with pytest.raises(ValueError, match=r"its output has shape \[3, 6, 20\], that of the network \[3, 3, 20\]"):
        made.agreement(run, any_length=True)


def test_a_card_names_lengths():
    made = deployable(SPACES["small_hat"]())
    described = describe(made.input_names, made.examples, made.lengths)
    assert [one["shape"] for one in described] == [["batch", "source_length"], ["batch", "target_length"]]
