"""The protocol of searchers, regularised evolution, the filter of proposals, and scores that learn."""

import numpy as np
import pytest

from nas.objectives import Bound
from nas.rank_agreement import spearman
from nas.search.journal import Journal
from nas.search.loop import search
from nas.searchers import AutoScore, Filtered, Searcher, cost_scores
from nas.searchers.non_dominated import crowding
from nas.searchers.regularized_evolution import RegularizedEvolution
from search_spaces import Decision, InvalidArchitecture, Space
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from tests.nas.helpers import Leading, bits, problem
from tests.nas.search.test_search import SEARCHERS, Interrupted, without_times


def no_limits(encodings):
    return np.zeros(len(encodings))


def ones(architectures):
    return np.array([sum(architecture.values()) for architecture in architectures], dtype=float)


def filtered_evolution(*args, **kwargs):
    return Filtered(RegularizedEvolution(*args, **kwargs), ones, candidates=4)


def auto_filtered(space, **kwargs):
    score = AutoScore({"ones": ones, "zeros": lambda a: -ones(a)}, {}, least_evaluations=5)
    return Filtered(SEARCHERS["nsga2"](space, **kwargs), score, candidates=3, told=score.tell)


ALL = {**SEARCHERS, "filtered": filtered_evolution, "auto": auto_filtered}


def gapped_bits() -> Space:
    """Bits of which 1, 4 or 7 ones are no member."""

    def fold(values):
        if sum(values.values()) % 3 == 1:
            raise InvalidArchitecture(f"{values} has one too many")
        return values

    return Space(
        name="even", decisions=tuple(Decision(f"bit{i}", (0, 1)) for i in range(8)), fold=fold, cost=bits(8).cost
    )


def made(name, space, *, objectives=2, population=8, seed=0):
    return ALL[name](space, objectives=objectives, population=population, seed=seed, violation=no_limits)


def tell(searcher, architectures, objectives=2):
    losses = np.stack([-ones(architectures), *[ones(architectures)] * (objectives - 1)], axis=1)
    searcher.tell(architectures, losses, np.zeros(len(architectures)))


@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize("name", ALL)
def test_what_is_told_may_be_any_part_of_several_asks(name, objectives):
    space, generator = bits(10), np.random.default_rng(0)
    searcher = made(name, space, objectives=objectives)
    for _ in range(12):
        asked = list(dict.fromkeys(a for _ in range(3) for a in searcher.ask()))
        assert asked
        assert all(architecture in space for architecture in asked)
        part = generator.permutation(len(asked))[: generator.integers(1, len(asked) + 1)]
        tell(searcher, [asked[i] for i in part], objectives)


@pytest.mark.parametrize("name", ALL)
def test_asks_before_the_first_tell_propose_different_architectures(name):
    searcher = made(name, bits(12))
    assert len({architecture for _ in range(3) for architecture in searcher.ask()}) > 16


@pytest.mark.parametrize("name", ALL)
def test_the_same_asks_and_tells_give_the_same_proposals(name):
    def proposals():
        searcher, seen = made(name, small_mobilenet_v3(), seed=3), []
        for step in range(8):
            asked = [a for _ in range(1 + step % 3) for a in searcher.ask()]
            seen.append(asked)
            evaluated = asked[: 1 + step]
            searcher.tell(evaluated, -np.array([[len(a), step] for a in evaluated]), np.zeros(len(evaluated)))
        return seen

    assert proposals() == proposals()


@pytest.mark.parametrize("name", ALL)
def test_only_members_are_proposed_where_not_all_values_are_members(name):
    space = gapped_bits()
    searcher = made(name, space)
    for _ in range(15):
        asked = searcher.ask()
        assert all(sum(architecture.values()) % 3 != 1 for architecture in asked)
        tell(searcher, asked)


