"""No file imports itself over others, imports inside of functions included."""

from collections.abc import Mapping

from tests.policy.modules import import_graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules in which each imports each, over others."""
    reach = {name: reachable(name, graph) for name in graph}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph}
    return [list(group) for group in sorted(groups) if group]


def reachable(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d", "a"}}) == [["b", "c"], ["d"]]


def test_no_circle_of_files_in_any_package() -> None:
    assert circles(import_graph()) == []
