"""Searches for translators under a limit on the time that writing takes, and tables that predict it."""

import io
import sys

import pytest
import torch

from nas.hardware import LatencyConfig, Measurement, MeasurementFailed
from nas.hardware.latency_table_building import TableConfig
from nas.hardware.runtimes import open_exported_program
from search_spaces.decoding_space import as_timed
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.folder import read_json
from service.job.latency_table import read_table
from service.job.loading import job_of
from service.job.preparation import prepare_folder
from service.run.latency_tables import build_table
from service.run.profiling import measure_architectures
from service.run.run import run
from tests.nas.data.text import corpus
from tests.nas.loopback import start_sshd
from tests.service.run.translation_job import translation_fields

pytest.importorskip("tokenizers", reason="needs the extra `text`")

QUICK = {"repeats": 10, "warmup_s": 0.02, "min_time_ms": 0.2}
SMALL = {"embeds": [16], "hidden": [16, 32], "heads": [1], "width": 16, "encoder_layers": 1, "depths": [1, 4]}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    path = corpus.folder(tmp_path_factory.mktemp("text") / "pairs")
    return translation_fields(
        "quick_translators",
        path,
        SMALL,
        search={"objectives": ["quality", "latency_ms"]},
        latency={"decode": 20, **QUICK},
    )


def ends(job):
    """Return the least and the largest latency of the space in ms."""
    space = build_space(job)
    measured = measure_architectures(space, [space.smallest(), space.largest()], job, CPU)
    assert not any(isinstance(one, MeasurementFailed) for one in measured), measured
    return [one.latency.value for one in measured if isinstance(one, Measurement)]


def test_members_keep_a_limit_on_the_time_of_writing(fields, tmp_path):
    low, high = ends(job_of(fields))
    assert high > 1.5 * low
    limit = (low * high) ** 0.5
    job = job_of({**fields, "search": {**fields["search"], "constraints": {"latency_ms": f"<= {limit:.4f}"}}})
    folder = prepare_folder(job, tmp_path / "job")
    run(folder, job, lambda event: None)
    front = read_json(folder / "front.json")
    assert front["latency"]["decode"] == 20
    assert front["latency"]["input_shape"] == [16]
    assert front["members"]
    for member in front["members"]:
        assert member["architecture"]["decoder.depth"] == 1
        assert member["intervals"]["latency_ms"][1] <= limit


def test_time_grows_with_what_is_written(fields):
    shorter, longer = (ends(job_of({**fields, "latency": {**QUICK, "decode": tokens}}))[1] for tokens in (2, 30))
    assert longer > 4 * shorter


def test_a_table_predicts_the_time_of_writing(fields, tmp_path):
    job, path = job_of(fields), tmp_path / "table.json"
    space = build_space(job)
    config = TableConfig(networks=8, held_out=0, minutes=0.01, passes=1)
    build_table(job, space, path, config, lambda event: None, options=SMALL)
    with_table = job_of({**fields, "latency": {**fields["latency"], "table": str(path)}})
    table = read_table(with_table, space)
    assert table.conditions["decode"] == 20
    assert table.estimate(space.largest()).value > 1.5 * table.estimate(space.smallest()).value
    with pytest.raises(InvalidJob, match=r"measured with decode 20 \(here null\)"):
        job_of({**fields, "latency": {**QUICK, "table": str(path)}})
    with pytest.raises(InvalidJob, match=r"measured with decode 20 \(here 21\)"):
        job_of({**fields, "latency": {**QUICK, "decode": 21, "table": str(path)}})


def test_a_limit_that_no_network_keeps_is_refused_before_any_training(fields, tmp_path):
    job = job_of({**fields, "search": {**fields["search"], "constraints": {"latency_ms": "<= 0.001"}}})
    folder = prepare_folder(job, tmp_path / "job")
    with pytest.raises(InvalidJob, match=r"<= 0.001 can't be met: the smallest architecture of small_hat takes"):
        run(folder, job, lambda event: None)
    assert not (folder / "train").exists()


@pytest.mark.parametrize(
    ("space", "decode", "said"),
    [
        ("small_hat", 65, "latency.decode: must be from 1 to longest, which is 64, got 65"),
        ("small_hat", 0, "latency.decode: must be at least 1, or null, got 0"),
        ("tests.service.run.text_spaces:translators", 5, "latency.decode: must be null: networks of space translators"),
    ],
)
def test_bad_lengths_are_one_line(fields, space, decode, said):
    options = SMALL if space == "small_hat" else {}
    with pytest.raises(InvalidJob) as caught:
        job_of({**fields, "space": {"name": space, "options": options}, "latency": {"decode": decode}})
    (line,) = caught.value.mistakes
    assert line.startswith(said)


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_files_for_other_machines_write_as_the_network_does(fields, backend):
    made = LatencyConfig(backend=backend, decode=3, **QUICK)
    if lacking := made.make_backend().missing("cpu"):
        pytest.skip(lacking)
    timed = as_timed(build_space(job_of(fields)), 3)
    network, example = timed.subnet(timed.largest()).eval(), timed.example()
    file = made.make_backend().export(network, example, made)
    if backend == "torch":
        ran = open_exported_program(file, 1)
        ran.step()
        assert ran.finite()
        found = torch.export.load(io.BytesIO(file)).module()(*example)
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(file)
        found = torch.tensor(session.run(None, {session.get_inputs()[0].name: example[0].numpy()})[0])
    torch.testing.assert_close(found, network(*example), atol=1e-4, rtol=1e-4)


@pytest.mark.integration
def test_another_machine_measures_the_time_of_writing(fields, tmp_path):
    server = start_sshd(tmp_path)
    try:
        there = {
            "device": server.device,
            "python": sys.executable,
            "ssh_options": server.config(sys.executable).ssh_options,
        }
        low, high = ends(job_of({**fields, "latency": {**fields["latency"], **there, "decode": 4}}))
    finally:
        server.cut()
        server.server.kill()
        server.server.wait()
    assert high > low