def test_nsga2_evolves_from_what_it_was_told():
    space = bits(16)
    searcher = made("nsga2", space, objectives=1, population=6)
    pool = [a for _ in range(10) for a in searcher.ask()]
    best = sorted(pool, key=lambda a: -sum(a.values()))[:6]
    tell(searcher, best, 1)
    assert {tuple(x) for x in searcher.algorithm.pop.get("X").tolist()} == {tuple(a.values()) for a in best}
    assert ones(searcher.ask()).mean() > ones(pool).mean() + 2


# ---- regularised evolution ------------------------------------------------------------------------------------------


def evolved(space, members, *, objectives=1, seed=0, **options):
    """Evolution whose first population is told to be these."""
    options = {"population": len(members), **options}
    searcher = RegularizedEvolution(space, objectives=objectives, seed=seed, violation=no_limits, **options)
    searcher.ask()
    return searcher


def test_defaults_are_those_of_the_paper():
    searcher = RegularizedEvolution(bits(20), objectives=1, seed=0, violation=no_limits)
    assert (searcher.population, searcher.sample_size) == (100, 25)
    assert len(set(searcher.ask())) == 100


def test_children_differ_from_one_parent_in_one_decision_until_told():
    space = bits(12)
    searcher = made("regularized_evolution", space, objectives=1)
    tell(searcher, searcher.ask(), 1)
    for _ in range(10):
        children = [child for _ in range(30) for child in searcher.ask()]
        alive = [member.architecture for member in searcher.alive]
        parents = [p for p in alive if all(sum(p[d] != c[d] for d in p) == 1 for c in children)]
        assert len(parents) == 1
        tell(searcher, children[:1], 1)


def test_the_oldest_dies_however_good_it_is():
    space = bits(6)
    best, *others = [space.architecture({f"bit{i}": int(i < n) for i in range(6)}) for n in (6, 0, 1, 2)]
    searcher = evolved(space, [best, *others])
    tell(searcher, [best, *others], 1)
    assert [m.architecture for m in searcher.alive] == [best, *others]
    tell(searcher, searcher.ask(), 1)
    assert best not in [m.architecture for m in searcher.alive]
    assert len(searcher.alive) == 4


def test_the_best_of_the_sample_is_the_parent_and_feasible_before_good():
    space = bits(8)
    members = [space.architecture({f"bit{i}": int(i < n) for i in range(8)}) for n in range(8)]
    searcher = evolved(space, members, sample_size=200)
    losses = -np.arange(8.0)[:, None]
    violations = np.array([0, 0, 0, 0, 0, 1, 0.5, np.inf])
    searcher.tell(members, losses, violations)
    searcher.ask()
    assert searcher._parent == members[4]
    searcher.tell([members[0]] * 8, losses, np.array([3, 2, 1, 2, 3, 4, 5, np.inf]))
    assert searcher._tournament() == members[0]


def test_with_several_objectives_rank_comes_before_crowding():
    space = bits(3)
    names = [space.architecture({f"bit{i}": n >> i & 1 for i in range(3)}) for n in range(5)]
    searcher = evolved(space, names, objectives=2, sample_size=100)
    # four on the front, of which the ends are the least crowded; the last is dominated by all
    losses = np.array([[4.0, 5.0], [0, 3], [1, 1.9], [2, 1.8], [3, 0]])
    searcher.tell(names, losses, np.zeros(5))
    assert {searcher._tournament() for _ in range(20)} == {names[1], names[4]}
    np.testing.assert_allclose(crowding(losses[1:]), [np.inf, 2 / 3 + 1.2 / 3, 2 / 3 + 1.9 / 3, np.inf])


def test_evolution_climbs_where_random_search_does_not():
    space = bits(24)
    best = {}
    for name in ("regularized_evolution", "random"):
        found = []
        for seed in range(3):
            searcher = made(name, space, objectives=1, population=20, seed=seed)
            seen = []
            while len(seen) < 300:
                asked = searcher.ask()
                seen += asked
                tell(searcher, asked, 1)
            found.append(ones(seen).max())
        best[name] = np.mean(found)
    assert best["regularized_evolution"] > best["random"] + 2


