"""The searcher of a job and its options."""

import numpy as np
import pytest

from nas.predictors import Predictor
from nas.predictors.predictor import Prediction
from nas.searchers import Linas
from service.job import searchers
from service.job.building import build_space
from service.job.loading import load_job
from tests.service.job.test_job import mistakes_of


class Foreign:
    """Asks and tells, but says nothing of what it can do."""

    def ask(self, pending=()):
        return []

    def tell(self, architectures, losses, violations):
        pass


class Lazy(Predictor):
    """A predictor of one's own; knows the mean alone."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, features, targets):
        self.mean = np.mean(targets)
        return self

    def predict(self, features):
        return Prediction(np.full(len(features), self.mean), None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["search.searcher=ofa_evolution", "search.searcher_options.parent_shar=0.5"],
            "search.searcher_options.parent_shar: ofa_evolution has no such option (got 0.5); did you mean",
        ),
        (
            ["search.searcher=linas", "search.searcher_options.inner_evaluations=many"],
            "search.searcher_options.inner_evaluations: must be a whole number, got 'many'",
        ),
        (
            ["search.searcher=ofa_evolution", "search.searcher_options.parent_share=2"],
            "search.searcher: ofa_evolution: parent_share must be from 0 to 1, got 2",
        ),
        (["search.searcher_options.seed=2"], "search.searcher_options.seed: nsga2 has no such option (got 2)"),
        (
            ["search.searcher=nsga3", "search.population=2", "search.objectives=[accuracy, macs, params]"],
            "search.searcher: nsga3: population must be at least the number of objectives, 3; got 2",
        ),
        (
            ["search.searcher=linas", "search.searcher_options.predictor=rigde"],
            "search.searcher_options.predictor: unknown predictor 'rigde'; did you mean ridge",
        ),
        (
            ["search.searcher_options.predictor=ridge"],
            "search.searcher_options.predictor: nsga2 has no such option (got 'ridge')",
        ),
        (
            ["search.searcher=tests.service.job.test_searchers:Foreign"],
            "search.searcher: tests.service.job.test_searchers:Foreign: must be a subclass of nas.Searcher",
        ),
    ],
)
def test_wrong_options_are_reported_before_anything_runs(settings, message):
    (line,) = mistakes_of("quickstart", *settings)
    assert line.startswith(message)


def test_options_reach_the_searcher(tmp_path):
    storage = f"sqlite:///{tmp_path}/search.db"
    options = [f"search.searcher_options.storage={storage}", "search.searcher_options.study=mine"]
    job = load_job("quickstart", ["search.searcher=optuna_tpe", *options])
    assert not list(tmp_path.iterdir())  # checking a job writes nothing
    assert job.search.searcher_options == {"storage": storage, "study": "mine"}
    job = load_job("quickstart", ["search.searcher=ofa_evolution", "search.searcher_options.parent_share=0.5"])
    assert searchers.make(job.search, build_space(job), 0, lambda encodings: encodings[:, 0] * 0.0).parents == 10


def test_a_predictor_of_ones_own_is_named_in_a_job_and_used_by_the_search():
    own = "tests.service.job.test_searchers:Lazy"
    job = load_job("quickstart", ["seed=7", "search.searcher=linas", f"search.searcher_options.predictor={own}"])
    assert job.search.searcher_options == {"predictor": own}
    space = build_space(job)
    searcher = searchers.make(job.search, space, job.seed, lambda encodings: np.zeros(len(encodings)))
    assert isinstance(searcher, Linas)
    assert searcher.predictor().seed == 7
    asked = searcher.ask()
    searcher.tell(
        asked, np.random.default_rng(0).normal(size=(len(asked), len(job.search.objectives))), np.zeros(len(asked))
    )
    assert searcher.ask()
