"""What every searcher of the catalogue promises."""

from functools import cache

import numpy as np
import pytest

from nas.objectives import Bound
from nas.predictors import Ridge
from nas.search.journal import Journal
from nas.search.loop import search
from search_spaces import Space
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench101 import nasbench101
from service import catalogue
from tests.nas.helpers import Leading, bits, problem
from tests.nas.search.test_search import Interrupted, without_times
from tests.nas.searchers.test_searchers import gapped_bits

OPTIONS = {"linas": {"inner_evaluations": 160, "predictor": Ridge}, "derived": {"draws": 24}}
ASKS_AGAIN = {"nsga2", "random", "regularized_evolution", "halving"}  # what is known costs nothing, or is for more data
FOLDED = {"surrogate": {"inner_evaluations": 200}}  # each draw is folded to see whether it is a member
SPACES = {
    "bits": lambda: bits(10),
    "conditional": lambda: small_mobilenet_v3(depths=(1, 2), expands=(2, 3), kernels=(3, 5)),
    "folded": cache(nasbench101),  # remembers what it has folded
    "gapped": gapped_bits,
}


SLOW = {"optuna_gp"}  # fits a model at every ask
PARAMS = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in catalogue.SEARCHERS]
ONLY_NEW = [param for param in PARAMS if param.values[0] not in ASKS_AGAIN]
ENDS_EARLY = {"halving", "nsga2", "regularized_evolution"}  # after many asks for what is known, where few are members
TO_THE_END = [name for name in catalogue.SEARCHERS if name not in ENDS_EARLY | SLOW]
GAPPED = 2**8 - 8 - 70 - 8


@pytest.fixture(params=PARAMS)
def name(request):
    return request.param


def made(name, space, *, objectives=2, population=8, seed=0, violation=lambda encodings: np.zeros(len(encodings))):
    offered = {"space": space, "objectives": objectives, "population": population, "seed": seed, "violation": violation}
    options = OPTIONS.get(name, {}) | (FOLDED.get(name, {}) if space.fold else {})
    return catalogue.make("searcher", name, offered=offered, options=options)


def losses_of(space: Space, architectures, objectives):
    """Smooth in the choices; the first objective wants late ones, the others want early ones."""
    encodings = np.stack([space.encode(architecture) for architecture in architectures])
    weights = 1 + np.arange(encodings.shape[1]) % 3
    columns = [-(encodings @ weights), encodings.sum(axis=1), (encodings[:, ::2]).sum(axis=1)]
    return np.stack(columns[:objectives], axis=1).astype(float)


def proposals(name, space, *, objectives, asks=6, seed=3):
    """What is asked over some asks, of which changing parts are told in a changing order."""
    searcher, generator, seen = made(name, space, objectives=objectives, seed=seed), np.random.default_rng(1), []
    for step in range(asks):
        asked = list(dict.fromkeys(a for _ in range(1 + step % 3) for a in searcher.ask()))
        assert asked
        seen.append(asked)
        part = generator.permutation(len(asked))[: generator.integers(1, len(asked) + 1) if step else len(asked)]
        told = [asked[i] for i in part]
        violations = (generator.random(len(told)) < 0.2) * generator.random(len(told))
        losses = losses_of(space, told, objectives)
        failed = generator.random(len(told)) < 0.1
        losses[failed], violations[failed] = np.inf, np.inf
        searcher.tell(told, losses, violations)
    return seen


@pytest.mark.parametrize("kind", SPACES)
def test_any_part_of_several_asks_may_be_told_and_the_same_is_asked_again_by_replay(name, kind):
    space = SPACES[kind]()
    for objectives in (1, 2, 3) if kind == "bits" else (2,):
        seen = proposals(name, space, objectives=objectives)
        assert all(architecture in space for asked in seen for architecture in asked)
        assert seen == proposals(name, space, objectives=objectives)
        assert seen[:2] != proposals(name, space, objectives=objectives, asks=2, seed=4)


def test_a_slow_searcher_replays_and_asks_for_news_too():
    for name in SLOW:
        seen = proposals(name, bits(6), objectives=2, asks=3)
        assert seen == proposals(name, bits(6), objectives=2, asks=3)
        assert len({architecture for asked in seen[:2] for architecture in asked}) == sum(map(len, seen[:2]))


