"""Evolution of Once-for-All, LINAS, NSGA-III, AGE-MOEA and Optuna's samplers: what each of them promises."""

import numpy as np
import optuna
import pytest
from pymoo.algorithms.base.genetic import GeneticAlgorithm

from nas.predictors import Ridge, RidgeOrSVR
from nas.predictors.ridge_svr import label_scale
from nas.searchers import NSGA2, NSGA3, AgeMoea, Linas, OfaEvolution
from nas.searchers.age_moea import geometry_scores
from nas.searchers.genes import Redrawn, problem_of
from nas.searchers.linas import one_hot
from nas.searchers.new_architectures import NewArchitectures
from nas.searchers.nsga3 import direction_steps, reference_directions
from nas.searchers.optuna_samplers import OptunaNSGA3, OptunaTPE
from nas.searchers.surrogate.features import Features
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3, small_mobilenet_v3
from supernets.streams import SURROGATE_FEATURES
from tests.nas.helpers import bits
from tests.nas.searchers.test_searchers import no_limits, ones, tell


def at_most(n):
    return lambda encodings: np.maximum(0.0, encodings.sum(axis=1) - n)


# ---- what is new -----------------------------------------------------------------------------------------------------


def test_proposals_outside_limits_are_moved_inside_however_few_members_are_there():
    space = bits(40)
    new = NewArchitectures(space, at_most(1), np.random.default_rng(0))  # 41 of 1.1e12
    taken = new.take(np.ones((5, 40), dtype=np.int64), 5)
    assert len(np.unique(taken, axis=0)) == 5
    assert (taken.sum(axis=1) <= 1).all()


def test_what_fits_stays_and_what_replaces_the_rest_is_near():
    space = bits(30)
    new = NewArchitectures(space, no_limits, np.random.default_rng(0))
    wanted = space.sample_encodings(3, np.random.default_rng(1))
    new.tell([space.decode(wanted[1])])
    taken = new.take(wanted, 3)
    assert np.array_equal(taken[:2], wanted[[0, 2]])
    assert min(np.abs(taken[2] - row).sum() for row in wanted) <= 6


# ---- Once-for-All ----------------------------------------------------------------------------------------------------


def test_defaults_of_ofa_evolution_are_the_published_ones():
    searcher = OfaEvolution(bits(20), objectives=1, seed=0, violation=no_limits)
    assert (searcher.population, searcher.parents, searcher.mutants) == (100, 25, 50)
    assert len(set(searcher.ask())) == 100


def test_the_best_quarter_are_the_parents_and_survive():
    space = bits(16)
    searcher = OfaEvolution(space, objectives=1, seed=0, violation=no_limits, population=20)
    best = []
    for _ in range(8):
        asked = searcher.ask()
        tell(searcher, asked, 1)
        alive = searcher._genes.sum(axis=1)
        assert len(alive) == 5
        best.append(alive.max())
    assert best == sorted(best)
    assert best[-1] > best[0]


def test_mutants_redraw_a_block_together_and_crossovers_mix_two_parents():
    space = ofa_mobilenet_v3()
    searcher = OfaEvolution(space, objectives=1, seed=0, violation=no_limits, population=40)
    searcher._genes = space.sample_encodings(1, np.random.default_rng(0)).repeat(2, axis=0)
    parent = searcher._genes[0]
    changed = searcher._mutants(4000) != parent
    rates = {name: changed[:, i].mean() for i, name in enumerate(d.name for d in space.decisions)}
    counts = dict(zip(rates, space.choice_counts))
    assert rates["resolution"] == pytest.approx(0.5 * (1 - 1 / counts["resolution"]), abs=0.03)
    assert rates["stage1.depth"] == pytest.approx(0.1 * 2 / 3, abs=0.02)
    kernel, expand = (changed[:, list(rates).index(f"stage2.block1.{part}")] for part in ("kernel", "expand"))
    assert (kernel & expand).mean() == pytest.approx(0.1 * 4 / 9, abs=0.02)  # each by itself: 0.0044
    other = (parent + 1) % space.choice_counts
    searcher._genes = np.stack([parent, other])
    children = searcher._crossovers(400)
    assert ((children == parent) | (children == other)).all()
    assert 0.4 < (children == parent).mean() < 0.6


