"""Held-out devices: nothing of the new device but its samples is used, and figures are what they say."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from nas.benchmarks.latency import DeviceTable, Errors, HeldOut, Setting, description, mean_over_seeds, summaries
from nas.predictors import Ridge
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from service.benchmarks.latency_devices import LatencyTableRequest, latency_table

RIDGE = partial(Setting, samples=(6, 12), from_scratch=Ridge)


def table_of(rows=120, seed=0):
    """Five devices on which two features cost differently much."""
    generator = np.random.default_rng(seed)
    described = generator.uniform(1, 2, (rows, 2))
    prices = np.array([[1.0, 3], [2, 2], [3, 1], [1, 1], [4, 1]])
    latency_ms = described @ prices.T * np.exp(0.01 * generator.normal(size=(rows, 5)))
    names = ["a_1", "a_32", "b", "c", "d"]
    counted = {"first": described[:, 0]}
    return DeviceTable(
        devices=names, families=["a", "a", "b", "c", "d"], latency_ms=latency_ms, described=described, counted=counted
    )


def test_methods_are_compared_on_the_same_samples():
    errors = HeldOut(table_of(), 2, RIDGE()).errors(0)
    methods = ["transfer", "from scratch", "first"]
    assert [(e.method, e.choice, e.samples) for e in errors] == [
        (method, choice, samples) for choice in ("random", "chosen") for samples in (6, 12) for method in methods
    ]
    figures = {(e.method, e.samples): e.values for e in errors if e.choice == "chosen"}
    assert figures["transfer", 6][0] > 0.95
    assert figures["transfer", 6][1] < 3
    assert figures["first", 6][0] < figures["transfer", 6][0]
    assert np.isnan(figures["first", 6][3])


def test_what_is_predicted_of_the_unmeasured_does_not_depend_on_their_latency():
    table = table_of()
    held_out = HeldOut(table, 1, RIDGE())
    chosen = held_out.transfer.choose(12, np.random.default_rng([0, 1]), held_out.rows)
    other = table.latency_ms.copy()
    rest = np.setdiff1d(np.arange(120), chosen)
    other[rest, 1] = 2 * other[rest, 1]
    doubled = HeldOut(replace(table, latency_ms=other), 1, RIDGE())
    assert np.array_equal(doubled.transfer.choose(12, np.random.default_rng([0, 1]), doubled.rows), chosen)
    before = {e.method: e.values for e in held_out.errors(0) if (e.choice, e.samples) == ("chosen", 12)}
    after = {e.method: e.values for e in doubled.errors(0) if (e.choice, e.samples) == ("chosen", 12)}
    # all true values doubled: the order is as well predicted, and predictions are half of what they should be
    assert after["transfer"][0] == pytest.approx(before["transfer"][0])
    assert after["transfer"][1] == pytest.approx(50, abs=2)


def test_a_family_is_held_out_whole():
    table = table_of()
    assert table.others(0, family_too=False) == [1, 2, 3, 4]
    assert table.others(0, family_too=True) == [2, 3, 4]


def test_gaps_are_filled_from_the_same_device():
    whole = table_of(rows=200)
    gaps = whole.latency_ms.copy()
    owner = np.arange(200) % 5
    gaps[owner[:, None] != np.arange(5)] = np.nan
    table = replace(whole, latency_ms=gaps)
    assert np.array_equal(table.completed_ms[table.measured], whole.latency_ms[table.measured])
    assert np.mean(np.abs(table.completed_ms / whole.latency_ms - 1)) < 0.03
    held_out = HeldOut(table, 3, RIDGE())
    assert np.array_equal(held_out.rows, np.flatnonzero(owner == 3))
    transfer = next(e for e in held_out.errors(0) if e.method == "transfer")
    assert transfer.values[0] > 0.9
    with pytest.raises(ValueError, match="a_1 lacks 160 latencies and nothing describes the rows"):
        replace(table, described=np.zeros((200, 0))).completed_ms  # noqa: B018


def test_a_description_counts_choices_and_costs():
    space = nasbench201()
    encodings = space.sample_encodings(20, np.random.default_rng(0))
    described, counted = description(space, encodings)
    counts = described[:, 30:35]
    assert described.shape == (20, 30 + 5 + 2)
    assert np.array_equal(counts, described[:, :30].reshape(20, 6, 5).sum(1))
    assert np.array_equal(counted["macs"], space.costs(encodings)["macs"])
    assert np.allclose(np.expm1(described[:, -1]), counted["params"])


def test_numbers_of_inactive_decisions_count_nothing():
    space = small_mobilenet_v3(image_size=8, channels=1, stage_widths=(16, 24), strides=(1, 2))
    encoding = space.encode(space.smallest())
    other = encoding.copy()
    other[~space.active(encoding[None])[0]] += 1
    assert (other != encoding).any()
    described, _ = description(space, np.stack([encoding, other]))
    assert np.array_equal(described[0], described[1])


def test_summaries_average_over_devices_and_name_the_worst():
    def errors(value):
        return Errors(method="transfer", choice="random", samples=10, values=(value, 10 * value, 1.0, 2.0))

    found = {"good": [[errors(0.9)], [errors(0.8)]], "bad": [[errors(0.5)], [errors(0.6)]]}
    (summary,) = summaries(found)
    assert summary.mean["spearman"].value == pytest.approx(0.7)
    assert summary.mean["spearman"].low == pytest.approx(0.7)
    assert summary.mean["mape_percent"].value == pytest.approx(7)
    assert (summary.worst, summary.worst_spearman.value) == ("bad", pytest.approx(0.55))
    assert summary.worst_spearman.low == pytest.approx(0.55 - 12.706 * 0.05, rel=1e-3)


def test_intervals_end_where_a_measure_ends():
    assert mean_over_seeds("spearman", np.array([0.9, 1.0])).high == 1.0
    assert mean_over_seeds("mape_percent", np.array([1.0, 9.0])).low == 0.0
    assert mean_over_seeds("mape_percent", np.array([1.0])).low is None


def test_what_is_no_latency_is_named():
    table = table_of()
    for value in (0.0, -1.0, np.inf):
        wrong = table.latency_ms.copy()
        wrong[7, 2] = value
        with pytest.raises(ValueError, match=rf"b: {value:g} in row 7 is not a latency"):
            replace(table, latency_ms=wrong)
    with pytest.raises(ValueError, match="leaves none to predict after 12 samples"):
        HeldOut(table_of(rows=12), 0, RIDGE())
    with pytest.raises(ValueError, match=r"samples must be numbers from 5 on, got \(4,\)"):
        RIDGE(samples=(4,))


def test_ten_samples_of_a_nasbench201_device_rank_the_rest(shared_data):
    table = latency_table(
        LatencyTableRequest(
            path=shared_data / "nasbench201/nb201_latency.csv.gz",
            space="nasbench201",
            join=shared_data / "nasbench201/nb201_cifar10.csv.gz",
        )
    )
    assert len(table.devices) == 19
    assert table.families[:3] == ["1080ti"] * 3
    found = HeldOut(table, list(table.devices).index("gold_6240"), RIDGE(samples=(10,), family_too=True)).errors(0)
    figures = {e.method: e.values[0] for e in found if e.choice == "chosen"}
    assert figures["transfer"] > 0.93
