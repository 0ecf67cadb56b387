"""Latency measured on another machine: a real sshd on this one."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.hardware import DeviceUnreachable, LatencyConfig, Measurement, MeasurementFailed, Meter, measure
from nas.hardware import remote as connection
from nas.offload import measured_halves
from supernets import Supernet
from tests.nas.loopback import Loopback, start_sshd
from tests.nas.two_inputs import Inverse, masked, sequences
from tests.search_spaces.split_networks import residual_space

pytestmark = pytest.mark.integration

PATIENCE_S = 500.0
SHAPE = (3, 8, 8)
EXAMPLE = (torch.zeros(1, *SHAPE),)


@pytest.fixture(scope="module")
def loopback(tmp_path_factory):
    server = start_sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.cut()
    server.server.kill()
    server.server.wait()


def network(width: int) -> nn.Module:
    torch.manual_seed(width)
    layers = (nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_another_machine_measures(loopback, backend):
    pytest.importorskip(backend)
    config = loopback.config(sys.executable, backend=backend)
    small, large = measure([network(4), network(512)], [(torch.zeros(1, 3, 40, 40),)] * 2, config)
    assert 0 < small.latency.value < large.latency.value
    assert small.conditions.backend.startswith(backend)
    assert "127.0.0.1" in small.conditions.device
    assert small.latency.low <= small.latency.value <= small.latency.high


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_another_machine_measures_networks_of_two_inputs(loopback, backend):
    pytest.importorskip(backend)
    examples = [sequences(2), (torch.randn(2, 4), torch.tensor([3, 5]))]
    for measured in measure([masked(), Inverse().eval()], examples, loopback.config(sys.executable, backend=backend)):
        assert isinstance(measured, Measurement), measured


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_half_of_a_network_is_measured_on_another_machine(loopback, backend):
    pytest.importorskip(backend)
    space = residual_space(bits=(8,))
    cut = space.architecture({"cut": "layer1", "width": 1.0, "bottleneck": 3, "bits": 8})
    subnet = Supernet(space).extract(cut).eval()
    here = LatencyConfig(repeats=5, warmup_s=0.05, min_time_ms=0.2)
    with Meter(loopback.config(sys.executable, backend=backend)) as there:
        times = measured_halves(subnet, space.example(cut), Meter(here), there)
    assert times.device.value > 0
    assert times.server.value > 0


def test_more_threads_than_the_other_machine_has_cores_are_refused(loopback):
    config = loopback.config(sys.executable, backend="torch", threads=4096)
    with pytest.raises(DeviceUnreachable, match=r"latency\.threads must be at most \d+, the cores .* there, got 4096"):
        measure([network(4)], [(torch.zeros(1, 3, 8, 8),)], config)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Wire:
    """Counts what really goes over the connections, and cuts them after so many results."""

    def __init__(self, monkeypatch, cut, after: tuple[int, ...]) -> None:
        self.results: list[tuple[str, tuple]] = []
        self.models: list[str] = []
        self.connections = 0
        receive, send, start = (getattr(connection._Connection, name) for name in ("receive", "send", "__init__"))

        def counted_receive(own, *arguments, **keywords):
            message = receive(own, *arguments, **keywords)
            if message["event"] == "result":
                self.results.append((message["name"], tuple(message["result"]["times_ms"])))
                if len(self.results) in after:
                    cut(own)
            return message

        def counted_send(own, **message):
            if message["op"] == "model":
                self.models.append(message["name"])
            send(own, **message)

        def counted_start(own, config):
            self.connections += 1
            start(own, config)

        monkeypatch.setattr(connection._Connection, "receive", counted_receive)
        monkeypatch.setattr(connection._Connection, "send", counted_send)
        monkeypatch.setattr(connection._Connection, "__init__", counted_start)


def kill_ssh(own) -> None:
    own._process.kill()


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_cut_connection_is_restored_and_nothing_is_measured_twice_or_lost(loopback, tmp_path, monkeypatch, side):
    pytest.importorskip("onnxruntime")
    cut = kill_ssh if side == "ours" else lambda own: loopback.cut()
    wire = Wire(monkeypatch, cut, after=(2, 7, 11))
    journal = tmp_path / "journal.jsonl"
    models = [network(width) for width in (4, 8, 16)]
    with Meter(loopback.config(sys.executable, backend="onnxruntime"), journal=journal) as meter:
        measured = meter.measure(models, [EXAMPLE] * 3)
    assert wire.connections == 4
    assert all(m.latency.value > 0 for m in measured)
    kept = [line["name"] for line in lines(journal) if "result" in line]
    assert len(kept) == len(set(kept)) == 30  # ten visits of each network
    times = dict(wire.results)
    assert len(set(wire.results)) == len(times) == 30  # what was said twice was measured once
    assert len(wire.models) == len(set(wire.models)) == 3  # no model was sent again


def test_a_measurement_in_progress_when_the_connection_is_cut_is_finished_and_kept(loopback, monkeypatch):
    pytest.importorskip("onnxruntime")
    wire = Wire(monkeypatch, kill_ssh, after=())
    config = loopback.config(sys.executable, backend="onnxruntime", warmup_s=5.0, min_time_ms=60.0)

    def cut_soon(meter: Meter) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not wire.models and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)
        meter._other._held[0]._process.kill()

    with Meter(config) as meter:
        thread = threading.Thread(target=cut_soon, args=(meter,))
        thread.start()
        (measured,) = meter.measure([network(64)], [EXAMPLE])
        thread.join()
    assert measured.latency.value > 0
    assert wire.connections == 2
    assert len(wire.results) == len(set(wire.results)) == 10


def test_a_killed_measurement_goes_on_from_its_journal(loopback, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    journal, config = tmp_path / "journal.jsonl", loopback.config(sys.executable, backend="onnxruntime")
    models = [network(width) for width in (4, 8)]
    with Meter(config, journal=journal) as meter:
        first = meter.measure(models, [EXAMPLE] * 2)
    kept = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(kept[:5]) + kept[5][:20])  # killed while it wrote the fifth result
    wire = Wire(monkeypatch, kill_ssh, after=())
    with Meter(config, journal=journal) as meter:
        meter.measure(models, [EXAMPLE] * 2)
    assert len(wire.results) == 16  # of twenty, four were kept
    with Meter(config, journal=journal) as meter:
        again = meter.measure(models, [EXAMPLE] * 2)
    assert len(wire.results) == 16
    assert len(first) == len(again) == 2


def test_failing_models_do_not_spoil_the_others_on_another_machine(loopback):
    pytest.importorskip("onnxruntime")

    class NotANumber(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return (x * self.weight - x * self.weight) / (x * 0 * self.weight)

    config = loopback.config(sys.executable, backend="onnxruntime")
    good, bad, fine = measure([network(4), NotANumber(), network(8)], [EXAMPLE] * 3, config)
    assert isinstance(bad, MeasurementFailed)
    assert "not finite" in str(bad)
    assert good.latency.value > 0
    assert fine.latency.value > 0


def unreachable(config: LatencyConfig) -> str:
    with pytest.raises(DeviceUnreachable) as caught:
        measure([network(4)], [EXAMPLE], config)
    assert "\n" not in str(caught.value)
    assert config.device in str(caught.value)
    return str(caught.value)


def test_a_host_that_is_away_is_one_clear_line(loopback):
    settings = {"device": "ssh://127.0.0.1:1", "backend": "torch"}
    assert "refused" in unreachable(loopback.config(sys.executable, **settings))


def test_a_wrong_key_is_one_clear_line(loopback):
    config = loopback.config(sys.executable, backend="torch", ssh_options=loopback.options("stranger"))
    assert "Permission denied" in unreachable(config)


def test_no_python_there_is_one_clear_line(loopback):
    assert "no-such-python" in unreachable(loopback.config("no-such-python", backend="torch"))


def test_a_python_without_onnxruntime_says_how_to_install_it(loopback, tmp_path):
    pytest.importorskip("onnxruntime")
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    said = unreachable(loopback.config(str(bare / "bin" / "python"), backend="onnxruntime"))
    assert "onnxruntime is not installed" in said
    assert "pip install onnxruntime" in said


def test_a_session_leaves_nothing_behind(loopback: Loopback, tmp_path):
    pytest.importorskip("onnxruntime")
    config = loopback.config(f"env TMPDIR={tmp_path} {sys.executable}", backend="onnxruntime")
    measure([network(4)], [EXAMPLE], config)
    assert list(tmp_path.glob("espalier-*")) == []
