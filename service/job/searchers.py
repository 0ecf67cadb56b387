"""The searcher of a job."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nas.search.config import SearchConfig
from nas.search.earlier_search import EarlierSearch
from nas.searchers import Searcher
from search_spaces import Space
from service import catalogue
from service.job.validation import option_mistakes, placed

_GIVEN = (
    *("space", "objectives", "population", "seed", "violation"),
    *("evaluations", "exact", "limits", "standard_errors", "further", "warm_start", "learned"),
)
_PREDICTOR = "predictor"  # option of a searcher that names what makes its predictors


def make(
    config: SearchConfig,
    space: Space,
    seed: int,
    violation: Callable[[np.ndarray], np.ndarray],
    known: Mapping[str, Any] | None = None,
) -> Searcher:
    """Return the searcher of a job.

    Args:
        config: Config of the search.
        space: Space that it searches.
        seed: Seed of everything random in it.
        violation: Exact violations [N] of encodings [N, D].
        known: Further facts of the search, for searchers that have an argument of this name.

    Raises:
        ValueError: There is no such searcher or predictor, or it refuses its options.
    """
    offered = {
        "space": space,
        "objectives": len(config.objectives),
        "population": config.population,
        "seed": seed,
        "violation": violation,
        "evaluations": config.evaluations,
        **(known or {}),
    }
    options = dict(config.searcher_options)
    if _PREDICTOR in options:
        options[_PREDICTOR] = partial(catalogue.make, "predictor", options[_PREDICTOR], offered={"seed": seed})
    made = catalogue.make("searcher", config.searcher, offered=offered, options=options)
    if Searcher not in type(made).__mro__:
        raise ValueError("must be a subclass of nas.Searcher, whose attributes say what it can do")
    return made


def mistakes(config: SearchConfig, space: Space | None, *, learns: bool = True) -> Iterator[str]:
    """Yield what is wrong with the name of a searcher, its options, and where the space is known with their values.

    Args:
        config: Config of the search.
        space: Space that it searches, as far as it is known.
        learns: Whether the training of the supernet learns about choices.
    """
    try:
        catalogue.check("searcher", config.searcher)
    except ValueError as error:
        yield f"search.searcher: {error}"
        return
    path = "search.searcher_options"
    options = dict(config.searcher_options)
    found = []
    if _PREDICTOR in options and _PREDICTOR in catalogue.parameters("searcher", config.searcher):
        try:
            catalogue.check("predictor", str(options.pop(_PREDICTOR)))
        except ValueError as error:
            found.append(f"{path}.{_PREDICTOR}: {error}")
    found += option_mistakes("searcher", config.searcher, options, path=path, hidden=_GIVEN)
    yield from found
    if found or space is None:
        return
    try:
        made = make(config, space, 0, lambda encodings: np.zeros(len(encodings)))
    except ValueError as error:
        places = {option: f"{path}.{option}" for option in config.searcher_options}
        yield placed(error, f"search.searcher: {config.searcher}", places)
        return
    if config.warm_start is not None:
        try:
            EarlierSearch.read(Path(config.warm_start), space)
        except ValueError as error:
            yield f"search.warm_start: {error}"
        if config.per_leaf:
            yield "search.warm_start: must be left out with search.per_leaf"
    yield from _alone_mistakes(config, space, made)
    if made.derives and not learns:
        needs = "train.relaxation with a method that learns, not one_hot, or train.tickets"
        yield f"search.searcher: {config.searcher} needs {needs}"
    if made.derives and config.per_leaf:
        yield f"search.per_leaf: must be false with {config.searcher}, which knows the whole space only"
    if config.stop_gain > 0 and not made.predicts_gain:
        yield f"search.stop_gain: must be 0, got {config.stop_gain}: {config.searcher} predicts no gain, surrogate does"


def _alone_mistakes(config: SearchConfig, space: Space, made: Searcher) -> Iterator[str]:
    """Yield why candidates cannot be trained one by one as the search says."""
    if config.alone is None:
        return
    weights = config.alone.weights
    if weights == "shared" and space.alone.sharing is None:
        yield f"search.alone.weights: must be fresh or supernet, space {space.name} does not say what layers can share"
    elif made.derives and not config.alone.needs_supernet:
        reads = f"{config.searcher}, which reads the supernet"
        yield f"search.alone.weights: must be supernet with {reads}, got {weights!r}"
