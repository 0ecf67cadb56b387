"""What a job leaves, in the terms of MLflow: the charts of several searches."""

import base64
import json
import zlib

from service.tracking.format import is_in_view, view_state
from tests.service.synthetic_job import CLASSIFICATION, OBJECTIVES


def test_view_of_several_spaces_has_one_axis_of_text_and_no_decisions():
    front = complete_front()
    one = {"search": "0f a", "space": "small_mobilenet_v3", "stage1.depth": "2", "edge0_1": "-"}
    other = {"search": "1f b", "space": "nasbench201", "stage1.depth": "3", "edge0_1": "none"}

    def selected(*members):
        state = view_state(members, front).removeprefix("deflate;")
        view = json.loads(zlib.decompress(base64.b64decode(state)))
        assert view["compareRunSections"][0]["columns"] == 1
        return view["compareRunCharts"][1]["selectedParams"]

    assert selected(one, other) == ["search"]
    assert selected(one, {**one, "search": "2f c", "stage1.depth": "4"}) == ["search", "stage1.depth"]
    assert selected(one, {**one, "stage1.depth": "4"}) == ["stage1.depth"]
    assert selected() == []


def test_runs_without_the_metrics_of_a_front_are_not_in_its_view():
    front = complete_front()
    assert is_in_view(["accuracy", "latency_ms", "params", "test_accuracy"], front)
    assert not is_in_view(["r2", "latency_ms", "params"], front)


def complete_front():
    values = {"accuracy": 90.0, "latency_ms": 1.0, "macs": 1e6, "params": 1e4}
    return {"task": CLASSIFICATION.task, "objectives": OBJECTIVES, "members": [{"key": "a", "values": values}]}
