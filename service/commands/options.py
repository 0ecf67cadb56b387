"""Options that several commands share, and how they are parsed."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.errors import fail

Source = Annotated[
    str,
    typer.Argument(metavar="RECIPE | FILE | DIR", help="A recipe, a .yaml or .json job file, or a job folder."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one field of the job; may be given many times."),
]
DataSets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Where the data are now: data.path=DIR; also data.changed."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="DIR", help="Job folder; it resumes the same job. [dim]Default: a new one in runs/[/]"
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda or cuda:N, short for --set device=…; "
        "ssh://user@host[:port] measures latency there, short for --set latency.device=…",
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=1, metavar="N", help="Candidates evaluated at the same time, each in its own process; one per GPU."
    ),
]
QueueFolder = Annotated[
    Path, typer.Option("--queue-folder", metavar="DIR", help="Folder of the queue; private to you.", show_default=True)
]


def names_of(text: str | None) -> list[str]:
    """Return the names in `A,B,…`, each once."""
    return list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def named_options(sets: list[str] | None, *, flag: str = "--set") -> dict[str, dict[str, Any]]:
    """Parse several `NAME.OPTION=VALUE` into name -> option -> value."""
    found: dict[str, dict[str, Any]] = {}
    for text in sets or []:
        path, equals, value = text.partition("=")
        name, dot, option = path.rpartition(".")
        if not equals or not dot or not name:
            fail(f"{flag}: must be NAME.OPTION=VALUE, such as space.OPTION=VALUE, got {text!r}")
        found.setdefault(name, {})[option] = _value(value, flag)
    return found


def plain_options(texts: list[str] | None, *, flag: str) -> dict[str, Any]:
    """Parse several `OPTION=VALUE` into option -> value."""
    found: dict[str, Any] = {}
    for text in texts or []:
        option, equals, value = text.partition("=")
        if not equals or not option:
            fail(f"{flag}: must be NAME=VALUE, got {text!r}")
        found[option] = _value(value, flag)
    return found


def _value(text: str, flag: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        fail(f"{flag}: {text!r} cannot be read as a value")
