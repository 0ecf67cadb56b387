"""Problems with known answers, and what runs of searchers on them say."""

import itertools
from pathlib import Path

import moocore
import numpy as np
import pytest

from nas.benchmarks.goals import parse_goals, parse_limit
from nas.benchmarks.problems import oracle_problem, tabular_problem
from nas.benchmarks.published_tables import Table
from nas.benchmarks.searchers import (
    Curve,
    Run,
    compare,
    evaluations_to,
    hypervolume_curve,
    median_interval,
    offered,
    run_search,
)
from nas.objectives.looked_up import EncodedRows
from nas.predictors import Ridge
from nas.searchers import Random
from service import catalogue
from tests.nas.helpers import bits

SPACE = bits(6)
BOTH = parse_goals("good:max,macs:min")


def rows(keep=lambda values: True) -> list[tuple[int, ...]]:
    return [values for values in itertools.product((0, 1), repeat=6) if keep(values)]


def good(values: tuple[int, ...]) -> float:
    """Early ones are worth more, so that the true front is every prefix of ones."""
    return sum(2.0 ** -(i + 1) for i, value in enumerate(values) if value)


def table(path: Path, members: list[tuple[int, ...]]) -> Table:
    lines = [
        "{},{},{}".format('"{' + ", ".join(f'""bit{i}"": {v}' for i, v in enumerate(values)) + '}"', good(values), n)
        for n, values in enumerate(members)
    ]
    path.write_text("architecture,good,number\n" + "\n".join(lines) + "\n")
    return Table.read(path, SPACE)


@pytest.fixture
def whole(tmp_path):
    return table(tmp_path / "whole.csv", rows())


@pytest.fixture
def part(tmp_path):
    """Architectures whose last decision is 0: half of the space."""
    return table(tmp_path / "part.csv", rows(lambda values: values[5] == 0))


def test_rows_are_found_by_their_encoding():
    encodings = np.random.default_rng(0).permutation(np.array(rows()))[:40]
    found = EncodedRows(encodings)
    assert found.find(encodings).tolist() == list(range(40))
    absent = np.array([row for row in rows() if row not in {tuple(e) for e in encodings.tolist()}])
    assert (found.find(absent) == -1).all()


def test_true_front_and_hypervolume_are_those_of_a_count_by_hand(whole):
    problem = tabular_problem("bits", whole, BOTH)
    prefixes = [(-good((1,) * n + (0,) * (6 - n)), n) for n in range(7)]
    assert sorted(map(tuple, problem.front.tolist())) == sorted(prefixes)
    assert problem.reference.tolist() == [0, 6]
    steps = sum(-a[0] * (b[1] - a[1]) for a, b in itertools.pairwise(prefixes))
    assert problem.true_hypervolume == pytest.approx(steps)
    assert "all 64 architectures of bits" in problem.notes[0]


def made(name, problem, **settings):
    return catalogue.make("searcher", name, offered=offered(problem, **settings))


class Told(Random):
    def __init__(self, space, *, objectives, population, seed, violation, evaluations, exact, limits):
        super().__init__(space, objectives=objectives, population=population, seed=seed, violation=violation)
        self.told = {"objectives": objectives, "evaluations": evaluations, "exact": exact, "limits": limits}


@pytest.mark.parametrize("make", ["nsga2", "random", "regularized_evolution"])
def test_what_the_table_lacks_is_never_evaluated(part, make):
    problem = tabular_problem("bits", part, BOTH)
    assert "32 of 64 architectures of bits (50.0%)" in problem.notes[0]
    searcher = made(make, problem, seed=0, evaluations=30, population=8)
    run = run_search(problem, searcher, 30)
    assert np.isfinite(run.losses).all()
    assert set(map(tuple, run.losses.tolist())) <= {(-good(v), sum(v)) for v in rows(lambda values: values[5] == 0)}
    assert len(run.losses) == 30


