"""Which room of the service may import which, and that no two modules of a package share a name by accident."""

from collections import defaultdict

from tests.policy.modules import ROOT, import_graph

OUTSIDE = ""
"""The modules of `service` that lie in no room: the command line, the catalogue, the errors."""
ARROWS = {
    "job": {OUTSIDE},
    "report": {OUTSIDE, "job"},
    "export": {OUTSIDE, "job"},
    "tracking": {OUTSIDE, "job", "report", "export"},
    "run": {OUTSIDE, "job", "report", "tracking"},
    "reference": {OUTSIDE, "job"},
    "starting": {OUTSIDE, "job", "run"},
    "queue": {OUTSIDE, "job", "run", "tracking"},
    "benchmarks": {OUTSIDE, "job", "report", "run", "tracking"},
    "commands": {OUTSIDE, "job", "report", "export", "tracking", "run", "starting", "reference", "queue", "benchmarks"},
    OUTSIDE: {"commands", "job", "report", "run"},
}
"""Room of `service` -> the rooms that it imports."""
MAY_IMPORT_ROOMS = {"service.cli", "service.errors"}
"""Outside the rooms; the catalogue names what it lists as text."""
SAME_NAME = {
    ("nas", "config"): "the configuration of its room: data, hardware, search",
    ("nas", "latency"): "latency as an objective, how it is measured, and how well it is predicted",
    ("search_spaces", "mobilenet_v3"): "the family, and the path that the README documents for it",
    ("search_spaces", "traced"): "what a trace says of a network, and the elastic network that runs it",
    ("supernets", "supernet"): "the supernet, and the step that trains one",
    ("supernets", "mixture"): "a mixture of supernets, and the step that trains one",
    ("service", "queue"): "the queue, and the commands that show and change it",
    ("service", "score"): "scoring, and the commands that start it",
    ("service", "tracking"): "the section `tracking` of a job, and the commands of MLflow",
    ("service", "proxies"): "the section `proxies` of a job, and what a run makes of it",
}
"""Base names that several modules of a package have, and why that is one idea."""


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / "service" / parts[1]).is_dir() else OUTSIDE


def test_rooms_of_the_service_import_only_what_is_listed() -> None:
    seen = defaultdict(set)
    for module, imported in import_graph().items():
        if module.startswith("service."):
            rooms = {room_of(name) for name in imported if name.startswith("service.")} - {room_of(module)}
            assert rooms <= ARROWS[room_of(module)], f"{module} imports from {rooms - ARROWS[room_of(module)]}"
            assert room_of(module) != OUTSIDE or not rooms or module in MAY_IMPORT_ROOMS
            seen[room_of(module)] |= rooms
    assert dict(seen) == ARROWS, "an arrow that nothing uses is taken off the list"


def test_arrows_between_rooms_make_no_circle() -> None:
    left = {room: imported - {OUTSIDE} for room, imported in ARROWS.items() if room != OUTSIDE}
    while left:
        free = {room for room, imported in left.items() if not imported & left.keys()}
        assert free, f"rooms in a circle: {sorted(left)}"
        left = {room: imported for room, imported in left.items() if room not in free}


def test_modules_of_one_package_share_a_name_only_where_they_are_one_idea() -> None:
    places = defaultdict(set)
    for module in import_graph():
        if not (ROOT / module.replace(".", "/")).is_dir():
            places[module.split(".")[0], module.split(".")[-1]].add(module)
    shared = {key: modules for key, modules in places.items() if len(modules) > 1}
    assert {key: sorted(modules) for key, modules in shared.items() if key not in SAME_NAME} == {}
    assert shared.keys() == SAME_NAME.keys(), "a name that is no longer shared is taken off the list"
