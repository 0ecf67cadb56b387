"""How sure the numbers of a front are: intervals, and letters of members that cannot be told apart."""

import numpy as np
import pytest

from nas.intervals import interval_of_share
from service.job.front_file import brought_up_to_date, judged_front

OBJECTIVES = [
    {"name": "accuracy", "unit": "%", "maximise": True, "role": "quality", "source": "measured"},
    {"name": "latency_ms", "unit": "ms", "maximise": False, "role": "cost", "source": "measured"},
    {"name": "macs", "unit": "MACs", "maximise": False, "role": "cost", "source": "computed"},
]


def front(**changes: object) -> dict:
    rows = ((80.0, 1.0), (82.0, 1.05), (97.0, 3.0))
    members = [
        {
            "key": f"m{place}",
            "architecture": {},
            "values": {"accuracy": accuracy, "latency_ms": latency, "macs": 5.0},
            "intervals": {"latency_ms": [latency - 0.1, latency + 0.1]},
            "test_quality": accuracy - 1,
        }
        for place, (accuracy, latency) in enumerate(rows)
    ]
    examples = {"validation": 200, "test": 100}
    return {"objectives": OBJECTIVES, "members": members, "examples": examples, **changes}


def test_members_have_intervals_of_quality_and_letters_where_they_may_be_equal() -> None:
    found = brought_up_to_date(front())
    first, second, third = found["members"]
    assert first["intervals"]["accuracy"] == list(interval_of_share(80.0, 200))
    assert first["test_interval"] == list(interval_of_share(79.0, 100))
    same = {"accuracy": "b", "test_quality": "b", "latency_ms": "a"}
    same = {name: letters.replace("b", "a") for name, letters in same.items()}
    assert first["letters"] == second["letters"] == same
    assert third["letters"] == {}
    assert found["certainty"]["compared_by"] == dict.fromkeys(same, "intervals")


def test_without_the_number_of_examples_nothing_is_said_of_quality() -> None:
    found = brought_up_to_date(front(examples=None))
    assert [set(member["intervals"]) for member in found["members"]] == [{"latency_ms"}] * 3
    assert set(found["members"][0]["letters"]) == {"latency_ms"}


def test_members_are_compared_on_the_same_examples_where_these_are_kept() -> None:
    """Two networks two points apart, one of which is right wherever the other is, differ; intervals overlap."""
    right = {"m0": 780, "m1": 800, "m2": 970}

    def scores(key: str, split: str) -> np.ndarray | None:
        return np.where(np.arange(1000) < right[key], 100.0, 0.0) if split == "test" else None

    content = front(examples={"validation": 1000, "test": 1000})
    for member in content["members"]:
        member["test_quality"] = right[member["key"]] / 10
    assert brought_up_to_date(content)["members"][0]["letters"]["test_quality"] == "a"
    found = judged_front(content, scores)
    assert all("test_quality" not in member["letters"] for member in found["members"])
    assert found["certainty"]["compared_by"]["test_quality"] == "same examples"


def test_a_metric_that_is_no_share_has_the_interval_of_its_scores() -> None:
    generator = np.random.default_rng(0)
    kept = {f"m{place}": generator.normal(size=50) for place in range(3)}
    content = front(task={"name": "r", "metric": {"name": "R2", "unit": "", "maximise": True}, "examples": "rows"})
    for member in content["members"]:
        member["test_quality"] = float(kept[member["key"]].mean())
    found = judged_front(content, lambda key, split: kept[key] if split == "test" else None)
    for member in found["members"]:
        low, high = member["test_interval"]
        assert (low + high) / 2 == pytest.approx(member["test_quality"])
        assert member["letters"]["test_quality"] == "a"
    assert all("accuracy" not in member["intervals"] for member in found["members"])