def test_uncovered_architectures_break_a_limit_that_is_known_beforehand(part):
    problem = tabular_problem("bits", part, BOTH)
    inside, outside = np.array([[1, 1, 0, 0, 1, 0]]), np.array([[1, 1, 0, 0, 1, 1]])
    assert problem.problem.exact_violation(np.concatenate([inside, outside])).tolist() == [0, 1]


def test_draws_and_mutations_are_of_the_table(part):
    space = tabular_problem("bits", part, BOTH).space
    generator = np.random.default_rng(0)
    assert space.sample_encodings(100, generator)[:, 5].max() == 0
    architecture = space.sample(generator)
    assert all(space.mutate(architecture, generator, rate=0.3)["bit5"] == 0 for _ in range(50))


def test_limits_are_kept_and_a_quantile_is_that_of_the_table(whole):
    problem = tabular_problem("bits", whole, BOTH, [parse_limit("number<=q25")])
    assert problem.problem.bounds["number"].high == 15  # 16 of 0..63, and quantiles are rows
    assert "25.0% of the architectures keep them" in problem.notes[1]
    run = run_search(problem, made("nsga2", problem, seed=0, evaluations=40, population=8), 40)
    feasible = run.losses[np.isfinite(run.losses).all(axis=1)]
    assert 0 < len(feasible) < 40
    assert {-loss for loss, _ in feasible.tolist()} <= {good(v) for v in rows()[:16]}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (["macs<=-1"], "no architecture has macs <= -1; the best reachable is 0"),
        (["good>=2"], r"no architecture has good >= 2; the best reachable is 0.984"),
        (["macs<=2", "good>=0.9"], "good >= 0.9; the best reachable under the other limits is 0.75"),
        (["macs>=4", "macs<=3"], "no macs is both >= 4 and <= 3"),
        (["nothing<=3"], "has no column 'nothing'; it has architecture, good, number"),
    ],
)
def test_limits_that_nothing_keeps_say_what_can_be_reached(whole, limits, message):
    with pytest.raises(ValueError, match=message):
        tabular_problem("bits", whole, BOTH, [parse_limit(limit) for limit in limits])


@pytest.mark.parametrize("text", ["good", "good:up", "good:max,good:min", ""])
def test_objectives_of_another_form_are_refused(text):
    with pytest.raises(ValueError, match="objectives"):
        parse_goals(text)


@pytest.mark.parametrize("text", ["a<5", "a<=", "<=5", "a<=q0", "a<=5%", "a<=e"])
def test_limits_of_another_form_are_refused(text):
    with pytest.raises(ValueError, match="a limit is written"):
        parse_limit(text)


def test_references(whole):
    at = {text: tabular_problem("b", whole, BOTH, reference=text).reference for text in ("nadir", "macs=4,good=0.5")}
    assert at["macs=4,good=0.5"].tolist() == [-0.5, 4]
    assert at["nadir"].tolist() == pytest.approx([0.1 * good((1,) * 6), 6.6])
    for text in ("best", "good=1", "good=1,macs=x", "good=0,macs=1,other=2"):
        with pytest.raises(ValueError, match=r"reference must be worst, nadir or good=NUMBER,macs=NUMBER"):
            tabular_problem("b", whole, BOTH, reference=text)
    with pytest.raises(ValueError, match="nothing on the front is better"):
        tabular_problem("b", whole, BOTH, reference="good=5,macs=9")


def test_one_architecture_with_two_values_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    table(path, rows()[:4])
    text = path.read_text()
    path.write_text(text + text.splitlines()[1].replace(",0,0", ",9,0") + "\n")
    with pytest.raises(ValueError, match="lines 2 and 6: one architecture has two values of good"):
        tabular_problem("b", Table.read(path, SPACE), BOTH)


def test_a_searcher_that_takes_them_is_told_budget_exact_objectives_and_limits(whole):
    problem = tabular_problem("bits", whole, BOTH, [parse_limit("good>=0.5"), parse_limit("macs<=3")])
    told = made(f"{__name__}:Told", problem, seed=0, evaluations=30, population=8).told
    assert (told["objectives"], told["evaluations"], told["limits"]) == (2, 30, {0: -0.5})
    assert told["exact"][1](np.array([[1, 1, 0, 0, 0, 0]])).tolist() == [2]


