"""The `latency` section of jobs, and `nas profile`, as people use them."""

import sys

import pytest
import typer.testing

from nas.hardware import LatencyConfig
from service.cli import app
from service.errors import InvalidJob
from service.job.loading import load_job
from tests.nas.loopback import start_sshd

QUICK = ["latency.repeats=5", "latency.warmup_s=0.05", "latency.min_time_ms=0.2"]


def nas(*arguments: str):
    return typer.testing.CliRunner().invoke(app, list(arguments))


def settings(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("latency.backend=onxruntime", "did you mean onnxruntime"),
        ("latency.backend=cuda_graph", "needs a cuda device"),
        ("latency.batch_size=0", "latency.batch_size: must be at least 1, got 0"),
        ("latency.batch_size=many", "latency.batch_size: must be a whole number"),
        ("latency.precision=int4", "latency.precision: must be one of fp32, bf16, fp16, int8"),
        ("latency.device=board", "latency.device: must be here or ssh://user@host[:port], got 'board'"),
        ("latency.timeout_s=0", "latency.timeout_s: must be more than 0"),
    ],
)
def test_bad_input_is_one_line_that_names_the_field(setting, said):
    with pytest.raises(InvalidJob) as caught:
        load_job("quickstart", [setting, "device=cpu"])
    (line,) = caught.value.mistakes
    assert line.startswith(setting.partition("=")[0])
    assert said in line


def test_a_machine_that_is_away_is_one_line_before_any_work():
    done = nas("profile", "quickstart", "--device", "ssh://127.0.0.1:1", *settings("latency.ssh_options=[-F,none]"))
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line.startswith("nas: latency.device: ssh://127.0.0.1:1: ")


def test_profile_shows_interval_throughput_and_conditions():
    done = nas("profile", "quickstart", "--samples", "1", *settings(*QUICK, "latency.batch_size=2", "device=cpu"))
    assert done.exit_code == 0, done.output
    for shown in ("95 % interval", "inputs/s", "peak MB", "eager, fp32, batch 2, 1 thread, input"):
        assert shown in done.stdout


def test_profile_measures_on_another_machine(tmp_path):
    if lacking := LatencyConfig(backend="onnxruntime").make_backend().missing("cpu"):
        pytest.skip(lacking)
    server = start_sshd(tmp_path)
    try:
        where = [f"latency.ssh_options={server.options()}", f"latency.python={sys.executable}"]
        chosen = settings(*QUICK, *where, "latency.backend=onnxruntime", "device=cpu")
        done = nas("profile", "quickstart", "--samples", "0", "--device", server.device, *chosen)
    finally:
        server.cut()
        server.server.kill()
        server.server.wait()
    assert done.exit_code == 0, done.output
    assert "127.0.0.1" in done.stdout
    assert "onnxruntime" in done.stdout


def test_backends_are_listed():
    done = nas("list", "backend")
    assert done.exit_code == 0
    assert "onnxruntime" in done.stdout
    assert "tensorrt" in done.stdout
