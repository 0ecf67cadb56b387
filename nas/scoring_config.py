"""The settings of scoring without training, as one validated value."""

from dataclasses import dataclass, field
from typing import Any

from search_spaces.errors import FieldError
from search_spaces.limits import check_most

_MOST = {"batch": 10**6, "proposals": 10**4}


@dataclass(frozen=True, kw_only=True)
class ProxyConfig:
    """How architectures are scored without training.

    Args:
        names: Proxies, by catalogue name or `package.module:object`. A search computes them for every candidate, and
            reports how well they rank compared with parameters and MACs.
        options: Options of proxies by name, such as ``{gradsign: {reduction: mean}}``.
        batch: Training examples of one scoring.
        filter: Proxy that decides which proposals of the searcher are evaluated. `auto` takes those of `names` that
            have ranked better than parameters and MACs; `null` for no filter.
        proposals: Proposals for each architecture that is evaluated, where there is a filter.
    """

    names: list[str] = field(default_factory=list)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    batch: int = 64
    filter: str | None = None
    proposals: int = 10

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        if len(set(self.names)) != len(self.names):
            raise FieldError("names", f"must be distinct, got {self.names}")
        for name, least in (("batch", 2), ("proposals", 2)):
            if getattr(self, name) < least:
                raise FieldError(name, f"must be at least {least}, got {getattr(self, name)}")
        if self.filter == "auto" and not self.names:
            raise FieldError("filter", "must be a proxy, or null, unless names lists the proxies for auto, got 'auto'")
