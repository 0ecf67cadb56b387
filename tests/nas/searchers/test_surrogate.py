"""The surrogate searcher: its promises as a searcher, and what it is for."""

import numpy as np
import pytest

from nas.objectives import Bound
from nas.search.journal import Journal
from nas.search.loop import search
from nas.searchers import Filtered
from nas.searchers.new_architectures import key
from nas.searchers.surrogate import Surrogate
from nas.searchers.surrogate.candidates import Candidates
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench101 import nasbench101
from tests.nas.helpers import Leading, bits, problem
from tests.nas.search.test_search import Interrupted, without_times
from tests.nas.searchers.test_searchers import gapped_bits, no_limits, ones


def tiny_nasbench101():
    """Cells of up to two vertices between input and output."""
    unused = {pattern: [0] for i in (3, 4, 5) for pattern in (f"edge*_{i}", f"edge{i}_*")}
    return nasbench101().restrict(unused | {f"op{i}": ["maxpool3x3"] for i in (3, 4, 5)})


def macs(space):
    return lambda encodings: space.costs(encodings)["macs"].astype(float)


def weighted(space, seed=0):
    """Losses of an architecture: a random additive function of its features with some interaction, and MACs."""
    generator = np.random.default_rng(seed)
    width = space.features(space.sample_encodings(1, generator)).shape[1]
    first, second = generator.normal(size=width), generator.normal(size=(width, 2)) / 4

    def losses(encodings):
        x = space.features(encodings)
        size = np.log1p(space.costs(encodings)["macs"].astype(float))
        value = x @ first + (x @ second).prod(axis=1) - 5 * size
        return np.stack([value, macs(space)(encodings)], axis=1)

    return losses


def made(space, *, objectives=2, **options):
    options = {"population": 12, "seed": 0, "violation": no_limits, "inner_evaluations": 400, **options}
    return Surrogate(space, objectives=objectives, **options)


def evaluated(searcher, losses, n, space):
    """Losses [M, K] of at least `n` distinct architectures, fewer where the searcher ends."""
    seen = {}
    while len(seen) < n:
        asked = searcher.ask()
        if not asked:
            break
        rows = losses(np.stack([space.encode(a) for a in asked]))
        searcher.tell(asked, rows, np.zeros(len(asked)))
        seen.update(zip(asked, rows))
    return np.stack(list(seen.values()))[:n]


# ---- as a searcher ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("model", ["gp", "ensemble"])
def test_what_is_told_may_be_any_part_of_several_asks(objectives, model):
    space, generator = gapped_bits(), np.random.default_rng(0)
    searcher = made(space, objectives=objectives, population=6, model=model)
    seen = set()
    for _ in range(8):
        asked = list(dict.fromkeys(a for _ in range(3) for a in searcher.ask()))
        assert not seen & set(asked)
        assert all(a in space for a in asked)
        part = [asked[i] for i in generator.permutation(len(asked))[: generator.integers(1, len(asked) + 1)]]
        losses = np.stack([-ones(part) * (k + 1) + k * generator.random(len(part)) for k in range(objectives)], axis=1)
        searcher.tell(part, losses, np.zeros(len(part)))
        seen.update(part)


def test_asks_before_a_tell_propose_different_architectures():
    space = bits(12)
    searcher = made(space)
    evaluated(searcher, weighted(space), 12, space)
    asked = [a for _ in range(4) for a in searcher.ask()]
    assert len(set(asked)) == len(asked) == 16


def test_the_same_asks_and_tells_give_the_same_proposals():
    space = small_mobilenet_v3()

    def proposals():
        searcher, losses, seen = made(space, seed=3), weighted(space), []
        for step in range(5):
            asked = [a for _ in range(1 + step % 2) for a in searcher.ask()]
            seen.append(asked)
            part = asked[: 6 + step]
            searcher.tell(part, losses(np.stack([space.encode(a) for a in part])), np.zeros(len(part)))
        return seen

    assert proposals() == proposals()


@pytest.mark.parametrize("space", [bits(4), gapped_bits(), tiny_nasbench101()])
def test_every_member_of_a_small_space_is_proposed_once_and_then_nothing(space):
    searcher, seen = made(space, population=6), []
    while asked := searcher.ask():
        seen += asked
        searcher.tell(asked, np.stack([[len(a), hash(a.key) % 7] for a in asked]), np.zeros(len(asked)))
    members = {key(row) for row in Candidates(space, no_limits).all()}
    assert len(seen) == len(set(seen)) == len(members)