@pytest.mark.parametrize("options", [{"parent_share": 2}, {"mutation_rate": -1}, {"population": 1}])
def test_bad_options_of_ofa_evolution_name_the_value(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        OfaEvolution(bits(4), objectives=1, seed=0, violation=no_limits, **options)


# ---- LINAS -----------------------------------------------------------------------------------------------------------


def test_one_hot_has_a_one_for_every_decision():
    space = ofa_mobilenet_v3()
    encodings = space.sample_encodings(20, np.random.default_rng(0))
    features = one_hot(space, encodings)
    assert features.shape[1] == space.choice_counts.sum()
    assert (features.sum(axis=1) == len(space.decisions)).all()
    starts = np.cumsum(space.choice_counts)[:-1]
    assert np.array_equal(np.stack([part.argmax(1) for part in np.split(features, starts, axis=1)], 1), encodings)


@pytest.mark.parametrize(("largest", "scale"), [(78.8, 1.0), (566e6, 1e7), (-0.5, 0.01), (0.0, 1.0)])
def test_targets_are_divided_by_a_power_of_ten(largest, scale):
    assert label_scale(np.array([0.0, largest])) == pytest.approx(scale)


@pytest.mark.parametrize("kind", ["linear", "radial"])
def test_the_predictor_is_the_better_of_two_grid_searches(kind):
    from sklearn.linear_model import Ridge as SklearnRidge
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVR

    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 4))
    y = 75 + (x @ generator.normal(size=4) if kind == "linear" else 5 * (x[:, 0] * x[:, 1] > 0))
    costs, penalties = (1.0, 10.0, 100.0), (0.1, 1.0, 10.0)
    scoring = "neg_mean_absolute_percentage_error"
    ridge = GridSearchCV(SklearnRidge(), {"alpha": penalties}, scoring=scoring).fit(x, y)
    support = GridSearchCV(SVR(gamma="auto", epsilon=0), {"C": costs}, scoring=scoring).fit(x, y)
    best = max((ridge, support), key=lambda grid: grid.best_score_)
    assert (best is ridge) == (kind == "linear")
    assert label_scale(y) == 1
    ours = RidgeOrSVR(penalties=penalties, costs=costs).fit(x, y).predict(x).mean
    np.testing.assert_allclose(ours, best.predict(x), rtol=1e-6)


def test_a_round_asks_what_the_predictors_like_and_predicts_whole_generations():
    space, calls = bits(16), []

    class Counted(Ridge):
        def predict(self, features):
            calls.append(len(features))
            return super().predict(features)

    searcher = Linas(
        space,
        objectives=2,
        seed=0,
        violation=at_most(10),
        population=20,
        inner_evaluations=1000,
        predictor=Counted,
    )
    first = searcher.ask()
    tell(searcher, first)
    second = searcher.ask()
    assert len(first) == len(second) == 20
    assert len(calls) <= 2 * 50
    assert sum(calls) <= 2 * 1000
    assert len(searcher.ask()) == 20
    assert len(calls) <= 2 * 50  # asked again, the same inner search answers
    assert all(sum(a.values()) <= 10 for a in [*first, *second])


def test_linas_finds_the_optimum_of_a_linear_objective_in_a_round():
    space = bits(20)
    searcher = Linas(
        space, objectives=1, seed=0, violation=no_limits, population=30, inner_evaluations=3000, predictor=Ridge
    )
    tell(searcher, searcher.ask(), 1)
    assert ones(searcher.ask()).max() >= 19


def changed_genes(searcher: Linas | NSGA2, algorithm: GeneticAlgorithm, n: int = 4000) -> np.ndarray:
    """How many genes [N] of children mutation changes, after rounding."""
    space = searcher.space
    parents = space.sample_encodings(n, np.random.default_rng(1))
    mutated = algorithm.mating.mutation._do(
        problem_of(space, 2), parents.astype(float), random_state=np.random.default_rng(2)
    )
    return (np.clip(np.round(mutated), 0, space.choice_counts - 1) != parents).sum(axis=1)


