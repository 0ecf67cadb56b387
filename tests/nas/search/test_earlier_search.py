"""Searches that begin with an earlier one."""

import numpy as np
import pytest

from nas.search.earlier_search import EarlierSearch
from nas.search.journal import Journal
from nas.search.loop import search
from nas.searchers import NSGA2
from nas.searchers.seeded import Seeded
from tests.nas.helpers import bits, problem

DIRECTIONS = [("accuracy", True), ("macs", False)]


def searched(path=None, evaluations=60):
    space = bits(10)
    task = problem(space)
    journal = Journal(path, {"space": "bits", "objectives": task.describe()})
    made = NSGA2(space, objectives=2, population=10, seed=0, violation=task.exact_violation)
    found = search(made, task, journal, space=space, evaluations=evaluations)
    journal.close()
    return found


def test_a_job_folder_or_a_journal_is_read_and_another_space_refused(tmp_path):
    searched(tmp_path / "search" / "journal.jsonl")
    for path in (tmp_path, tmp_path / "search" / "journal.jsonl"):
        earlier = EarlierSearch.read(path, bits(10))
        assert len(earlier.evaluations) == 60
        assert earlier.objectives == DIRECTIONS
    with pytest.raises(ValueError, match="there is no journal"):
        EarlierSearch.read(tmp_path / "search", bits(10))
    other = bits(10)
    object.__setattr__(other, "name", "other")
    with pytest.raises(ValueError, match="is a search of bits, this one is of other"):
        EarlierSearch.read(tmp_path, other)


def test_an_objective_of_this_search_alone_is_stood_in_for_by_one_of_the_earlier_alone():
    found = searched()
    earlier = EarlierSearch.of(found, [("accuracy", True), ("macs", False)], bits(10))
    rows = np.stack([row for _, row in earlier.rows([("accuracy", True), ("latency_ms", False)])])
    assert np.array_equal(rows, [[-e.values["accuracy"], e.values["macs"]] for e in found])
    alone = EarlierSearch.of(found, [("accuracy", True)], bits(10))
    assert not np.stack([row for _, row in alone.rows([("accuracy", True), ("latency_ms", False)])])[:, 1].any()


def test_the_front_of_the_earlier_search_is_asked_for_first_and_only_once():
    front = EarlierSearch.of(searched(), DIRECTIONS, bits(10)).front()
    space, task = bits(10), problem(bits(10))
    searcher = Seeded(NSGA2(space, objectives=2, population=8, seed=1, violation=task.exact_violation), front)
    asked = searcher.ask()
    assert len(asked) == 8
    assert set(asked[:4]) <= set(front)
    searcher.tell(asked, np.random.default_rng(0).random((8, 2)), np.zeros(8))
    assert searcher.ask()[:4] != asked[:4]