def test_failed_and_infeasible_candidates_are_learned_from():
    """Half of the space fails and a quarter breaks a limit that is not known exactly: soon little of both is asked."""
    space, bad = bits(14), []
    searcher, losses = made(space, seed=1), weighted(space)
    for _ in range(20):
        asked = searcher.ask()
        rows = losses(np.stack([space.encode(a) for a in asked]))
        failed = np.array([a["bit3"] == 1 for a in asked])
        outside = np.array([a["bit4"] == 1 and a["bit3"] == 0 for a in asked])
        rows[failed] = np.inf
        searcher.tell(asked, rows, np.where(failed, np.inf, np.where(outside, 0.3, 0.0)))
        bad.append(np.mean(failed | outside))
    assert bad[0] > 0.5
    assert np.mean(bad[-8:]) < 0.2


def test_where_everything_fails_it_goes_on_to_new_ones():
    space, searcher, seen = bits(10), made(bits(10)), []
    for _ in range(6):
        asked = searcher.ask()
        seen += asked
        searcher.tell(asked, np.full((len(asked), 2), np.inf), np.full(len(asked), np.inf))
    assert len(seen) == len(set(seen)) > 30
    assert all(a in space for a in seen)


def test_exact_limits_are_kept_and_measured_ones_learned():
    space, objective = bits(14), Leading()
    task = problem(space, objective, macs=Bound(high=8), accuracy=Bound(low=3))
    searcher = made(space, violation=task.exact_violation, exact={1: macs(space)}, limits={0: -3.0})
    done = search(searcher, task, Journal(None, {}), space=space, evaluations=60)
    assert len(done) == len(set(objective.calls)) == 60
    assert all(sum(a.values()) <= 8 for a in objective.calls)
    # a random architecture keeps the limit with probability 1/8
    assert np.mean([e.status == "ok" for e in done[12:]]) > 0.5


def test_a_resumed_search_writes_the_journal_of_an_uninterrupted_one(tmp_path):
    space = bits(12)

    def run(path, stop=None, objective=None):
        def observe(event):
            if event["done"] == stop:
                raise Interrupted

        journal = Journal(path, {"seed": 0})
        try:
            searcher = made(space, evaluations=60, exact={1: macs(space)})
            search(searcher, problem(space, objective), journal, space=space, evaluations=60, observer=observe)
        finally:
            journal.close()

    run(tmp_path / "whole.jsonl")
    for stop in (5, 31):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts.jsonl", stop)
    objective = Leading()
    run(tmp_path / "parts.jsonl", objective=objective)
    assert without_times(tmp_path / "whole.jsonl") == without_times(tmp_path / "parts.jsonl")
    assert len(objective.calls) == 29


def test_a_filter_around_it_gets_a_larger_pool():
    space = bits(12)
    searcher = Filtered(made(space), ones, candidates=3, first=False)
    evaluated(searcher, weighted(space), 12, space)
    inner = made(space)
    evaluated(inner, weighted(space), 12, space)
    assert ones(searcher.ask()).mean() > ones(inner.ask()).mean()


# ---- what it is for --------------------------------------------------------------------------------------------------


def test_the_best_of_one_objective_is_found():
    space = bits(14)
    losses = weighted(space)

    def value(encodings):
        return losses(encodings)[:, :1]

    best = value(Candidates(space, no_limits).all()).min()
    found = evaluated(made(space, objectives=1, seed=2), value, 80, space)
    assert found.min() == pytest.approx(best)


def test_the_expected_gain_falls_as_the_front_is_found():
    space = bits(10)
    searcher, losses = made(space, exact={1: macs(space)}), weighted(space)
    searcher.ask()
    assert searcher.expected_gain is None
    gains = []
    for _ in range(25):
        asked = searcher.ask()
        searcher.tell(asked, losses(np.stack([space.encode(a) for a in asked])), np.zeros(len(asked)))
        gains.append(searcher.expected_gain)
    known = [gain for gain in gains if gain is not None]
    assert known[0] > 0.001
    assert max(known[-5:]) < 0.1 * known[0]


def test_an_earlier_search_of_other_objectives_is_refused():
    space = small_mobilenet_v3()
    with pytest.raises(ValueError, match="has 1 losses; the search has 2"):
        made(space, warm_start=[(space.smallest(), (1.0,))])


def test_standard_errors_keep_a_lucky_measurement_from_ruling():
    space = bits(12)
    losses = weighted(space)
    encodings = np.unique(space.sample_encodings(60, np.random.default_rng(0)), axis=0)
    rows = losses(encodings)
    lucky = int(np.argmax(rows[:, 0]))
    rows[lucky, 0] = rows[:, 0].min() - 5 * rows[:, 0].std()
    names = [space.decode(row) for row in encodings]

    def best(**options):
        searcher = made(space, exact={1: macs(space)}, **options)
        searcher.tell(names, rows, np.zeros(len(names)))
        return searcher._front.points[:, 0].min()

    believed = best(standard_errors=lambda a: (20 * rows[:, 0].std() if a == names[lucky] else 0.0, 0.0))
    assert best() == pytest.approx(rows[lucky, 0])
    assert believed > rows[lucky, 0] + 2 * rows[:, 0].std()