def test_rounding_leaves_nothing_of_the_published_mutation_and_the_repaired_one_changes_a_gene():
    def of_linas(space, mutation):
        searcher = Linas(space, objectives=2, seed=0, violation=no_limits, mutation=mutation)
        return changed_genes(searcher, searcher._algorithm())

    space = ofa_mobilenet_v3()  # 45 genes, of two to four choices
    assert of_linas(space, "polynomial").mean() < 0.01
    repaired = of_linas(space, "redrawn")
    assert repaired.mean() == pytest.approx(1.0, abs=0.06)  # 1 of 45 is more than the published 0.02
    assert set(np.unique(repaired)) >= {0, 1, 2, 3}
    assert of_linas(bits(5), "redrawn").mean() == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(("mutation", "genes"), [("polynomial", 0.03), ("redrawn", 1.0)])
def test_rounding_leaves_little_of_the_mutation_of_generations_where_genes_are_bits(mutation, genes):
    searcher = NSGA2(bits(10), objectives=2, population=8, seed=0, violation=no_limits, mutation=mutation)
    assert changed_genes(searcher, searcher.algorithm).mean() == pytest.approx(genes, rel=0.25)
    with pytest.raises(ValueError, match="mutation must be one of polynomial, redrawn; got 'none'"):
        NSGA2(bits(10), objectives=2, population=8, seed=0, violation=no_limits, mutation="none")


def test_a_redrawn_gene_is_another_choice_and_each_is_as_likely():
    generator = np.random.default_rng(0)
    drawn = Redrawn(np.array([1, 2, 5]), 1.0)._do(None, np.full((3000, 3), 0.3), random_state=generator)
    assert (drawn[:, 0] == 0).all()
    assert (drawn[:, 1] == 1).all()
    counts = np.bincount(drawn[:, 2].astype(int), minlength=5)
    assert counts[0] == 0
    assert counts[1:] == pytest.approx(750, rel=0.15)


def test_exact_objectives_are_not_predicted_where_that_is_asked_for():
    space, fitted = bits(10), []

    class Noted(Ridge):
        def fit(self, features, targets):
            fitted.append((features.shape[1], targets.tolist()))
            return super().fit(features, targets)

    asked_for = []

    def macs(encodings):
        asked_for.append(len(encodings))
        return encodings.sum(axis=1)

    def second_ask(**options):
        fitted.clear()
        asked_for.clear()
        known = {"population": 10, "inner_evaluations": 100, "predictor": Noted, "exact": {1: macs}}
        searcher = Linas(space, objectives=2, seed=0, violation=no_limits, **known, **options)
        tell(searcher, searcher.ask())
        return searcher.ask()

    plain = second_ask()
    assert (len(fitted), asked_for) == (2, [])
    assert plain == second_ask(exact_costs=False)
    assert second_ask(exact_costs=True)
    assert len(fitted) == 1
    assert 50 < sum(asked_for) <= 100
    assert fitted[0][0] == space.choice_counts.sum()
    assert second_ask(exact_costs=True, features="summary")
    assert fitted[0][0] == Features(space, SURROGATE_FEATURES.generator(0))(np.eye(10, dtype=int)).shape[1]


