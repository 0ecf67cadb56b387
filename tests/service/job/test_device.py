"""Devices of a job, without PyTorch where there is none to be found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from service.job import device
from supernets.training.distributed import share_devices


def test_devices_are_those_of_pytorch() -> None:
    assert device.cuda_devices() == torch.cuda.device_count()
    assert device.device_type("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert device.device_type("cuda:1") == "cuda"
    assert device.torch_device("cpu") == torch.device("cpu")


def test_processes_of_torchrun_take_a_device_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.torch_device("cuda") == torch.device("cuda:1")
    assert device.torch_device("cpu") == torch.device("cpu")


def test_more_processes_than_devices_take_them_in_turns_and_do_not_use_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    for devices, taken, shared in ((1, "cuda:0", True), (2, "cuda:1", True), (4, "cuda:3", False)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda devices=devices: devices)
        assert device.torch_device("cuda") == torch.device(taken)
        assert share_devices() == shared


@pytest.mark.integration
@pytest.mark.parametrize(("driver", "visible"), [("/no/such/driver", None), ("/proc/self", ""), ("/proc/self", "-1")])
def test_no_driver_and_no_visible_device_are_told_without_pytorch(driver: str, visible: str | None) -> None:
    code = (
        f"import os, sys; os.environ.update({ {} if visible is None else {'CUDA_VISIBLE_DEVICES': visible} });"
        "from service.job import device;"
        f"device._DRIVERS = ({driver!r},);"
        "print(device.cuda_devices(), device.device_type('auto'), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert done.stdout.split() == ["0", "cpu", "False"]


DRIVER = """\
#!/bin/sh
echo "GPU 0: NVIDIA H100 (UUID: GPU-aaaa)"
echo "GPU 1: NVIDIA H100 (UUID: GPU-bbbb)"
"""


@pytest.mark.integration
@pytest.mark.skipif(torch.version.cuda is None, reason="PyTorch is not built for CUDA")
@pytest.mark.parametrize(("visible", "count"), [(None, 2), ("1", 1), ("GPU-b", 1), ("5", 0)])
def test_devices_are_counted_and_named_by_the_driver_without_pytorch(
    tmp_path: Path, visible: str | None, count: int
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(DRIVER)
    command.chmod(0o755)
    code = (
        "import sys; from service.job import device; from service.job.environment import environment;"
        "device._DRIVERS = ('/proc/self',);"
        "found = environment(); print(device.cuda_devices(), 'torch' in sys.modules, found['cuda'], found['device'])"
    )
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[3])}
    env = {**os.environ, **own, **({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    model = f"{torch.version.cuda} NVIDIA H100" if count else "None cpu"
    assert done.stdout.strip() == f"{count} False {model}"
