"""Devices of a job, without PyTorch where there is none to be found."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from service.job import device


def test_devices_are_those_of_pytorch() -> None:
    assert device.cuda_devices() == torch.cuda.device_count()
    assert device.device_type("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert device.device_type("cuda:1") == "cuda"
    assert device.torch_device("cpu") == torch.device("cpu")


def test_processes_of_torchrun_take_a_device_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device.torch_device("cuda") == torch.device("cuda:1")
    assert device.torch_device("cpu") == torch.device("cpu")


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
