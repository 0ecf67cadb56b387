"""From the names of proxies in a job to what computes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from nas.scoring_config import ProxyConfig
from proxies import Proxy, maximised
from service.catalogue import AGGREGATES, PROXIES, check, resolve, suggestion


def plain_names(names: Iterable[str]) -> list[str]:
    """The proxies that must be computed: aggregates are replaced by their parts, each name stands once."""
    parts = (AGGREGATES[name].parts if name in AGGREGATES else (name,) for name in names)
    return list(dict.fromkeys(part for some in parts for part in some))


def make(name: str, options: Mapping[str, Any]) -> Proxy:
    """One proxy with its options.

    Raises:
        ValueError: There is no such proxy, or no such option, or its value is not allowed.
    """
    kind = resolve("proxy", name)
    allowed = [field.name for field in fields(kind)] if is_dataclass(kind) else None
    for option in options:
        if allowed is not None and option not in allowed:
            there = suggestion(option, allowed) if allowed else "; it has no options"
            raise ValueError(f"{name} has no option {option!r}{there}")
    try:
        return kind(**options)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def make_all(names: Iterable[str], options: Mapping[str, Mapping[str, Any]]) -> dict[str, Proxy]:
    """All proxies that these names need, by name."""
    return {name: make(name, options.get(name, {})) for name in plain_names(names)}


def mistakes(config: ProxyConfig) -> list[str]:
    """What is wrong with the names and options of proxies, one line each."""
    found = []
    named = {"names": config.names, "filter": [config.filter] if config.filter not in (None, "auto") else []}
    for field, names in named.items():
        for name in names:
            try:
                check_name(str(name))
            except ValueError as error:
                found.append(f"proxies.{field}: {error}")
    if found:
        return found
    computed = plain_names(str(name) for names in named.values() for name in names)
    for name, options in config.options.items():
        try:
            if name not in computed:
                raise ValueError(f"{name!r} is not computed{suggestion(name, computed)}")
            make(name, options)
        except ValueError as error:
            found.append(f"proxies.options.{name}: {error}")
    return found


def check_name(name: str) -> None:
    """Whether there is such a proxy or aggregate.

    Raises:
        ValueError: There is not.
    """
    if name in AGGREGATES or name in PROXIES:
        return
    if ":" not in name:
        raise ValueError(f"{name!r} is no proxy{suggestion(name, [*PROXIES, *AGGREGATES])}, or package.module:object")
    check("proxy", name)


def with_aggregates(
    names: Sequence[str], columns: Mapping[str, np.ndarray], proxies: Mapping[str, Proxy]
) -> dict[str, np.ndarray]:
    """Columns of scores [m] in the order of `names`, aggregates behind their parts.

    Args:
        names: As the user wrote them.
        columns: Scores of plain proxies [m], NaN where there is none.
        proxies: Those proxies, which say whether higher is better.
    """
    filled: dict[str, np.ndarray] = {}
    for name in names:
        filled |= {part: columns[part] for part in plain_names([name])}
        if name in AGGREGATES:
            parts = [columns[part] * (1 if maximised(proxies[part]) else -1) for part in AGGREGATES[name].parts]
            combine = resolve("proxy", AGGREGATES[name].target)
            filled[name] = combine(parts)
    return filled
