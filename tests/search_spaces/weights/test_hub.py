"""Pretrained weights come from the cache of this machine; where they cannot be had, one line says what to do."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from search_spaces.errors import FieldError
from search_spaces.weights.hub import pretrained_file


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def _cached(folder: Path, model: str, name: str) -> Path:
    """A file in a cache of the hub as its own programs lay it out."""
    kept = folder / "hub" / f"models--timm--{model}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    (kept / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (path := kept / "snapshots" / ("0" * 40) / name).write_bytes(b"weights")
    return path


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_cached_weights_need_no_network(name: str, tmp_path: Path) -> None:
    path = _cached(tmp_path, "resnet18.a1_in1k", name)
    assert pretrained_file("resnet18") == pretrained_file("resnet18.a1_in1k") == path


@pytest.mark.usefixtures("_no_network")
def test_without_network_one_line_says_how_to_give_a_file() -> None:
    with pytest.raises(FieldError) as caught:
        pretrained_file("resnet18.a1_in1k")
    assert caught.value.field == "pretrained"
    for told in ("timm/resnet18.a1_in1k", "127.0.0.1 cannot be reached", "space.options.checkpoint=FILE", "HF_HUB"):
        assert told in caught.value.text
    assert "\n" not in caught.value.text


@pytest.mark.usefixtures("_no_network")
def test_a_machine_that_is_said_to_be_offline_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FieldError, match="HF_HUB_OFFLINE is set"):
        pretrained_file("resnet18")


def test_models_without_weights_are_told_from_those_that_cannot_be_fetched() -> None:
    with pytest.raises(FieldError, match="must be false, timm has no weights for botnet50ts_256"):
        pretrained_file("botnet50ts_256")
