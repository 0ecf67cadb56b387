"""The way from the names of proxies in a job to the objects that compute them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.scoring_config import ProxyConfig
from search_spaces.limits import option_mistake
from service import catalogue
from service.catalogue import AGGREGATES, PROXIES, check, resolve, suggestion

if TYPE_CHECKING:
    from proxies import Proxy


def plain_names(names: Iterable[str]) -> list[str]:
    """Return the proxies that must be computed: aggregates are replaced by their parts, each name stands once."""
    parts = (AGGREGATES[name].parts if name in AGGREGATES else (name,) for name in names)
    return list(dict.fromkeys(part for some in parts for part in some))


def make(name: str, options: Mapping[str, Any], costs: Collection[str] = ()) -> "Proxy":
    """Return one proxy with its options.

    Args:
        name: A proxy, or a cost of the space.
        options: Options of the proxy, by name.
        costs: Costs that the space counts.

    Raises:
        ValueError: There is no such proxy, or no such option, or its value is not allowed.
    """
    from proxies import Proxy

    if name in costs and name not in PROXIES:
        from nas.scoring import SpaceCost

        return SpaceCost(name)
    proxy = catalogue.make("proxy", name, options=options)
    if not isinstance(proxy, Proxy):
        raise ValueError(f"proxy {name} is a {type(proxy).__name__}, which is not a subclass of proxies.Proxy")
    return proxy


def make_all(
    names: Iterable[str], options: Mapping[str, Mapping[str, Any]], costs: Collection[str] = ()
) -> "dict[str, Proxy]":
    """Return all proxies that these names need, by name; `costs` are those of the space."""
    return {name: make(name, options.get(name, {}), costs) for name in plain_names(names)}


def mistakes(config: ProxyConfig, costs: Collection[str] = ()) -> list[str]:
    """Return what is wrong with the names and options of proxies, one line each; `costs` are those of the space."""
    found = []
    named = {"names": config.names, "filter": [config.filter] if config.filter not in (None, "auto") else []}
    for field, names in named.items():
        for name in names:
            try:
                check_name(str(name), costs)
            except ValueError as error:
                found.append(f"proxies.{field}: {error}")
    if found:
        return found
    computed = plain_names(str(name) for names in named.values() for name in names)
    for name, options in config.options.items():
        try:
            if name not in computed:
                raise ValueError(f"{name!r} is not computed{suggestion(name, computed)}")
            if name in costs and name not in PROXIES:
                raise ValueError(f"{name!r} is a cost of the space; it has no options")
            for option, value in options.items():
                if name in PROXIES and (wrong := option_mistake(option, value)):
                    raise ValueError(f"{option} {wrong}")
            make(name, options)
        except ValueError as error:
            found.append(f"proxies.options.{name}: {error}")
    return found


def check_name(name: str, costs: Collection[str] = ()) -> None:
    """Refuse a name that is neither a proxy nor an aggregate, nor one of the costs of the space.

    Raises:
        ValueError: The name is none of these.
    """
    if name in AGGREGATES or name in PROXIES or name in costs:
        return
    if ":" not in name:
        known = list(dict.fromkeys([*PROXIES, *AGGREGATES, *costs]))
        raise ValueError(f"unknown proxy {name!r}{suggestion(name, known)}, or package.module:object")
    check("proxy", name)


def with_aggregates(
    names: Sequence[str], columns: Mapping[str, np.ndarray], proxies: "Mapping[str, Proxy]"
) -> dict[str, np.ndarray]:
    """Return columns of scores [m] in the order of `names`, aggregates after their parts.

    Args:
        names: Names as the user wrote them.
        columns: Scores of plain proxies [m], NaN where there is none.
        proxies: Those proxies, which say whether higher is better.
    """
    filled: dict[str, np.ndarray] = {}
    for name in names:
        filled |= {part: columns[part] for part in plain_names([name])}
        if name in AGGREGATES:
            parts = [columns[part] * (1 if proxies[part].maximise else -1) for part in AGGREGATES[name].parts]
            scored = all(
                np.isfinite(part).any() for part in parts
            )  # without one of its parts it would be another proxy
            combine = resolve("proxy", AGGREGATES[name].target)
            filled[name] = combine(parts) if scored else np.full(len(parts[0]), np.nan)
    return filled
