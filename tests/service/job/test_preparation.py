"""Which supernet of another job can be searched."""

from dataclasses import replace
from typing import Any

import pytest

from service.job.job import TaskConfig, to_dict
from service.job.loading import load_job
from service.job.preparation import supernet_differences


@pytest.mark.parametrize("theirs", [None, {"name": None, "options": {}}, {"name": "classification", "options": {}}])
@pytest.mark.parametrize("named", [None, "classification"])
def test_the_task_of_the_data_is_the_same_named_or_not(theirs: Any, named: str | None) -> None:
    job = replace(load_job("quickstart"), task=TaskConfig(name=named))
    tree = {**to_dict(job), "task": theirs}
    assert supernet_differences(job, tree) == []
    del tree["task"]  # as jobs of earlier versions are
    assert supernet_differences(job, tree) == []


def test_a_supernet_of_another_task_or_of_other_data_is_told() -> None:
    job = load_job("quickstart")
    other = {**to_dict(job), "task": {"name": "own:task", "options": {"a": 1}}}
    assert supernet_differences(job, other) == [
        'task.name: "own:task" there, "classification" now',
        "task.options.a: 1 there, null now",
    ]
    data = {**to_dict(job), "data": {**to_dict(job)["data"], "source": "noise"}}
    assert supernet_differences(job, data) == ['data.source: "noise" there, "digits" now']


def test_fields_that_an_earlier_version_did_not_have_make_no_difference() -> None:
    job = load_job("quickstart")
    earlier = {name: value for name, value in to_dict(job).items() if name != "task"}
    earlier["data"] = {name: value for name, value in earlier["data"].items() if name != "options"}
    assert supernet_differences(job, earlier) == []
