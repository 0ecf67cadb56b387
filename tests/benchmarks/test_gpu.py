"""The benchmark of GPUs: refused without one, tried on a CPU at a tiny size, and continued."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_figures import Figure

SECTIONS = ["convolutions", "evaluation"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu", *arguments])
    return gpu.main()


def test_without_a_gpu_there_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(monkeypatch) == 2
    assert capsys.readouterr().out == "nothing measured: PyTorch finds no CUDA device here\n"
    assert run(monkeypatch, "--device", "cpu") == 2


def test_sections_are_measured_once_and_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--device", "cpu", "--tiny", "--output", str(tmp_path), "--only"]
    assert run(monkeypatch, *arguments, SECTIONS[0]) == 0
    first = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert list(first) == SECTIONS[:1]
    assert run(monkeypatch, *arguments, *SECTIONS, "ranking") == 0
    content = json.loads((tmp_path / "gpu.json").read_text())
    assert content["sections"][SECTIONS[0]] == first[SECTIONS[0]]
    assert list(content["sections"]) == SECTIONS
    assert content["conditions"]["size"] == "tiny, without meaning"
    printed = capsys.readouterr().out
    assert "a candidate" in printed
    assert "MET" not in printed
    assert "ranking: not measured, it needs --table" in printed


def test_a_section_without_time_is_left_for_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = gpu.Setting(device=torch.device("cpu"), tiny=False, output=tmp_path)
    remembered = gpu.Remembered(tmp_path / "gpu.json", gpu.conditions(setting))
    (line,) = gpu.measured(setting, remembered, ["convolutions"], minutes=0.1)
    assert line == "convolutions: not measured, 0.7 minutes are not left; the same command goes on with it"
    assert not (tmp_path / "gpu.json").exists()


def test_figures_of_another_card_are_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    one = gpu.Remembered(path, {"card": "one"})
    one.keep("proxies", [Figure(name="GradSign", value=2.5, unit="passes", goal="<= 3", ratio=2.5)])
    assert gpu.Remembered(path, {"card": "one"}).sections["proxies"][0].is_met
    assert gpu.Remembered(path, {"card": "other"}).sections == {}


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_every_section_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
    assert set(json.loads((tmp_path / "gpu.json").read_text())["sections"]) == set(gpu.SECTIONS) - {"ranking"}
