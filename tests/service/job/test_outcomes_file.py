"""Outcomes and breakdowns as files of a job folder."""

import numpy as np
import pytest

from service.job.outcomes_file import read_breakdown, read_outcomes, write_breakdowns, write_outcomes
from supernets.tasks import Breakdown, Outcomes, Table

KEY = "0123456789ab"
OUTCOMES = Outcomes(np.array([100.0, 0.0]), {"target": np.array([1, 2]), "confidence": np.array([0.5, 0.25], "f4")})
BREAKDOWN = Breakdown(numbers={"error": (0.5, "mm")}, tables={"by group": Table(["group", "n"], [["a", 2]])})


def test_what_is_read_is_what_was_written(tmp_path):
    path = write_outcomes(tmp_path, KEY, "test", OUTCOMES)
    assert path == tmp_path / "front" / f"{KEY}.test.npz"
    found = read_outcomes(tmp_path, KEY, "test")
    assert found is not None
    assert found.scores.tolist() == [100.0, 0.0]
    assert found.columns.keys() == OUTCOMES.columns.keys()
    assert found.columns["confidence"].dtype == np.float32
    write_breakdowns(tmp_path, KEY, {"test": BREAKDOWN})
    assert read_breakdown(tmp_path, KEY) == BREAKDOWN


def test_jobs_without_outcomes_have_none(tmp_path):
    assert read_outcomes(tmp_path, KEY, "validation") is None
    assert read_breakdown(tmp_path, KEY) == Breakdown()
    write_breakdowns(tmp_path, KEY, {"test": BREAKDOWN})
    assert read_breakdown(tmp_path, KEY, "validation") == Breakdown()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut"])
def test_damaged_files_are_named(tmp_path, content):
    for name in (f"{KEY}.test.npz", f"{KEY}.breakdown.json"):
        (tmp_path / "front").mkdir(exist_ok=True)
        (tmp_path / "front" / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{KEY}\.test\.npz: damaged outcomes"):
        read_outcomes(tmp_path, KEY, "test")
    with pytest.raises(ValueError, match=rf"{KEY}\.breakdown\.json: damaged breakdown"):
        read_breakdown(tmp_path, KEY)


def test_pickles_are_not_loaded(tmp_path):
    (tmp_path / "front").mkdir()
    np.savez(tmp_path / "front" / f"{KEY}.test.npz", scores=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="damaged outcomes"):
        read_outcomes(tmp_path, KEY, "test")


@pytest.mark.parametrize("key", ["", "../x", "/etc/passwd", "a/b", "..", "a\\b"])
def test_keys_that_are_no_names_are_refused(tmp_path, key):
    with pytest.raises(ValueError, match="must be a name"):
        read_outcomes(tmp_path, key, "test")
    with pytest.raises(ValueError, match="must be a name"):
        write_outcomes(tmp_path, key, "test", OUTCOMES)
