"""Latency tables: built, resumed after SIGKILL, and right where the truth is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from nas.hardware.latency_correction import LatencyCorrection
from nas.hardware.latency_table import LatencyTable
from nas.hardware.latency_table_building import TableConfig, TableFailed, relative_slowness, spread
from nas.objectives import PredictedLatency
from nas.search.journal import Records
from search_spaces.blocks import InvertedResidual
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.networks.nasbench_macro_network import NASBenchMacroNetwork
from supernets.estimate import Estimate
from tests.killing import kill_after_progress
from tests.nas.simulated_device import Device, build, space, true_ms

HEADER = {"table": "test"}


@pytest.fixture(scope="module")
def quiet() -> LatencyTable:
    return build(Device())


def test_the_correction_finds_what_the_sum_misses(quiet):
    accuracy = quiet.held_out()
    assert accuracy["sum"].networks == accuracy["corrected"].networks == 30
    assert accuracy["sum"].mape_percent > 5
    assert accuracy["corrected"].mape_percent < 0.5
    assert accuracy["corrected"].worst_percent < 2
    assert accuracy["corrected"].spearman > 0.999


def test_every_block_is_measured_as_it_is(quiet):
    blocks = space().blocks.distinct
    truth = [true_ms(block.build()) for block in blocks]
    np.testing.assert_allclose([estimate.value for estimate in quiet.blocks_ms], truth)
    encodings = space().sample_encodings(20, np.random.default_rng(0))
    naive = [sum(repeats * truth[row] for row, repeats in space().blocks.rows(encoding)) for encoding in encodings]
    np.testing.assert_allclose(quiet.sums(encodings), naive)


def test_intervals_cover_what_is_measured_under_noise():
    table = build(Device(noise=0.05), held_out=200, networks=40)
    accuracy = table.held_out()["corrected"]
    assert 85 <= accuracy.covered_percent <= 100
    _, low, high = table.predict(space().sample_encodings(100, np.random.default_rng(0)))
    assert np.median((high - low) / (high + low)) < 0.25  # not by being endless: noise of 5 % is 10 % either way


def test_a_slow_minute_and_outliers_do_not_spoil_the_table():
    table = build(Device(noise=0.005, slow=[1, 1.4, 1, 1, 1.3]))
    assert table.held_out()["corrected"].mape_percent < 2
    encodings = np.concatenate([[space().encode(n.architecture)] for n in build(Device()).networks])
    totals = build(Device())._totals(encodings)
    measured = 1.2 * totals[:, 0]
    measured[[3, 17]] *= 5
    correction = LatencyCorrection(totals, measured)
    assert correction.outliers == 2
    np.testing.assert_allclose(correction.predict(totals)[0], 1.2 * totals[:, 0], rtol=0.01)


def test_slowness_that_intervals_explain_is_not_corrected():
    noisy = [Estimate(value, value - 0.2, value + 0.2) for value in (1.0, 1.05, 0.95, 1.02, 0.97)]
    np.testing.assert_allclose(relative_slowness(noisy), 1.0, atol=0.01)
    drifting = [Estimate(value, value - 0.01, value + 0.01) for value in (1.0, 1.0, 1.0, 1.5)]
    np.testing.assert_allclose(relative_slowness(drifting), [1, 1, 1, 1.5], atol=0.01)


def test_a_table_read_back_predicts_the_same(quiet):
    again = LatencyTable.from_json(json.loads(json.dumps(quiet.to_json())), space())
    encodings = space().sample_encodings(50, np.random.default_rng(3))
    for before, after in zip(quiet.predict(encodings), again.predict(encodings)):
        np.testing.assert_array_equal(before, after)
    assert again.fingerprint == quiet.fingerprint
    assert again.held_out() == quiet.held_out()


def test_the_objective_predicts_one_as_it_predicts_many(quiet):
    objective = PredictedLatency(quiet)
    encodings = space().sample_encodings(5, np.random.default_rng(4))
    values, low, high = objective.estimate_encodings(encodings)
    for i, encoding in enumerate(encodings):
        estimate = objective.evaluate(space().decode(encoding))
        np.testing.assert_allclose([estimate.value, estimate.low, estimate.high], [values[i], low[i], high[i]])
    assert (low <= values).all()
    assert (values <= high).all()


@pytest.mark.parametrize("options", [{"width": 8}, {"image_size": 32}, {"depths": (2, 2)}])
def test_a_table_of_another_space_is_refused(quiet, options):
    with pytest.raises(ValueError, match="built for another space"):
        LatencyTable.from_json(quiet.to_json(), space(**options))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency_table": 2}, "no latency table of format 1"),
        ({"blocks": [{}]}, "damaged"),
        ({"networks": 3}, "damaged"),
    ],
)
def test_what_is_no_table_is_refused(quiet, change, message):
    with pytest.raises(ValueError, match=message):
        LatencyTable.from_json({**quiet.to_json(), **change}, space())


def test_networks_reach_from_the_fastest_to_the_slowest():
    made = small_mobilenet_v3()
    encodings = spread(made, lambda e: made.costs(e)["macs"].astype(float), 30, np.random.default_rng(0))
    macs = made.costs(encodings)["macs"]
    assert len(np.unique(encodings, axis=0)) == 30
    assert macs[0] == made.costs([made.smallest()])["macs"][0]
    assert macs[-1] == made.costs([made.largest()])["macs"][0]
    steps = np.diff(np.log(macs))
    assert steps.max() < 3 * np.log(macs[-1] / macs[0]) / 29


def test_time_that_is_over_leaves_out_networks_but_no_blocks():
    events: list[dict] = []
    table = build(Device(seconds=0.02), minutes=1e-6, passes=3, events=events)
    assert len(table.blocks_ms) == len(space().blocks.distinct)
    assert sum(network.part == "fit" for network in table.networks) >= 8
    assert len(table.networks) < 50
    assert events[-1]["done"] == events[-1]["total"]


def test_time_that_is_left_goes_into_more_passes():
    device = Device()
    build(device, passes=3)
    once = Device()
    build(once, passes=1)
    assert device.measured == 3 * once.measured


def slow_build(path: str) -> None:
    build(Device(noise=0.02, seconds=0.1), journal=Records(Path(path), HEADER, what="latency table"), passes=2)


@pytest.mark.integration
def test_a_build_killed_twice_measures_nothing_twice_and_ends_with_the_same_networks(tmp_path):
    path = tmp_path / "t.jsonl"
    before: list[str] = []
    for _ in range(2):
        kill_after_progress(slow_build, path, path, 0.25)
        lines = path.read_text().splitlines()
        assert len(lines) > len(before)
        assert lines[: len(before)] == before
        before = [line for line in lines if line.endswith("}")]
    device = Device(noise=0.02)
    table = build(device, journal=Records(path, HEADER, what="latency table"), passes=2)
    records = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    groups = [(r["pass"], r["kind"], tuple(r["members"])) for r in records if "members" in r]
    assert len(groups) == len(set(groups))
    assert device.measured < sum(1 + len(members) for *_, members in groups)
    whole = build(Device(noise=0.02), passes=2)
    assert len(table.networks) == len(whole.networks) == 50
    assert [b.value for b in table.blocks_ms] == pytest.approx([b.value for b in whole.blocks_ms], rel=0.2)


def test_networks_that_fail_are_left_out_and_blocks_that_fail_are_named():
    class Failing(Device):
        def __init__(self, what: type) -> None:
            super().__init__()
            self.what = what

        def __call__(self, modules, shapes):
            found = super().__call__(modules, shapes)
            return [
                RuntimeError("too slow") if i and isinstance(m, self.what) and self.generator.random() < 0.1 else e
                for i, (m, e) in enumerate(zip(modules, found))
            ]

    table = build(Failing(NASBenchMacroNetwork), networks=30)
    assert 30 < len(table.networks) < 60
    assert table.held_out()["corrected"].mape_percent < 1
    with pytest.raises(TableFailed, match=r"blocks have no latency, such as mb.*: too slow"):
        build(Failing(InvertedResidual))


def test_too_few_networks_are_refused():
    with pytest.raises(ValueError, match="networks must be at least 8, got 7"):
        TableConfig(networks=7)
    with pytest.raises(ValueError, match="at least 8 networks measured whole, got 2"):
        LatencyCorrection(np.ones((2, 3)), np.ones(2))
