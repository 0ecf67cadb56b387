"""What is known of networks is found by role and source, in folders of every version."""

from service.job.folder import write_json
from service.job.front_file import (
    TASK_FILE,
    described_task,
    member_quantities,
    quality_of,
    read_front_file,
    read_retrained,
    task_of,
    task_of_job,
)
from supernets.tasks import Classification

EARLIER = {
    "objectives": [
        {"name": "accuracy", "unit": "%", "maximise": True, "bound": [None, None], "optimised": True},
        {"name": "latency_ms", "unit": "ms", "maximise": False, "bound": [None, 4.0], "optimised": True},
        {"name": "macs", "unit": "MACs", "maximise": False, "bound": [None, None], "optimised": False},
    ],
    "members": [
        {
            "key": "a",
            "architecture": {},
            "values": {"accuracy": 90.0, "latency_ms": 1.0, "macs": 5, "params": 3, "nwot": 2.0},
            "intervals": {"latency_ms": [0.9, 1.1]},
            "test_accuracy": 89.0,
        }
    ],
    "dropped": [{"key": "b", "architecture": {}, "values": {}, "reason": "dominated"}],
    "images": {"validation": 300, "test": 360},
}


def test_folder_of_an_earlier_version_is_read_in_the_terms_of_this_one(tmp_path):
    write_json(tmp_path / "front.json", EARLIER)
    front = read_front_file(tmp_path)
    assert front is not None
    assert front["members"][0]["test_quality"] == 89.0
    assert "test_accuracy" not in front["members"][0]
    assert front["examples"] == {"validation": 300, "test": 360}
    assert [(o["role"], o["source"]) for o in front["objectives"]] == [
        ("quality", "measured"),
        ("cost", "measured"),
        ("cost", "computed"),
    ]
    task = task_of(front)
    assert (task.name, task.metric.name, task.metric.unit, task.examples) == (
        "classification",
        "accuracy",
        "%",
        "images",
    )
    quantities = member_quantities(front)
    assert [q.name for q in quantities] == ["accuracy", "latency_ms", "macs", "params"]  # a noted score is not shown
    assert quality_of(quantities, task).name == "accuracy"
    assert [q.name for q in quantities if q.is_measured_cost] == ["latency_ms"]


def test_front_of_this_version_is_left_as_it_is(tmp_path):
    task = {"name": "regression", "metric": {"name": "R2", "unit": "", "maximise": True}, "examples": "rows"}
    objectives = [
        {"name": "R2", "unit": "", "maximise": True, "role": "quality", "source": "measured"},
        {"name": "energy", "unit": "mJ", "maximise": False, "role": "cost", "source": "predicted"},
    ]
    content = {
        "task": task,
        "objectives": objectives,
        "members": [{"key": "a", "architecture": {}, "values": {}, "test_quality": 0.5}],
    }
    write_json(tmp_path / "front.json", content)
    found = read_front_file(tmp_path)
    assert found is not None
    assert {name: found[name] for name in ("task", "objectives")} == {"task": task, "objectives": objectives}
    assert found["members"] == [{**content["members"][0], "intervals": {}, "letters": {}}]
    write_json(tmp_path / "front.json", found)
    assert read_front_file(tmp_path) == found


def test_missing_front_is_none(tmp_path):
    assert read_front_file(tmp_path) is None


def test_retrained_record_of_an_earlier_version_is_read(tmp_path):
    record = {"key": "a", "inherited_accuracy": 1.0, "retrained_accuracy": 2.0, "retrained_test_accuracy": 3.0}
    path = write_json(tmp_path / "result.json", record)
    expected = {"key": "a", "inherited_quality": 1.0, "retrained_quality": 2.0, "retrained_test_quality": 3.0}
    assert read_retrained(path) == expected
    assert read_retrained(tmp_path / "none.json") == {}


def test_task_is_known_before_there_is_a_front_and_kept_by_one_that_does_not_say_it(tmp_path):
    task = Classification(classes=10)
    write_json(tmp_path / TASK_FILE, {**described_task("classification", task), "examples": "flowers"})
    assert task_of_job(tmp_path).examples == "flowers"
    assert task_of_job(tmp_path).metric == task_of({}).metric
    write_json(tmp_path / "front.json", EARLIER)
    assert task_of_job(tmp_path).examples == "flowers"