@pytest.mark.parametrize("options", [{"population": 0}, {"sample_size": 0}])
def test_bad_options_of_evolution_name_the_value(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be at least 1, got 0"):
        RegularizedEvolution(bits(4), objectives=1, seed=0, violation=no_limits, **options)


# ---- the filter ------------------------------------------------------------------------------------------------------


class Scripted(Searcher):
    """Asks what it was given; remembers what it was told."""

    def __init__(self, *asks):
        self.asks, self.told = list(asks), []

    def ask(self, pending=()):
        return self.asks.pop(0)

    def tell(self, architectures, losses, violations):
        self.told.append(list(architectures))


def test_the_filter_keeps_the_best_scored_of_distinct_new_proposals():
    space = bits(4)
    a = [space.decode([n >> i & 1 for i in range(4)]) for n in range(16)]
    inner = Scripted([a[15], a[1]], [a[3], a[1]], [a[7]], [a[15], a[0]], [a[7], a[14]], [a[3]], [a[15]], [a[7]], [])
    searcher = Filtered(inner, ones, candidates=3)
    assert searcher.ask() == [a[15], a[7]]
    tell(searcher, [a[15], a[7]])
    assert searcher.ask() == [a[14], a[3]]  # 15 and 7 are known
    tell(searcher, [a[14], a[3]])
    assert searcher.ask() == [a[15]]  # nothing new: told again, so that the searcher moves on
    assert inner.told == [[a[15], a[7]], [a[14], a[3]]]


def test_equal_scores_keep_the_order_and_what_is_not_finite_comes_last():
    space = bits(3)
    a = [space.decode([n >> i & 1 for i in range(3)]) for n in range(8)]
    scores = dict(zip(a, [np.nan, 1.0, np.inf, 1.0, -np.inf, 1.0, 2.0, -5.0]))
    searcher = Filtered(Scripted(a[:4], a[4:]), lambda pool: np.array([scores[x] for x in pool]), candidates=2)
    assert searcher.ask() == [a[6], a[1], a[3], a[5]]
    constant = Filtered(Scripted(a[:4], a[4:]), lambda pool: np.zeros(len(pool)), candidates=2)
    assert constant.ask() == a[:4]


def test_the_first_proposals_may_be_left_unfiltered():
    space = bits(10)
    plain = made("regularized_evolution", space)
    searcher = Filtered(made("regularized_evolution", space), ones, first=False)
    asked = searcher.ask()
    assert asked == plain.ask()
    tell(searcher, asked)
    tell(plain, asked)
    assert searcher.ask() != plain.ask()


def test_a_filter_of_one_candidate_is_the_searcher_itself():
    space = bits(12)
    plain, searcher = made("nsga2", space), Filtered(made("nsga2", space), ones, candidates=1)
    for _ in range(4):
        asked = plain.ask()
        assert searcher.ask() == asked
        tell(plain, asked)
        tell(searcher, asked)


def test_a_score_of_another_shape_is_refused():
    searcher = Filtered(made("random", bits(8)), lambda pool: np.zeros((len(pool), 2)))
    with pytest.raises(ValueError, match=r"the score of \d+ architectures has shape"):
        searcher.ask()
    with pytest.raises(ValueError, match="candidates must be at least 1, got 0"):
        Filtered(made("random", bits(8)), ones, candidates=0)


@pytest.mark.parametrize("name", ["filtered", "auto"])
def test_a_filtered_search_resumes_to_the_journal_of_an_uninterrupted_one(tmp_path, name):
    space = bits(12)

    def run(path, stop=None, objective=None):
        def observe(event):
            if event["done"] == stop:
                raise Interrupted

        journal = Journal(path, {"seed": 0})
        try:
            task = problem(space, objective)
            search(made(name, space), task, journal, space=space, evaluations=120, observer=observe)
        finally:
            journal.close()

    run(tmp_path / "whole.jsonl")
    for stop in (5, 31, 90):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts.jsonl", stop)
    objective = Leading()
    run(tmp_path / "parts.jsonl", objective=objective)
    assert without_times(tmp_path / "whole.jsonl") == without_times(tmp_path / "parts.jsonl")
    assert len(objective.calls) == 30


@pytest.mark.parametrize("name", ["filtered", "auto"])
def test_a_filtered_search_keeps_limits_and_ends_where_all_is_known(name):
    space = bits(6)
    objective = Leading()
    task = problem(space, objective, macs=Bound(high=3))
    searcher = ALL[name](space, objectives=2, population=8, seed=0, violation=task.exact_violation)
    done = search(searcher, task, Journal(None, {}), space=space, evaluations=1000)
    assert 35 <= len(done) == len(set(objective.calls)) <= 1 + 6 + 15 + 20
    assert all(sum(architecture.values()) <= 3 for architecture in objective.calls)


# ---- scores that learn -----------------------------------------------------------------------------------------------


def told(score, n=60, seed=0):
    """Tell a score of random architectures whose accuracy is the number of ones with noise."""
    generator = np.random.default_rng(seed)
    space = bits(16)
    architectures = [space.sample(generator) for _ in range(n)]
    accuracies = ones(architectures) + 0.5 * generator.normal(size=n)
    score.tell(architectures, -accuracies[:, None], np.zeros(n))
    return architectures, accuracies


def leading(architectures):
    return np.array([architecture["bit0"] + 2 * architecture["bit1"] for architecture in architectures], dtype=float)


def test_proxies_that_do_not_beat_the_baselines_are_left_out_and_may_come_back():
    score = AutoScore({"ones": ones, "random": leading, "backward": lambda a: -ones(a)}, {"params": leading})
    assert score.kept == ["ones", "random", "backward"]
    architectures, accuracies = told(score)
    assert score.kept == ["ones"]
    assert score.agreements()["ones"] == pytest.approx(spearman(ones(architectures), accuracies))
    assert spearman(score(architectures), ones(architectures)) == pytest.approx(1)
    beaten = AutoScore({"random": leading}, {"params": ones})
    told(beaten)
    assert beaten.kept == []
    assert not beaten(architectures).any()


def test_failed_and_infeasible_candidates_say_nothing_of_proxies():
    score = AutoScore({"ones": ones}, {"params": leading}, least_evaluations=3)
    space = bits(8)
    architectures = [space.sample(np.random.default_rng(seed)) for seed in range(6)]
    score.tell(architectures, np.full((6, 1), np.inf), np.full(6, np.inf))
    score.tell(architectures, np.zeros((6, 1)), np.ones(6))
    assert score._accuracies == {}


def test_each_proxy_scores_an_architecture_once():
    calls = []

    def counting(architectures):
        calls.extend(architectures)
        return ones(architectures)

    score = AutoScore({"ones": counting}, {})
    architectures, _ = told(score)
    score(architectures)
    assert len(calls) == len(set(architectures))


def test_mean_ranks_put_the_proxies_together():
    space = bits(2)
    a = [space.decode([0, 0]), space.decode([1, 0]), space.decode([0, 1])]
    first, second = dict(zip(a, [1.0, 1e9, np.nan])), dict(zip(a, [3.0, 3.0, 4.0]))
    proxies = {
        "x": lambda pool: np.array([first[i] for i in pool]),
        "y": lambda pool: np.array([second[i] for i in pool]),
    }
    score = AutoScore(proxies, {})
    np.testing.assert_allclose(score(a), [(2 + 1.5) / 2, (3 + 1.5) / 2, (1 + 3) / 2])


def test_costs_are_scores():
    space = bits(5)
    scores = cost_scores(space)
    assert scores["macs"]([space.smallest(), space.largest()]).tolist() == [0, 5]
    assert scores["params"]([space.smallest(), space.largest()]).tolist() == [0, 50]


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [({}, {}, "at least one proxy"), ({"a": ones}, {"least_evaluations": 2}, "least_evaluations must be at least 3")],
)
def test_bad_options_of_the_auto_score_name_the_value(scores, options, message):
    with pytest.raises(ValueError, match=message):
        AutoScore(scores, {}, **options)
