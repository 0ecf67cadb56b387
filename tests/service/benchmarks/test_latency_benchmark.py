"""nas benchmark latency: tables as people have them, nothing lost when killed, one line a mistake."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from search_spaces.families.conv_macro import conv_macro
from service.benchmarks import latency_benchmark as runs
from service.benchmarks.latency_devices import LatencyTableRequest, family_of, latency_table
from service.benchmarks.latency_report import finished_runs
from service.job.tracking import TrackingConfig
from service.tracking.finished import log_finished
from tests.killing import kill_after_progress
from tests.service.test_cli import lines_of_failure, nas

DECISIONS = ("c1", "c2", "c3", "c4", "k1", "k2", "k3", "k4")


def write_table(path: Path, n: int = 60) -> Path:
    """Random architectures with their latency on four devices; the third one has a gap."""
    space, generator = conv_macro(), np.random.default_rng(0)
    drawn = np.unique(space.sample_encodings(n, generator), axis=0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["idx", *DECISIONS, "gpu_1_ms", "gpu_32_ms", "cpu_ms", "phone_ms", "accuracy"])
        for row, encoding in enumerate(drawn):
            wide, deep = 1 + encoding[:4].sum(), 1 + encoding[4:].sum()
            cpu = "" if row == 5 else wide + deep
            latencies = [1 + wide / 9, wide * 2, cpu, deep + wide / 2]
            writer.writerow([row, *space.decode(encoding).values(), *latencies, 60 + row / 10])
    return path


def plan_of(folder: Path, **changes) -> runs.LatencyPlan:
    table = latency_table(LatencyTableRequest(path=write_table(folder / "t.csv"), space="conv_macro"))
    return runs.LatencyPlan(**{"table": table, "samples": (5, 10), "seeds": 4, "predictor": "ridge", **changes})


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_command_writes_tables_and_goes_on(tmp_path):
    table, output = write_table(tmp_path / "t.csv"), tmp_path / "out"
    command = ["benchmark", "latency", "--table", str(table), "--space", "conv_macro", "--samples", "10,5"]
    command += ["--predictor", "ridge", "--no-mlflow", "--workers", "1", "--output", str(output)]
    first = nas(*command, "--seeds", "2")
    assert first.exit_code == 0, first.output
    assert "5 samples, 2 seeds; devices, held out alone: 4" in first.output
    summary = {(row["method"], row["choice"], row["samples"]): row for row in rows_of(output / "summary.csv")}
    assert list(summary)[:4] == [(name, "random", "5") for name in ("transfer", "from scratch", "macs", "params")]
    transfer = summary["transfer", "chosen", "10"]
    assert float(transfer["spearman"]) > float(summary["macs", "random", "10"]["spearman"])
    assert float(transfer["mape_percent_low"]) <= float(transfer["mape_percent"])
    assert summary["macs", "random", "10"]["covered_percent"] == ""
    devices = rows_of(output / "devices.csv")
    assert [row["device"] for row in devices[::16]] == ["gpu_1_ms", "gpu_32_ms", "cpu_ms", "phone_ms"]
    before = (output / runs.JOURNAL).read_text()
    second = nas(*command, "--seeds", "3")
    assert second.exit_code == 0, second.output
    after = (output / runs.JOURNAL).read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 12
    by_family = nas(*command, "--seeds", "1", "--by", "family", "--device", "gpu_1_ms")
    assert by_family.exit_code == 0, by_family.output
    assert "devices, held out with their families: 1" in by_family.output
    assert len((output / runs.JOURNAL).read_text().splitlines()) == 13


def run_slowly(folder: str) -> None:
    runs.perform(plan_of(Path(folder)), Path(folder), lambda event: None, workers=1)


@pytest.mark.integration
def test_killed_and_started_again_it_ends_with_the_same_errors_as_in_two_processes(tmp_path):
    def journal(folder: Path) -> dict[str, list]:
        records = [json.loads(line) for line in (folder / runs.JOURNAL).read_text().splitlines()]
        assert len({record["key"] for record in records}) == len(records)
        return {record["key"]: record["errors"] for record in records}

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    kill_after_progress(run_slowly, killed, killed / runs.JOURNAL, delay_s=0.0)
    with (killed / runs.JOURNAL).open("a") as file:
        file.write('{"key": "half a li')
    run_slowly(str(killed))
    found = runs.perform(plan_of(whole), whole, lambda event: None, workers=2)
    assert journal(killed) == journal(whole)
    assert len(journal(whole)) == 16
    assert {device: len(seeds) for device, seeds in found.items()} == dict.fromkeys(found, 4)
    remembered = runs.perform(plan_of(whole), whole, lambda event: None, workers=1)
    assert repr(remembered) == repr(found)


@pytest.mark.integration
def test_a_device_and_a_latency_in_each_row(tmp_path):
    path = tmp_path / "long.csv"
    generator = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["task", "device", "layers", "width", "encoder_ms", "decoder_ms"])
        for row in range(90):
            task, device = ("de", "fr")[row % 2], ("gpu", "cpu", "phone")[row % 3]
            layers, width = generator.integers(1, 7), generator.uniform(1, 2)
            writer.writerow([task, device, layers, width, width, layers * (1 + row % 3)])
    request = LatencyTableRequest(
        path=path, device_columns=["task", "device"], features=["layers", "width"], columns=["encoder_ms+decoder_ms"]
    )
    table = latency_table(request)
    assert table.devices == ["de gpu", "fr cpu", "de phone", "fr gpu", "de cpu", "fr phone"]
    assert table.families == ["gpu", "cpu", "phone"] * 2
    assert table.measured.sum(0).tolist() == [15] * 6
    assert table.latency_ms[0, 0] == pytest.approx(table.described[0] @ [1, 1])
    found = runs.perform(runs.LatencyPlan(table=table, samples=(5,), seeds=1, predictor="ridge"), tmp_path, print)
    assert set(found) == set(table.devices)


def test_columns_of_numbers_are_devices_where_none_ends_in_ms(tmp_path):
    table = write_table(tmp_path / "t.csv")
    rows = [line.split(",") for line in table.read_text().splitlines()]
    latencies, names = tmp_path / "latencies.csv", tmp_path / "names.csv"
    latencies.write_text("idx,gpu_1,phone\n" + "".join(f"{r[0]},{r[9]},{r[12]}\n" for r in rows[1:]))
    names.write_text("".join(f"{','.join(r[:9])},{r[13]}\n" for r in rows))
    found = latency_table(LatencyTableRequest(path=latencies, space="conv_macro", join=names))
    assert found.devices == ["gpu_1", "phone"]
    assert list(found.counted) == ["macs", "params"]
    assert np.array_equal(found.latency_ms[:, 0], [float(r[9]) for r in rows[1:]])
    alone = latency_table(LatencyTableRequest(path=latencies))
    assert (alone.devices, alone.described.shape[1]) == (["gpu_1", "phone"], 0)


def test_published_tables_are_read(shared_data):
    ofa = latency_table(LatencyTableRequest(path=shared_data / "ofa/ofa_mbv3_latency.csv.gz", space="ofa_mobilenet_v3"))
    assert ofa.latency_ms.shape == (5000, 9)
    assert len(set(ofa.families)) == 4
    assert ofa.counted["macs"].max() > 3 * ofa.counted["macs"].min()


def test_batch_sizes_are_a_family_and_model_numbers_are_not():
    names = ["titan_rtx_1", "titan_rtx_256", "v100_64_ms", "silver_4114", "gold_6240", "pixel2", "phone_ms"]
    assert [family_of(name) for name in names] == [
        *("titan_rtx", "titan_rtx", "v100", "silver_4114", "gold_6240", "pixel2", "phone")
    ]


def test_a_store_that_is_away_is_one_line_and_a_method_has_its_curve(tmp_path):
    plan = plan_of(tmp_path, seeds=1)
    found = runs.perform(plan, tmp_path, lambda event: None, workers=1)
    logged = list(finished_runs(plan, found, tmp_path, tmp_path / "t.csv"))
    assert len(logged) == 8
    assert logged[0].name == "t transfer, random"
    assert [step for step, _ in logged[0].curves["spearman"]] == [5, 10]
    assert "covered_percent" not in logged[2].curves
    error = log_finished(logged, TrackingConfig(uri="http://127.0.0.1:9")).error
    assert error is not None
    assert "no MLflow server answers" in error


@pytest.mark.integration
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--space", "conv_mini"], "--space: unknown space 'conv_mini'"),
        (["--device", "gpu_2_ms"], "--device: unknown device 'gpu_2_ms' of the table; did you mean gpu_"),
        (["--columns", "gpu_1_ms,cpu"], "has no column 'cpu'; did you mean cpu_ms"),
        (["--columns", "gpu_1_ms,idx"], "idx: 0 in row 0 is not a latency"),
        (["--samples", "10,many"], "--samples: must be whole numbers such as 10,20,50, got '10,many'"),
        (["--samples", "4"], "--samples: samples must be numbers from 5 on, got (4,)"),
        (["--predictor", "rigde"], "--predictor: unknown predictor 'rigde'; did you mean ridge"),
        (["--join", "nowhere.csv"], "nowhere.csv: No such file"),
        (["--features", "depth"], "--features:"),
        (["--device-columns", "idx"], "name one column of latencies (or a+b), got 4"),
        (["--set", "ridge.seed=1"], "--set: only space.OPTION=VALUE is known here, got 'ridge'"),
        (
            ["--set", "space.colours=1"],
            "--space: space conv_macro has no option 'colours'; allowed: image_size, channels, classes",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path, options, message):
    table = write_table(tmp_path / "t.csv")
    arguments = ["benchmark", "latency", "--table", str(table), "--space", "conv_macro", "--no-mlflow"]
    lines = lines_of_failure(nas(*arguments, "--output", str(tmp_path / "out"), *options))
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_too_few_rows_and_devices_are_all_said_at_once(tmp_path):
    table = write_table(tmp_path / "t.csv")
    arguments = ["benchmark", "latency", "--table", str(table), "--space", "conv_macro", "--samples", "500"]
    lines = lines_of_failure(nas(*arguments, "--columns", "gpu_1_ms,gpu_32_ms,cpu_ms", "--by", "family"))
    assert sum("devices are known when" in line for line in lines) == 2
    assert sum("500 leave none" in line for line in lines) == 3


def test_a_text_among_the_latencies_is_named_with_its_line(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a_ms,b_ms\n1,2\n1,fast\n")
    lines = lines_of_failure(nas("benchmark", "latency", "--table", str(table)))
    assert "line 3: b_ms = 'fast' must be a finite number" in lines[0]
