"""Aggregates of proxies."""

import numpy as np

from service.job import proxies as job_proxies


def test_an_aggregate_has_no_scores_where_one_of_its_parts_has_none():
    names = ["te_nas"]
    proxies = job_proxies.make_all(job_proxies.plain_names(names), {})
    known = {"ntk": np.array([1.0, 2.0, 3.0]), "linear_regions": np.array([4.0, 5.0, np.nan])}
    assert np.isfinite(job_proxies.with_aggregates(names, known, proxies)["te_nas"]).any()
    known["linear_regions"] = np.full(3, np.nan)
    assert np.isnan(job_proxies.with_aggregates(names, known, proxies)["te_nas"]).all()
