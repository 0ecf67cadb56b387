"""Latency of transformers by a table of ten features."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from nas.benchmarks.hat_latencies import HatLatencies, read_hat_latencies
from nas.objectives.hat_latency import HatLatency
from nas.predictors import Ridge
from search_spaces.families.autoformer import small_autoformer
from search_spaces.families.hat import hat
from search_spaces.families.hat_genes import FEATURES, features_of

TABLE = "hat/hat_transformer_latency.csv.gz"
MS = ("latency_mean_encoder_ms", "latency_mean_decoder_ms")


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, ["task", "device", *FEATURES, *MS])
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(task: str, device: str, decoder_ms: object = 2.0, **changed: object) -> dict[str, object]:
    of = {name: float(place) for place, name in enumerate(FEATURES, start=1)}
    return {"task": task, "device": device, **of, MS[0]: 1.5, MS[1]: decoder_ms, **changed}


def test_each_task_and_device_has_its_own_rows(tmp_path):
    rows = [row("de", "cpu", 2.0), row("de", "gpu", 3.0), row("de", "cpu", 4.0)]
    first, second = read_hat_latencies(written(tmp_path / "t.csv.gz", rows))
    assert (first.task, first.device, second.device) == ("de", "cpu", "gpu")
    assert first.decoder_ms.tolist() == [2.0, 4.0]
    assert first.milliseconds("both").tolist() == [3.5, 5.5]
    assert first.milliseconds("encoder").tolist() == [1.5, 1.5]
    assert first.features.tolist() == [[*range(1, 11)]] * 2


@pytest.mark.parametrize("wrong", ["x", "0", "-1", "nan", ""])
def test_cells_that_are_no_latency_are_named(tmp_path, wrong):
    path = written(tmp_path / "t.csv.gz", [row("de", "cpu"), row("de", "cpu", wrong)])
    with pytest.raises(ValueError, match=f"line 3: latency_mean_decoder_ms = '{wrong}' is not a number above 0"):
        read_hat_latencies(path)


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("task,device\nde,cpu\n")
    with pytest.raises(ValueError, match="has no column 'encoder_embed_dim'; it has task, device"):
        read_hat_latencies(tmp_path / "t.csv")


def made_up(space, number: int = 400) -> HatLatencies:
    """Latencies whose logarithm is linear in the features, with a little noise."""
    generator = np.random.default_rng(0)
    features = features_of(space.decisions, space.sample_encodings(number, generator))
    ms = np.exp(0.2 * features[:, 5] + 1e-3 * features[:, 0] + generator.normal(0, 0.01, number))
    return HatLatencies(task="de", device="cpu", features=features, encoder_ms=ms, decoder_ms=2 * ms)


def test_predictions_are_those_of_the_features_of_an_architecture():
    space = hat()
    objective = HatLatency(space, made_up(space), predictor=Ridge())
    assert (objective.name, objective.source, objective.role) == ("decoder_ms", "predicted", "cost")
    encodings = space.sample_encodings(50, np.random.default_rng(1))
    features = features_of(space.decisions, encodings)
    value, low, high = objective.estimate_encodings(encodings)
    truth = 2 * np.exp(0.2 * features[:, 5] + 1e-3 * features[:, 0])
    assert np.allclose(value, truth, rtol=0.02)
    assert np.allclose(high / value, value / low)
    assert objective.margin == pytest.approx(1.96 * 0.01, rel=0.4)
    assert np.allclose(objective.evaluate_encodings(encodings), value)
    assert objective.evaluate(space.decode(encodings[0])).value == pytest.approx(value[0])


def test_choices_of_layers_that_do_not_run_change_nothing():
    space = hat()
    objective = HatLatency(space, made_up(space))
    raw = np.random.default_rng(2).integers(0, space.choice_counts, (100, len(space.decisions)))
    assert np.allclose(objective.evaluate_encodings(raw), objective.evaluate_encodings(space.canonical(raw)))


def test_a_space_without_encoder_and_decoder_is_refused():
    with pytest.raises(ValueError, match="features of HAT are those of encoders and decoders"):
        HatLatency(small_autoformer(), made_up(hat()))


def test_intervals_hold_on_rows_of_the_published_table_that_were_not_seen(shared_data: Path):
    measured = next(one for one in read_hat_latencies(shared_data / TABLE) if one.device == "cpu_xeon")
    train, rest = np.split(np.random.default_rng(5).permutation(len(measured.features)), [1600])
    seen = HatLatencies(
        **{"task": measured.task, "device": measured.device, "features": measured.features[train]},
        **{"encoder_ms": measured.encoder_ms[train], "decoder_ms": measured.decoder_ms[train]},
    )
    objective = HatLatency(hat(), seen)
    predicted = np.exp(objective.predictor.predict(measured.features[rest]).mean)
    error = np.abs(predicted / measured.decoder_ms[rest] - 1)
    assert error.mean() < 0.07
    inside = np.abs(np.log(predicted / measured.decoder_ms[rest])) <= objective.margin
    assert 0.9 <= inside.mean() <= 0.99
