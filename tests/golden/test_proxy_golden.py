"""Numbers with a source, one at least for every proxy and aggregate; a catalogue entry without one fails."""

from collections.abc import Callable
from functools import partial

import pytest

from proxies import Passes, Proxy, Score
from service import catalogue
from service.job import proxies as job_proxies
from tests.golden import proxy_gradients, proxy_statistics

GOLDEN = proxy_gradients.GOLDEN | proxy_statistics.GOLDEN


@pytest.mark.parametrize("name", [*catalogue.PROXIES, *catalogue.AGGREGATES])
def test_proxy_has_a_golden_number(name: str) -> None:
    assert name in GOLDEN, f"{name} has no golden number: add one with its source"
    compute, expected, tolerance, source = GOLDEN[name]
    assert len(source) > 10
    assert compute() == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", [*catalogue.PROXIES, *catalogue.AGGREGATES])
def test_a_golden_number_is_what_the_proxy_itself_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of some part of it would stay the same whatever the proxy made of that part."""
    parts, ran = job_proxies.plain_names([name]), list[str]()
    for part in parts:
        proxy = catalogue.resolve("proxy", part)
        monkeypatch.setattr(proxy, "__call__", _shifted(proxy.__call__, partial(ran.append, part)))
    compute, expected, tolerance, _ = GOLDEN[name]
    if name in catalogue.AGGREGATES:
        monkeypatch.setattr(catalogue.AGGREGATES[name].target.replace(":", "."), lambda columns: columns[0] * 0 - 9.0)
    assert compute() != pytest.approx(expected, rel=tolerance, abs=tolerance)
    assert set(ran) == set(parts)


def _shifted(call: Callable[..., Score], note: Callable[[], None]) -> Callable[..., Score]:
    def shifted(self: Proxy, passes: Passes) -> Score:
        note()
        return Score(call(self, passes).value + 1.0)

    return shifted


def test_there_is_no_number_of_what_is_not_listed() -> None:
    assert set(GOLDEN) == {*catalogue.PROXIES, *catalogue.AGGREGATES}
    assert not proxy_gradients.GOLDEN.keys() & proxy_statistics.GOLDEN.keys()
