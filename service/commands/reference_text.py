"""Fields and listed names as the terminal shows them."""

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from service import catalogue
from service.reference.docstrings import Argument, Definition, Docstring, definition, parsed
from service.reference.job_fields import NAMES, JobField, about, job_fields, listed_names

_OPTIONS = {
    "sampler": "train.sampler_options",
    "searcher": "search.searcher_options",
    "space": "space.options",
    "task": "task.options",
    "data": "data.options",
    "proxy": "proxies.options.{name}",
    "stage": "--option {name}",
}
"""Kind -> where its options stand."""
_FIELDS = {kind: path for path, kind in NAMES.items()}
_OFFERED = {
    *("space", "objectives", "population", "seed", "violation", "evaluations", "exact", "limits"),
    *("standard_errors", "further", "warm_start", "config", "task", "data", "subnets", "cost", "queue"),
}
"""Arguments that a run gives by itself; they are no options."""


def field(one: JobField) -> Group:
    """Return a field: what it may be, its default, what it means, and how it is set."""
    default = "must be given" if one.default is None else f"default {one.default}"
    lines: list[Text | Padding] = [Text.assemble((one.path, "bold"), f": {one.allowed}, {default}")]
    lines.append(Padding(Text(one.about), (0, 0, 0, 2)))
    if names := listed_names(one.path):
        lines.append(Padding(Text(f"listed: {', '.join(names)}; see: nas show {NAMES[one.path]} NAME"), (0, 0, 0, 2)))
    value = one.default if one.default not in (None, "null", "{}", "[]") else "VALUE"
    path = f"{one.path}.NAME" if one.allowed.startswith("a mapping") else one.path
    lines.append(Padding(Text(f"in a command: --set {path}={value}", style="dim"), (0, 0, 0, 2)))
    written = "".join(f"{name}: {{" for name in path.split(".")[:-1])
    in_file = f"{written}{path.rpartition('.')[2]}: {value}{'}' * written.count('{')}"
    lines.append(Padding(Text(f"in a job file: {in_file}", style="dim"), (0, 0, 0, 2)))
    return Group(*lines)


def section(one: JobField) -> Group:
    """Return a section: what it is, and each of its fields in a line."""
    assert one.inside is not None
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("  field", "default", "what it is"):
        rows.add_column(heading, no_wrap=heading == "  field", overflow="fold")
    for path, inner in job_fields().items():
        name = path.removeprefix(f"{one.path}.")
        if path.startswith(f"{one.path}.") and "." not in name:
            default = "-" if inner.default is None else inner.default
            rows.add_row(Text(f"  {name}", style="cyan"), Text(default), Text(inner.summary))
    more = Text(f"more about one of them: nas show {one.path}.FIELD", style="dim")
    return Group(Text.assemble((one.path, "bold"), f": {about(one.inside).summary}"), rows, more)


def listed(kind: str, name: str) -> Group:
    """Return a listed name, or code of the user's own: what it is, its options, and where it is named.

    Raises:
        ValueError: There is no such name.
    """
    known = catalogue.KINDS[kind]
    found = _definition(kind, name)
    target = known[name].target if name in known else name
    summary = known[name].summary if name in known else found.docstring.summary
    parts: list[Text | Padding | Table] = [Text.assemble((name, "bold"), f": {summary}"), Text(target, style="dim")]
    if found.docstring.text:
        parts.append(Padding(Text(found.docstring.text), (0, 0, 0, 2)))
    options = [one for one in found.arguments if one.name not in _OFFERED and one.default is not None]
    if options:
        where = f" ({_OPTIONS[kind].format(name=name)})" if kind in _OPTIONS else ""
        parts += [Text(f"Options{where} and their defaults", style="bold"), _options(options, found.docstring)]
    if kind in _FIELDS:
        parts.append(Text(f"named in a job by: {_FIELDS[kind]}", style="dim"))
    return Group(*parts)


def _options(options: list[Argument], words: Docstring) -> Table:
    rows = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for one in options:
        rows.add_row(
            Text(f"  {one.name}", style="cyan"), Text(str(one.default)), Text(words.arguments.get(one.name, ""))
        )
    return rows


def _definition(kind: str, name: str) -> Definition:
    """Return what the source of a listed object says; code of the user's own is imported."""
    if name not in catalogue.KINDS[kind]:
        made = catalogue.resolve(kind, name)
        arguments = catalogue.parameters(kind, name)
        given = [Argument(key, "", None if one.required else str(one.default)) for key, one in arguments.items()]
        return Definition(parsed(made.__doc__), given)
    return definition(catalogue.KINDS[kind][name].target) or Definition(Docstring(), [])
