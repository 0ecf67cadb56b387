"""Fronts of finished jobs, read from job folders or from MLflow, and whether they may be compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service import catalogue
from service.errors import InvalidJob
from service.job.folder import finite
from service.job.front_file import Quantity, TaskFacts, member_quantities, read_front_file, task_of
from service.job.preparation import saved_job
from service.report.quantities import form_of, in_order


@dataclass(frozen=True, kw_only=True)
class Front:
    """The front of one job.

    Attributes:
        name: Name among the compared fronts.
        folder: Folder with the files of the job.
        members: Members with values, as in front.json.
        objectives: Objectives of the search.
        quantities: All quantities that members can be shown by.
        task: Task of the networks.
        conditions: Conditions under which costs were measured.
        job: Settings of the job.
        content: The whole content of front.json.
        is_here: Whether the folder is that of the user, and not a fetched copy.
    """

    name: str
    folder: Path
    members: list[dict[str, Any]]
    objectives: list[dict[str, Any]]
    quantities: list[Quantity]
    task: TaskFacts
    conditions: dict[str, Any]
    job: dict[str, Any]
    content: dict[str, Any]
    is_here: bool = True

    @property
    def tested(self) -> int | None:
        """Number of examples in the test split, None where it is not known."""
        return (self.content.get("examples") or {}).get("test")


def read_front(folder: Path) -> Front:
    """Return the front in a job folder.

    Raises:
        InvalidJob: It is not a job folder, has no front yet, or a file is damaged.
    """
    job = saved_job(folder)
    path = folder / "front.json"
    try:
        content = read_front_file(folder)
        members = None if content is None else content["members"]
        objectives = None if content is None else content["objectives"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidJob([f"{path}: damaged ({error}); make it again with: nas run {folder}"]) from error
    if content is None or members is None or objectives is None:
        raise InvalidJob([f"{folder}: this job has no front yet; finish it with: nas run {folder}"])
    members = [member for member in members if member.get("values")]
    if not members:
        raise InvalidJob([f"{folder}: the front of this job is empty"])
    return Front(
        name=job.get("name") or folder.name,
        folder=folder,
        members=members,
        objectives=objectives,
        quantities=member_quantities({**content, "members": members}),
        task=task_of(content),
        conditions=content.get("latency") or {},
        job=job,
        content=content,
    )


def fronts_of(folders: Mapping[str, Path]) -> list[Front]:
    """Return the fronts, each under a name of its own.

    Args:
        folders: Name that the user gave each run -> its job folder.

    Raises:
        InvalidJob: One of them is not a job with a front.
    """
    found = [
        (called, replace(read_front(folder), is_here=Path(called) == folder)) for called, folder in folders.items()
    ]
    names = [front.name for _, front in found]
    return [
        front if names.count(front.name) == 1 else replace(front, name=f"{front.name} ({Path(called).name})")
        for called, front in found
    ]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms by which fronts are compared, and remarks on them.

    Attributes:
        directions: Objectives, and whether each is maximised.
        marks: Differences between the jobs that make the comparison less than fair.
    """

    directions: tuple[tuple[str, bool], ...]
    marks: tuple[str, ...]


def terms_of(fronts: Sequence[Front], names: Sequence[str] = (), *, anyway: bool = False) -> Terms:
    """Return the common terms of several fronts.

    Args:
        fronts: At least one.
        names: Objectives to compare by; by default those that all were searched for.
        anyway: Whether differences that forbid a comparison become marks instead.

    Raises:
        InvalidJob: They have different objectives, data or conditions of latency; one line says which.
    """
    directions = _chosen(fronts, names) if names else _searched(fronts)
    forbidding = [*_other_data(fronts, directions), *_other_conditions(fronts, directions)]
    if forbidding and not anyway:
        raise InvalidJob([f"{forbidding[0]}; --anyway compares them all the same, and says so"])
    return Terms(directions=directions, marks=(*forbidding, *_other_limits(fronts)))


def _known(front: Front) -> dict[str, bool]:
    """Return quantity -> whether it is maximised, of all that members can be compared by."""
    ranked = sorted(front.quantities, key=lambda quantity: quantity.source != "computed")
    described = {objective["name"] for objective in front.objectives}
    return {q.name: q.maximise for q in ranked if q.source == "computed" or q.name in described}


