"""Latency measurement on this machine."""

import importlib.util
import math
import os
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from nas.hardware import LatencyConfig, Measurement, MeasurementFailed, Meter, conditions, measure, measure_latency
from nas.hardware.checks import mistakes
from nas.hardware.config import ssh_address
from nas.hardware.measurement import latency_of, relative_width
from nas.hardware.memory import peak_memory_mb
from nas.hardware.onnx_model import onnx_bytes
from nas.hardware.power import energy_counter
from nas.hardware.timing import OwnTime, TooSlow, time_limit
from nas.names import names_in
from search_spaces import Input, Space
from service.catalogue import BACKENDS

SHAPE = (3, 8, 8)
EXAMPLE = (torch.zeros(1, *SHAPE),)
QUICK = {"repeats": 5, "warmup_s": 0.05, "min_time_ms": 0.2}


class Sleeper(nn.Module):
    """A network that takes a known time."""

    def __init__(self, ms: float) -> None:
        super().__init__()
        self.ms = ms
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        time.sleep(self.ms / 1000)
        return x


class Failing(Sleeper):
    def forward(self, x):
        raise RuntimeError("no such layer\nand a long story")


class NotANumber(Sleeper):
    def forward(self, x):
        return x * float("nan")


def network(width: int = 8) -> nn.Module:
    torch.manual_seed(width)
    layers = (nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))
    return nn.Sequential(*layers).eval()


def test_known_times_are_measured():
    quick, slow = measure_latency([Sleeper(2), Sleeper(6)], [EXAMPLE] * 2, LatencyConfig(repeats=11, warmup_s=0.1))
    assert 2 <= quick.value < 5
    assert 6 <= slow.value < 12
    assert quick.low <= quick.value <= quick.high
    assert slow.low <= slow.value <= slow.high


def test_threads_are_set_and_restored():
    seen = []

    class Spy(Sleeper):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return x

    before = torch.get_num_threads()
    measure_latency([Spy(0)], [EXAMPLE], LatencyConfig(threads=2, repeats=5, warmup_s=0.05))
    assert seen[-1] == 2
    assert torch.get_num_threads() == before


def test_a_slow_a_failing_and_a_nan_producing_model_do_not_spoil_the_others():
    models = [network(), Sleeper(60_000), Failing(0), NotANumber(0), Sleeper(1)]
    good, slow, failing, not_finite, fine = measure(models, [EXAMPLE] * 5, LatencyConfig(timeout_s=10, **QUICK))
    assert isinstance(good, Measurement)
    assert isinstance(fine, Measurement)
    assert [str(m) for m in (slow, failing, not_finite)] == [
        "takes longer than 10 s",
        "RuntimeError: no such layer",
        "its output is not finite",
    ]
    with pytest.raises(MeasurementFailed, match="no such layer"):
        measure_latency([Failing(0)], [EXAMPLE], LatencyConfig(**QUICK))


def test_a_measurement_is_whole():
    (measured,) = measure([network()], [EXAMPLE], LatencyConfig(batch_size=4, **QUICK))
    assert measured.throughput_per_s == pytest.approx(4000 / measured.latency.value)
    assert measured.conditions.to_dict() == conditions(torch.device("cpu"), EXAMPLE, LatencyConfig(batch_size=4))
    assert (measured.energy_mj is None) == (energy_counter(None)() is None)


def test_conditions_name_everything_a_latency_depends_on():
    found = conditions(
        torch.device("cpu"), (torch.zeros(1, 3, 32, 32),), LatencyConfig(batch_size=4, threads=2, precision="bf16")
    )
    assert found["device"]
    assert found["backend"].startswith("torch 2")
    assert found["precision"] == "bf16"
    assert (found["batch_size"], found["threads"], found["input_shape"]) == (4, 2, [3, 32, 32])


@pytest.mark.parametrize(("field", "value"), [("batch_size", 0), ("threads", 0), ("repeats", 2), ("warmup_s", -1)])
def test_bad_settings_name_field_and_value(field, value):
    with pytest.raises(ValueError, match=f"{field} must be at least .*, got {value}"):
        LatencyConfig(**{field: value})


@pytest.mark.parametrize("field", ["timeout_s", "max_interval"])
def test_limits_must_be_positive(field):
    with pytest.raises(ValueError, match=f"{field} must be more than 0, got 0"):
        LatencyConfig(**{field: 0})


# ---- statistics ---------------------------------------------------------------------------------------------------