def test_global_randomness_is_neither_used_nor_moved(name):
    import torch

    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what is looked at
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    once = proposals(name, bits(8), objectives=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert once == proposals(name, bits(8), objectives=2)


@pytest.mark.parametrize("name", ONLY_NEW)
@pytest.mark.parametrize("kind", SPACES)
def test_what_is_known_is_not_asked_for_while_others_remain(name, kind):
    space, known = SPACES[kind](), set()
    searcher = made(name, space)
    while len(known) < 40:
        asked = [a for _ in range(2) for a in searcher.ask()]
        assert asked
        assert len(set(asked)) == len(asked)
        assert not known & set(asked)
        searcher.tell(asked, losses_of(space, asked, 2), np.zeros(len(asked)))
        known |= set(asked)


def test_a_small_space_is_searched_to_its_end(name):
    space = bits(4)
    done = search(made(name, space), problem(space), Journal(None, {}), space=space, evaluations=1000)
    assert len(done) == 16
    searcher, known = made(name, space), set()
    while len(known) < 16:
        asked = searcher.ask()
        searcher.tell(asked, losses_of(space, asked, 2), np.zeros(len(asked)))
        known |= set(asked)
    left = set(searcher.ask())
    assert left <= known
    assert bool(left) == (name in ASKS_AGAIN)


@pytest.mark.parametrize("name", TO_THE_END)
def test_a_small_space_of_few_members_is_searched_to_its_end(name):
    assert len(searched(name, gapped_bits())) == GAPPED


@pytest.mark.parametrize("name", sorted(ENDS_EARLY))
def test_a_searcher_that_ends_early_has_found_half_of_the_members(name):
    assert GAPPED / 2 < len(searched(name, gapped_bits())) < GAPPED


def searched(name, space):
    return search(made(name, space), problem(space), Journal(None, {}), space=space, evaluations=1000)


def outside(name, most):
    """How many of what is asked break an exact limit, over some asks."""
    space = bits(14)
    task = problem(space, macs=Bound(high=most))
    searcher, broken = made(name, space, violation=task.exact_violation), 0
    for _ in range(4):
        asked = searcher.ask()
        violations = task.exact_violation(np.stack([space.encode(a) for a in asked]))
        searcher.tell(asked, losses_of(space, asked, 2), violations)
        broken += int((violations > 0).sum())
    return broken


@pytest.mark.parametrize("name", ONLY_NEW)
@pytest.mark.parametrize("most", [2, 5])
def test_nothing_outside_exact_limits_is_asked_for(name, most):
    assert outside(name, most) == 0


@pytest.mark.parametrize("name", sorted(ASKS_AGAIN))
def test_searchers_of_which_the_search_drops_what_is_outside_limits_ask_for_it(name):
    assert outside(name, most=2) > 0


@pytest.mark.parametrize("most", [2, 5])
def test_exact_limits_are_kept(name, most):
    space, objective = bits(14), Leading()
    task = problem(space, objective, macs=Bound(high=most))
    searcher = made(name, space, violation=task.exact_violation)
    assert len(search(searcher, task, Journal(None, {}), space=space, evaluations=30)) == 30
    assert all(sum(architecture.values()) <= most for architecture in objective.calls)


def test_candidates_that_fail_do_not_stop_a_search(name):
    class Moody(Leading):
        def evaluate(self, architecture, fidelity=1.0):
            if architecture["bit3"]:
                raise RuntimeError("out of memory")
            return super().evaluate(architecture)

    space = bits(8)
    done = search(made(name, space), problem(space, Moody()), Journal(None, {}), space=space, evaluations=40)
    assert len(done) == 40
    assert {e.status for e in done} == {"ok", "failed"}


def test_a_search_of_which_everything_fails_ends_with_its_budget(name):
    class Broken(Leading):
        def evaluate(self, architecture, fidelity=1.0):
            raise RuntimeError("out of memory")

    space = bits(8)
    done = search(made(name, space), problem(space, Broken()), Journal(None, {}), space=space, evaluations=30)
    assert [e.status for e in done] == ["failed"] * 30


def test_a_resumed_search_writes_the_journal_of_an_uninterrupted_one(tmp_path, name):
    space, evaluations = bits(10), 50

    def run(path, stop=None, objective=None):
        def observe(event):
            if event["done"] == stop:
                raise Interrupted

        journal = Journal(path, {"seed": 0})
        try:
            task = problem(space, objective, accuracy=Bound(low=1))
            search(made(name, space), task, journal, space=space, evaluations=evaluations, observer=observe)
        finally:
            journal.close()

    run(tmp_path / "whole.jsonl")
    for stop in (5, evaluations - 10):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts.jsonl", stop)
    objective = Leading()
    run(tmp_path / "parts.jsonl", objective=objective)
    assert without_times(tmp_path / "whole.jsonl") == without_times(tmp_path / "parts.jsonl")
    assert len(objective.calls) == 10


def test_what_a_searcher_can_do_is_said_by_the_protocol(name):
    searcher = made(name, bits(8))
    assert isinstance(searcher.fidelity, float)
    assert searcher.expected_gain is None
    taken = catalogue.parameters("searcher", name)
    assert searcher.follows_evaluations == ("evaluations" in taken)
    assert searcher.learns_from_earlier == ("warm_start" in taken)
    for _ in range(3):
        asked = searcher.ask()
        searcher.tell(asked, losses_of(bits(8), asked, 2), np.zeros(len(asked)))
    searcher.ask()
    assert (searcher.expected_gain is not None) == searcher.predicts_gain


def test_pending_candidates_are_considered_or_make_no_difference(name):
    space = bits(8)
    searcher, twin = made(name, space), made(name, space)
    for one in (searcher, twin):
        asked = one.ask()
        one.tell(asked, losses_of(space, asked, 2), np.zeros(len(asked)))
    pending = searcher.ask()
    assert pending == twin.ask()
    beside, alone = searcher.ask(pending), twin.ask()
    if searcher.considers_pending:
        assert beside
        assert not set(beside) & set(pending)
    else:
        assert beside == alone