def _optimised(front: Front) -> dict[str, bool]:
    """Return objective -> whether it is maximised, of those that were traded off and not only limited or noted."""
    return {o["name"]: bool(o.get("maximise")) for o in front.objectives if o.get("optimised", True)}


def _searched(fronts: Sequence[Front]) -> tuple[tuple[str, bool], ...]:
    first = fronts[0]
    names = _optimised(first)
    for front in fronts[1:]:
        theirs = _optimised(front)
        if theirs != names:
            both = [name for name in _known(first) if _known(first)[name] == _known(front).get(name)]
            what = f"{first.name} was searched for {_joined(names)}, {front.name} for {_joined(theirs)}"
            advice = f"; what both have: --objectives {','.join(both)}" if len(both) > 1 else ""
            raise InvalidJob([f"different objectives: {what}{advice}"])
    return tuple(names.items())


def _chosen(fronts: Sequence[Front], names: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    known = {name: maximise for front in fronts for name, maximise in _known(front).items()}
    mistakes = []
    for name in dict.fromkeys(names):
        lacking = [front.name for front in fronts if not any(_has(member, name) for member in front.members)]
        if name not in known:
            allowed = f"must be among {_joined(known)}"
            mistakes.append(f"--objectives: {name!r} {allowed}{catalogue.suggestion(name, known)}")
        elif lacking:
            mistakes.append(f"--objectives: the members of {lacking[0]} have no {name}")
    if mistakes:
        raise InvalidJob(mistakes)
    return tuple((name, known[name]) for name in dict.fromkeys(names))


def _has(member: Mapping[str, Any], name: str) -> bool:
    return finite(member["values"].get(name)) is not None


def _other_data(fronts: Sequence[Front], directions: Sequence[tuple[str, bool]]) -> list[str]:
    """Return the differences in the data: qualities on different examples cannot be compared."""
    quality = {quantity.name for front in fronts for quantity in front.quantities if quantity.role == "quality"}
    if not any(name in quality for name, _ in directions):
        return []
    return _differences(fronts, "data", [{n: _data(f).get(n) for n in ("source", "dataset", "path")} for f in fronts])


def _data(front: Front) -> Mapping[str, Any]:
    data = dict(front.job.get("data") or {})
    return data | {"path": Path(data["path"]).name if data.get("path") else None}


def _other_conditions(fronts: Sequence[Front], directions: Sequence[tuple[str, bool]]) -> list[str]:
    found = measured_costs(fronts, directions)
    if not found:
        return []
    nouns = " and ".join(form_of(name).noun for name in found)
    what = f"{nouns} {'was' if len(found) == 1 else 'were'} measured under different conditions,"
    rest = [name for name, _ in directions if name not in found]
    computed = [q.name for q in in_order(fronts[0].quantities) if q.source == "computed"][:1]
    advice = f" (without {nouns}: --objectives {','.join(dict.fromkeys([*rest, *computed]))})" if rest else ""
    return [f"{line}{advice}" for line in _differences(fronts, what, [front.conditions for front in fronts])]


def measured_costs(fronts: Sequence[Front], directions: Sequence[tuple[str, bool]]) -> list[str]:
    """Return the names of the costs among these objectives whose values depend on the place of measurement."""
    found = {quantity.name for front in fronts for quantity in front.quantities if quantity.is_measured_cost}
    return [name for name, _ in directions if name in found]


def _other_limits(fronts: Sequence[Front]) -> list[str]:
    return _differences(fronts, "limits:", [dict((f.job.get("search") or {}).get("constraints") or {}) for f in fronts])


def _differences(fronts: Sequence[Front], what: str, fields: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each front that differs from the first in some field."""
    first, lines = fields[0], []
    for front, own in zip(fronts[1:], fields[1:]):
        names = [name for name in dict.fromkeys([*first, *own]) if first.get(name) != own.get(name)]
        if names:
            apart = ", ".join(f"{name} {_shown(first.get(name))} and {_shown(own.get(name))}" for name in names)
            lines.append(f"{what} {fronts[0].name} and {front.name} differ: {apart}")
    return lines


def _shown(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _joined(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names)