@pytest.mark.parametrize("options", [{"mutation": "none"}, {"features": "all"}])
def test_variants_of_linas_that_do_not_exist_name_the_value(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be one of"):
        Linas(bits(4), objectives=1, seed=0, violation=no_limits, **options)


def test_the_published_predictor_and_population_are_the_defaults():
    searcher = Linas(bits(10), objectives=2, seed=0, violation=no_limits)
    assert (searcher.population, searcher.inner_evaluations, searcher.predictor) == (50, 20_000, RidgeOrSVR)
    assert (searcher.mutation, searcher.exact) == ("polynomial", {})
    with pytest.raises(ValueError, match="inner_evaluations must be at least the population, 50"):
        Linas(bits(10), objectives=2, seed=0, violation=no_limits, inner_evaluations=10)


# ---- NSGA-III and AGE-MOEA -------------------------------------------------------------------------------------------


def test_reference_directions_are_as_many_as_fit_the_population():
    assert [direction_steps(2, 24), direction_steps(3, 24), direction_steps(3, 91)] == [23, 5, 12]
    assert reference_directions(3, 91).shape == (91, 3)
    assert reference_directions(1, 8).tolist() == [[1.0]]
    with pytest.raises(ValueError, match="at least the number of objectives, 5; got 4"):
        NSGA3(bits(8), objectives=5, population=4, seed=0, violation=no_limits)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_points_of_a_front_of_any_shape_are_equally_near(exponent):
    t = np.linspace(0, 1, 21)
    front = np.stack([t, (1 - t**exponent) ** (1 / exponent)], axis=1)
    dominated = np.array([[2.0, 2.0], [1.5, 1.5]])
    ranks, scores = geometry_scores(np.concatenate([3 + 2 * front, 3 + 2 * dominated]))
    assert ranks.tolist() == [0] * 21 + [2, 1]
    assert np.isinf(scores[[0, 20]]).all()
    length = 2 ** (1 / exponent)  # of (1, 1), in the norm in which all of the front has length 1
    np.testing.assert_allclose(scores[21:], [1 / (2 * length), 1 / (1.5 * length)], rtol=0.15)


def test_age_moea_keeps_the_middle_of_a_crowded_front():
    t = np.array([0, 0.01, 0.02, 0.5, 1.0])
    _, scores = geometry_scores(np.stack([t, 1 - t], axis=1))
    assert scores[3] > 10 * scores[2]


def test_equal_losses_everywhere_do_no_harm():
    space = bits(8)
    searcher = AgeMoea(space, objectives=2, population=8, seed=0, violation=no_limits)
    for _ in range(4):
        asked = searcher.ask()
        searcher.tell(asked, np.ones((len(asked), 2)), np.zeros(len(asked)))
    assert len(asked) == 8


# ---- Optuna ----------------------------------------------------------------------------------------------------------


def run(searcher, rounds=4, objectives=2):
    told = []
    for _ in range(rounds):
        asked = searcher.ask()
        tell(searcher, asked, objectives)
        told += asked
    return told


@pytest.mark.parametrize("kind", [OptunaTPE, OptunaNSGA3])
def test_a_search_is_seen_in_an_optuna_storage_once_however_often_it_is_replayed(tmp_path, kind):
    space, storage = small_mobilenet_v3(), f"sqlite:///{tmp_path}/search.db"
    for rounds in (2, 3, 4):
        options = {"objectives": 2, "seed": 0, "violation": no_limits, "population": 6}
        searcher = kind(space, **options, storage=storage, study="mine")
        told = run(searcher, rounds)
    trials = optuna.load_study(study_name="mine", storage=storage).trials
    assert [trial.user_attrs["architecture"] for trial in trials] == [a.key for a in told]
    assert [trial.values for trial in trials] == [[-n, n] for n in ones(told)]
    with pytest.raises(ValueError, match="has 2 objectives, the search has 1"):
        tell(kind(space, **(options | {"objectives": 1}), storage=storage, study="mine"), told[:1], objectives=1)


def test_only_active_decisions_are_parameters_of_tpe():
    space = small_mobilenet_v3()
    searcher = OptunaTPE(space, objectives=2, seed=0, violation=no_limits, population=6)
    run(searcher)
    complete = [t for t in searcher.study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert {frozenset(t.params.items()) for t in complete} == {frozenset(a.items()) for a in searcher._known}
    assert len({len(t.params) for t in complete}) > 1


def test_limits_are_constraints_from_when_one_is_broken():
    space = bits(8)
    searcher = OptunaTPE(space, objectives=1, seed=0, violation=no_limits, population=4)
    tell(searcher, searcher.ask(), 1)
    assert not any(trial.constraints for trial in searcher.study.trials)
    searcher.tell(searcher.ask(), np.zeros((1, 1)), np.array([0.5]))
    assert [list(trial.constraints.values()) for trial in searcher.study.trials] == [[0.0]] * 4 + [[0.5]]


def test_optuna_leaves_no_trace_in_the_log(caplog, capfd):
    run(OptunaTPE(small_mobilenet_v3(), objectives=1, seed=0, violation=no_limits, population=4), 3, objectives=1)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ValueError, match="storage and study go together"):
        OptunaTPE(bits(4), objectives=1, seed=0, violation=no_limits, storage="sqlite://")
