"""Jobs whose latencies are those that others published for networks of the same features."""

import csv
from pathlib import Path

import numpy as np
import pytest

from search_spaces.families.hat_genes import FEATURES, features_of
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.folder import read_json
from service.job.loading import job_of
from service.job.preparation import prepare_folder
from service.run.run import run
from tests.nas.data.text import corpus
from tests.service.run.translation_job import translation_fields

pytest.importorskip("tokenizers", reason="needs the extra `text`")

SMALL = {"embeds": [16, 24], "hidden": [16, 32], "heads": [1], "width": 16, "encoder_layers": 1, "depths": [1, 2, 4]}


def job(fields: dict, *, published: dict, **search: object):
    return job_of(
        {**fields, "latency": {**fields["latency"], "published": published}, "search": {**fields["search"], **search}}
    )


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    path = corpus.folder(tmp_path_factory.mktemp("text") / "pairs")
    return translation_fields("published", path, SMALL, search={"objectives": ["quality", "published_ms"]})


@pytest.fixture(scope="module")
def table(fields, tmp_path_factory) -> Path:
    """Networks whose decoder takes 10 ms a layer on one device, and 100 ms on another."""
    space = build_space(job_of({**fields, "search": {**fields["search"], "objectives": ["quality", "macs"]}}))
    features = features_of(space.decisions, space.sample_encodings(300, np.random.default_rng(0)))
    path = tmp_path_factory.mktemp("tables") / "latencies.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["task", "device", *FEATURES, "latency_mean_encoder_ms", "latency_mean_decoder_ms"])
        for device, factor in (("near", 10), ("far", 100)):
            writer.writerows(["de-en", device, *row, 5, factor * row[5]] for row in features.tolist())
    return path


def test_members_keep_a_limit_on_a_published_latency(fields, table, tmp_path):
    published = {"table": str(table), "device": "near", "part": "decoder"}
    made = job(fields, published=published, constraints={"published_ms": "<= 25"})
    folder = prepare_folder(made, tmp_path / "job")
    run(folder, made, lambda event: None)
    front = read_json(folder / "front.json")
    assert {"name": "published_ms", "source": "predicted", "role": "cost"}.items() <= front["objectives"][1].items()
    assert front["members"]
    for member in front["members"]:
        assert member["values"]["published_ms"] == pytest.approx(10 * member["architecture"]["decoder.depth"], rel=0.02)
        assert member["intervals"]["published_ms"][1] <= 25


def test_a_limit_that_no_network_keeps_is_refused_before_any_training(fields, table, tmp_path):
    published = {"table": str(table), "device": "far", "part": "decoder"}
    made = job(fields, published=published, constraints={"published_ms": "<= 50"})
    folder = prepare_folder(made, tmp_path / "job")
    with pytest.raises(InvalidJob, match=r"published_ms: <= 50 can't be met: by latency\.published no network is sure"):
        run(folder, made, lambda event: None)
    assert not (folder / "train").exists()


@pytest.mark.parametrize(
    ("published", "said"),
    [
        (None, "latency.published: must be given for published_ms, such as {table: hat.csv}"),
        ({"table": "nowhere.csv"}, "latency.published.table: "),
        ({}, "latency.published.device: must be one of far, near, got None"),
        ({"device": "farther"}, "latency.published.device: must be one of far, near, got farther"),
        ({"device": "far", "task": "de-fr"}, "latency.published.task: must be one of de-en, got de-fr"),
        ({"device": "far", "part": "all"}, "latency.published.part: must be one of encoder, decoder, both, got 'all'"),
    ],
)
def test_bad_input_is_one_line(fields, table, published, said):
    with pytest.raises(InvalidJob) as caught:
        job(fields, published=None if published is None else {"table": str(table), **published})
    (line,) = caught.value.mistakes
    assert line.startswith(said)


def test_other_spaces_have_no_such_features(fields, table):
    with pytest.raises(InvalidJob, match=r"latency\.published"):
        job(
            {**fields, "space": {"name": "tests.service.run.text_spaces:translators"}},
            published={"table": str(table), "device": "near"},
        )
