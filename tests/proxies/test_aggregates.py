"""Scores of a population made one."""

import numpy as np
import pytest

from proxies.aggregate import log_rank, rank_sum, ranks
from service import catalogue


def test_log_rank_is_that_of_az_nas():
    values = log_rank([[1, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 4]])
    assert values == pytest.approx([-2.7726, -1.2685, -1.6740, -1.3863], abs=1e-4)
    assert int(values.argmax()) == 1


def test_ranks_average_ties_and_put_what_is_not_finite_last():
    assert ranks([5.0, 1.0, 5.0, 7.0]).tolist() == [2.5, 1, 2.5, 4]
    assert ranks([5.0, np.nan, np.inf, -np.inf, 7.0]).tolist() == [4, 2, 2, 2, 5]


def test_rank_sum_respects_which_way_is_better():
    kappa, regions = [10.0, 2.0, np.nan], [5, 4, 6]
    assert rank_sum([kappa, regions], maximise=[False, True]).tolist() == [2 + 2, 3 + 1, 1 + 3]
    with pytest.raises(ValueError, match="one length"):
        rank_sum([[1, 2], [1, 2, 3]])
    with pytest.raises(ValueError, match="1 values for 2 columns"):
        log_rank([[1], [2]], maximise=[True])


def test_aggregates_name_listed_proxies():
    for name, entry in catalogue.AGGREGATES.items():
        combine = catalogue.resolve("proxy", entry.target)
        assert len(combine([[1.0, 2.0, 3.0]] * len(entry.parts))) == 3, name
        assert set(entry.parts) <= set(catalogue.PROXIES)
