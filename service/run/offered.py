"""Parts of a job that are offered to objectives by name, each made when an objective takes it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Offered(Mapping[str, Any]):
    """A mapping from names to parts; a part that nobody takes is never made.

    Args:
        parts: What makes each part.
    """

    def __init__(self, parts: Mapping[str, Callable[[], Any]]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, name: str) -> Any:
        return self._parts[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
