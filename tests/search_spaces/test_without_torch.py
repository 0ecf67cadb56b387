"""Spaces are data: reading them needs no torch, which takes seconds to import."""

import json
import subprocess
import sys

import pytest

from service import catalogue

RUNNING = {"timm", "split", "joined"}
"""Spaces that are read off networks of torch."""
CODE = (
    f"RUNNING = {RUNNING}"
    + """
import json, sys
import numpy as np
import search_spaces, search_spaces.space, search_spaces.architecture, search_spaces.costs, search_spaces.places
from service import catalogue

found = {}
for name in catalogue.SPACES.keys() - RUNNING:
    space = catalogue.resolve("space", name)()
    ends = space.costs([space.smallest(), space.largest()])
    row = {"architecture": json.dumps(space.sample(np.random.default_rng(0)).to_json())}
    space.read_row(row), space.mutate(space.largest(), np.random.default_rng(0)), space.describe()
    found[name] = {"count": space.count(), "costs": {cost: ends[cost].tolist() for cost in space.cost_names}}
    assert "torch" not in sys.modules, name
print(json.dumps(found))
"""
)


@pytest.mark.integration
def test_reading_every_space_of_the_catalogue_imports_no_torch():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == catalogue.SPACES.keys() - RUNNING
    for name, facts in found.items():
        assert facts["count"] > 0
        assert set(facts["costs"]) == {"params", "macs"}, name
        assert all(0 < low <= high for low, high in facts["costs"].values())