def test_an_oracle_predicts_columns_and_computes_costs(tmp_path):
    fitted = table(tmp_path / "some.csv", rows(lambda values: sum(values) % 2 == 0))
    problem = oracle_problem("oracle", fitted, BOTH, [parse_limit("macs<=3")], predictor=Ridge)
    assert problem.front is None
    assert any("cross-validated error" in note and "Kendall's tau 1.000" in note for note in problem.notes)
    unseen = SPACE.decode((1, 1, 1, 0, 0, 0))
    values = {o.name: o.evaluate(unseen).value for o in problem.problem.objectives}
    assert values == pytest.approx({"good": 0.875, "macs": 3}, abs=1e-3)
    with pytest.raises(ValueError, match="macs <= -1; the best reachable is 0"):
        oracle_problem("oracle", fitted, BOTH, [parse_limit("macs<=-1")], predictor=Ridge)


# ---- statistics -----------------------------------------------------------------------------------------------------


def test_hypervolume_after_each_evaluation_is_that_of_all_before():
    losses = np.random.default_rng(0).normal(size=(60, 2))
    losses[7] = np.inf
    reference = np.array([1.0, 0.5])
    curve = hypervolume_curve(losses, reference, 80)
    for i in range(60):
        inside = losses[: i + 1][(losses[: i + 1] < reference).all(axis=1)]
        assert curve[i] == pytest.approx(moocore.hypervolume(inside, ref=reference) if len(inside) else 0.0)
    assert (curve[60:] == curve[59]).all()


def test_evaluations_to_a_target_are_counted_from_one_and_infinite_where_it_is_missed():
    curves = np.array([[0.1, 0.5, 0.6], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]])
    assert evaluations_to(curves, 0.5).tolist() == [2, 1, np.inf]


def test_medians_and_their_intervals_survive_infinity():
    half = median_interval(np.array([1.0, 2.0, 3.0, np.inf, np.inf]))
    assert (half.value, half.high) == (3, np.inf)
    assert 1 <= half.low <= 3
    values = np.random.default_rng(0).normal(size=200)
    normal = median_interval(values)
    assert normal.value == np.median(values)
    assert 0.1 < normal.high - normal.low < 0.6  # 2 x 1.96 x 1.25 / sqrt(200) = 0.35


def test_a_curve_is_the_median_of_each_evaluation():
    values = np.random.default_rng(0).normal(size=(31, 5))
    curve = Curve.of(values)
    assert curve.median == pytest.approx(np.median(values, axis=0))
    assert ((curve.low <= curve.median) & (curve.median <= curve.high)).all()


def test_a_search_of_everything_finds_the_whole_front_and_no_regret(whole):
    problem = tabular_problem("bits", whole, BOTH)
    run = Run(losses=np.array([[-good(v), sum(v)] for v in rows()]), overhead_s=0, overhead_cpu_s=0, overhead_worst_s=0)
    none = Run(losses=np.full((3, 2), np.inf), overhead_s=0, overhead_cpu_s=0, overhead_worst_s=0)
    comparison = compare(problem, {"all": [run], "none": [none]}, 64)
    assert comparison.share("all")[0, -1] == pytest.approx(1)
    assert comparison.regret("all")[0, -1] == 0
    assert comparison.share("none")[0, -1] == 0
    assert comparison.evaluations_to_final("none", "all").tolist() == [np.inf]
    assert comparison.lengths["none"].tolist() == [3]
    assert comparison.best["all"][0, -1] == pytest.approx(good((1,) * 6))


def test_the_same_seed_is_the_same_search(whole):
    problem = tabular_problem("bits", whole, BOTH)
    for make in ("nsga2", "regularized_evolution"):
        runs = [run_search(problem, made(make, problem, seed=3, evaluations=30, population=6), 30) for _ in range(2)]
        assert runs[0].losses.tolist() == runs[1].losses.tolist()
        assert 0 < runs[0].overhead_s <= 1.5 * runs[0].overhead_worst_s  # the end of a search is no round
