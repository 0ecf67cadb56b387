"""Models of timm, from their trace to a file that runs: a sample, and all families where there is time."""

import pytest

from benchmarks.timm_coverage import STEPS, dimensions, examined, faults, in_a_process
from benchmarks.timm_names import names

QUICK = {"test_vit": 4, "test_mambaout": 4, "test_efficientnet": 2}
"""Model of fewer than a million weights -> kinds of dimension that are elastic."""
FALL_SHORT: dict[str, str] = {}
"""Model -> beginning of what it lacks; nothing else may be lacking."""


@pytest.mark.parametrize("name", QUICK)
def test_a_model_becomes_an_elastic_network(name: str):
    steps = [step for step in STEPS if step != "onnx" or name == "test_vit"]
    line = {key: value for part in examined(name, steps) for key, value in part.items()}
    assert faults(line) == []
    assert len(dimensions(line)) == QUICK[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", names("first"))
def test_a_model_of_every_family_becomes_an_elastic_network(name: str):
    assert [one for one in faults(in_a_process(name, STEPS)) if not one.startswith(FALL_SHORT.get(name, "-"))] == []