def test_intervals_cover_the_value_of_another_run_under_a_load_of_the_same_kind():
    generator = np.random.default_rng(0)

    def run(visits: int) -> list[np.ndarray]:
        load = generator.uniform(0.1, 0.2)  # of the whole run; visits meet more or less of it, and groups some noise
        slower = 1 + load * generator.uniform(0.3, 1.7, size=visits)
        return [factor * (1 + 0.02 * generator.exponential(size=3)) for factor in slower]

    for visits in (10, 40):
        covered = 0
        for _ in range(400):
            first, second = latency_of(run(visits)), latency_of(run(visits))
            covered += first.low <= second.value <= first.high
        assert covered / 400 >= 0.85


def test_outliers_do_not_move_the_latency():
    calm = [[2.0, 2.01, 2.02, 2.03, 2.04]] * 5
    disturbed = [*calm[:4], [9.0] * 5]
    disturbed = [[*visit[:3], 50.0, 80.0] for visit in disturbed[:4]] + disturbed[4:]
    assert latency_of(disturbed).value == pytest.approx(latency_of(calm).value, rel=0.01)


def test_wild_times_have_wide_intervals_and_calm_ones_narrow():
    calm, wild = latency_of([[1.0, 1.001]] * 5), latency_of([[t, t] for t in (1.0, 1.5, 0.7, 2.0, 1.2)])
    assert relative_width(calm) < 0.07
    assert relative_width(wild) > 0.5


def test_an_interval_that_stays_wide_fails_and_says_so():
    generator = np.random.default_rng(0)

    class Moody(Sleeper):
        calls = 0

        def forward(self, x):
            Moody.calls += 1
            time.sleep(float(generator.choice([0.001, 0.02])))
            return x

    config = LatencyConfig(max_interval=0.001, **QUICK)
    (failed,) = measure([Moody(0)], [EXAMPLE], config)
    assert isinstance(failed, MeasurementFailed)
    assert "max_interval" in str(failed)
    assert Moody.calls > 40  # it was measured on before it was given up


# ---- the clock ----------------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.skipif(not os.path.exists("/proc/thread-self/schedstat"), reason="only Linux counts waiting for a core")
def test_time_in_which_other_programs_have_the_core_is_taken_out():
    def work() -> float:
        start = time.thread_time()
        while time.thread_time() - start < 0.2:
            sum(range(1000))
        return time.thread_time() - start

    clock, rivals = OwnTime(), []
    code = "import time; end = time.time() + 60\nwhile time.time() < end: pass"
    import subprocess

    try:
        rivals = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2 * (os.cpu_count() or 1))]
        start = clock()
        busy_s = work()
        took_s = clock() - start
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()
        clock.close()
    assert took_s == pytest.approx(busy_s, rel=0.15)


def test_a_time_limit_ends_python_code_and_what_can_be_cancelled():
    with pytest.raises(TooSlow, match=r"takes longer than 0\.2 s"), time_limit(0.2):
        time.sleep(30)
    cancelled = threading.Event()

    def runtime() -> None:
        cancelled.wait(30)
        raise RuntimeError("the runtime was told to end")

    with pytest.raises(TooSlow), time_limit(0.2, cancelled.set):
        runtime()
    with time_limit(30):
        pass  # in time: nothing happens, and no alarm is left


def test_energy_counters_run_on_and_over(tmp_path):
    for name, start in (("a", 900), ("b", 100)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(str(start * 1_000_000))
        (tmp_path / name / "max_energy_range_uj").write_text("1000000000")
    joules = energy_counter(rapl=str(tmp_path / "*" / "energy_uj"))
    assert joules() == 0
    (tmp_path / "a" / "energy_uj").write_text("50000000")  # 150 J on, over its range
    (tmp_path / "b" / "energy_uj").write_text("107000000")
    assert joules() == pytest.approx(157)
    assert energy_counter(rapl=str(tmp_path / "none" / "*"))() is None


def test_peak_memory_is_weights_input_and_the_most_that_lives_at_once():
    model = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.ReLU(), nn.Conv2d(8, 2, 1, bias=False))
    numbers = 3 * 8 + 8 * 2 + 3 * 100 + 8 * 100 + 8 * 100  # weights, input, before and after the ReLU
    assert peak_memory_mb(model, (torch.zeros(1, 3, 10, 10),)) == pytest.approx(4 * numbers / 1e6)


# ---- backends -----------------------------------------------------------------------------------------------------

CPU_CASES = [
    (b, p)
    for b in names_in("nas.hardware.backends")
    for p in LatencyConfig(backend=b).make_backend().precisions
    if "cpu" in LatencyConfig(backend=b).make_backend().devices and b != "torch_compile"
]


