"""Files of weights of many programs are read, and others are refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from search_spaces.errors import FieldError
from search_spaces.weights.files import read_weights

STATE = nn.Linear(3, 2).state_dict()


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": {f"module.{name}": tensor for name, tensor in STATE.items()}, "optimizer": {"lr": torch.ones(1)}},
        {"state_dict": {f"model.{name}": tensor for name, tensor in STATE.items()}, "hyper_parameters": {"lr": 0.1}},
        {"state_dict": {"state_dict": STATE}, "step": torch.tensor(3)},
        {"state_dict": {name: tensor + 1 for name, tensor in STATE.items()}, "state_dict_ema": STATE},
        {f"_orig_mod.{name}": tensor for name, tensor in STATE.items()},
    ],
)
def test_weights_are_found_wherever_programs_keep_them(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content, path := tmp_path / "some.pth.tar")
    read = read_weights(path, field="checkpoint")
    assert read.keys() == STATE.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in STATE.items())


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(dict(STATE), path := tmp_path / "some.safetensors")
    assert read_weights(str(path), field="checkpoint").keys() == STATE.keys()


def _written(folder: Path, kind: str) -> Path:
    path = folder / f"weights.{'safetensors' if kind == 'damaged' else 'pth'}"
    if kind == "module":
        torch.save(nn.Linear(3, 2), path)
    elif kind == "no weights":
        torch.save({"epoch": 3, "loss": 0.5}, path)
    elif kind == "damaged":
        path.write_bytes(b"some words that are not safetensors at all")
    elif kind == "empty":
        path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("missing", "there is no such file"),
        ("module", "it holds objects, not only weights; save module.state_dict()"),
        ("no weights", "holds no weights by name; it has epoch, loss"),
        ("damaged", "cannot be read as safetensors"),
        ("empty", "it is empty"),
    ],
)
def test_other_files_are_refused_in_one_line(kind: str, told: str, tmp_path: Path) -> None:
    path = _written(tmp_path, kind)
    with pytest.raises(FieldError) as caught:
        read_weights(path, field="checkpoint")
    assert caught.value.field == "checkpoint"
    assert told in caught.value.text
    assert str(path) in caught.value.text
    assert "\n" not in caught.value.text