@pytest.mark.parametrize(("backend", "precision"), CPU_CASES)
def test_every_backend_of_a_processor_measures_in_every_precision(backend, precision):
    lacking = LatencyConfig(backend=backend).make_backend().missing("cpu")
    if lacking:
        pytest.skip(lacking)
    model, kept = network(), {name: p.clone() for name, p in network().state_dict().items()}
    config = LatencyConfig(backend=backend, precision=precision, **QUICK)
    (measured,) = measure([model], [EXAMPLE], config)
    assert isinstance(measured, Measurement), str(measured)
    assert measured.latency.value > 0
    assert measured.conditions.backend.startswith(backend)
    assert all(torch.equal(kept[name], p) for name, p in model.state_dict().items())
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.slow
def test_torch_compile_measures():
    lacking = LatencyConfig(backend="torch_compile").make_backend().missing("cpu")
    if lacking:
        pytest.skip(lacking)
    (measured,) = measure([network()], [EXAMPLE], LatencyConfig(backend="torch_compile", **QUICK))
    assert measured.conditions.backend.endswith("compiled")


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["torch", "torch_compile", "cuda_graph", "onnxruntime", "tensorrt"])
def test_every_backend_of_cuda_measures(backend):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    lacking = LatencyConfig(backend=backend).make_backend().missing("cuda")
    if lacking:
        pytest.skip(lacking)
    for precision in ("fp32", "fp16"):
        config = LatencyConfig(backend=backend, precision=precision, **QUICK)
        (measured,) = measure([network().cuda()], [EXAMPLE], config)
        assert isinstance(measured, Measurement), str(measured)
        assert measured.memory_mb is not None


def test_backends_that_are_listed_are_those_that_exist():
    assert set(BACKENDS) == set(names_in("nas.hardware.backends"))


def test_what_cannot_be_had_is_said_before_any_work():
    assert mistakes(LatencyConfig(backend="torch"), "cpu") == []
    assert "did you mean onnxruntime" in mistakes(LatencyConfig(backend="onxruntime"), "cpu")[0]
    assert "needs a cuda device" in mistakes(LatencyConfig(backend="cuda_graph"), "cpu")[0]
    precision = mistakes(LatencyConfig(backend="torch_compile", precision="int8"), "cpu")
    assert precision == ["precision: torch_compile cannot do int8; allowed: fp32, bf16, fp16"]
    remote = mistakes(LatencyConfig(backend="torch_compile", device="ssh://board"), "cpu")
    assert "measures on this machine only" in remote[0]
    with pytest.raises(ValueError, match="needs a cuda device"):
        measure([network()], [EXAMPLE], LatencyConfig(backend="cuda_graph"))


def test_a_backend_that_is_not_installed_says_how_to_install_it(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "onnxruntime" else there(name, *rest)
    )
    (line,) = mistakes(LatencyConfig(backend="onnxruntime"), "cpu")
    assert line == "backend: onnxruntime not installed: pip install 'espalier-nas[onnx]'"


def test_a_backend_of_ones_own_is_named_by_its_place():
    config = LatencyConfig(backend="nas.hardware.backends.torch:Backend", **QUICK)
    with Meter(config) as meter:
        (measured,) = meter.measure([network()], [EXAMPLE])
    assert measured.latency.value > 0


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("ssh://board", ("board", None, False)),
        ("ssh://me@10.0.0.7:2222", ("me@10.0.0.7", 2222, False)),
        ("ssh://me@board:22/cuda", ("me@board", 22, True)),
    ],
)
def test_other_machines_are_written_as_addresses(device, expected):
    assert tuple(ssh_address(device)) == expected


@pytest.mark.parametrize("device", ["board", "ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://host:0", "cpu"])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(ValueError, match="device must be here or ssh://"):
        LatencyConfig(device=device)


def test_onnx_gives_what_torch_gives():
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model = network()
    for dynamic, batches in ((False, (2,)), (True, (1, 2, 5))):
        content = onnx_bytes(model, (torch.zeros(2, *SHAPE),), dynamic_batch=dynamic)
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        for batch in batches:
            images = torch.randn(batch, *SHAPE)
            (output,) = session.run(["output"], {"input": images.numpy()})
            assert np.abs(output - model(images).detach().numpy()).max() < 1e-5
    assert math.isfinite(output.sum())


class Tagger(nn.Module):
    """Reads token ids and a mask of them."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.read = nn.Embedding(11, 8), nn.Linear(8, 5)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.read(self.words(tokens)) * mask.unsqueeze(-1)


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_networks_of_several_inputs_of_different_types_are_measured(backend):
    if LatencyConfig(backend=backend).make_backend().missing("cpu"):
        pytest.skip(f"{backend} is not installed")
    space = Space(name="tags", decisions=(), inputs=(Input((6,), "int64", values=11), Input((6,))))
    (measured,) = measure([Tagger()], [space.example()], LatencyConfig(backend=backend, batch_size=3, **QUICK))
    assert isinstance(measured, Measurement), measured
    assert measured.conditions.input_shape == ((6,), (6,))
