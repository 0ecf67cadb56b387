"""The command that explains: `nas show`, for fields of jobs, listed names, job files and job folders."""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search_spaces.errors import FieldError
from service import catalogue
from service.commands import list_tables, reference_text
from service.commands.shared import console, front, load, show_result
from service.errors import fail, readable_errors

if TYPE_CHECKING:
    from service.reference.job_fields import JobField


def show(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME | FIELD | FILE | DIR", help="What to explain; see the examples."),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of job files, for editors.")] = False,
) -> None:
    """Explain a field of a job, a listed name, a recipe, a job file or the front of a job.

    Nothing is run and nothing is written.

    [bold]Examples[/]
      nas show quickstart > my.yaml       the recipe, to copy
      nas show data.image_size            what a field means, and what it may be
      nas show train                      all fields of a section
      nas show sampler path_adaptive      a listed name and its options
      nas show small_mobilenet_v3         size, cost and options of a space
      nas show timm:resnet18              what of a model can be searched, and what stays fixed
      nas show my.yaml                    check a job file and print all of its fields
      nas show runs/my                    the front of a job
      nas show --schema > job.schema.json    for editors, see the guide
    """
    with readable_errors():
        if schema:
            from service.reference.job_schema import job_schema

            typer.echo(json.dumps(job_schema(), indent=1, ensure_ascii=False))
        elif not names or len(names) > 2:
            fail("show: name one thing, such as quickstart, train.epochs or runs/my, or a kind and a name")
        elif len(names) == 2:
            _show_listed(*names)
        else:
            _show_one(names[0])


def _show_one(name: str) -> None:
    from service.reference.job_fields import job_fields

    if name in catalogue.recipes():
        typer.echo(catalogue.recipes()[name].read_text(encoding="utf-8"), nl=False)
    elif name in catalogue.SPACES:
        console().print(list_tables.space_facts(name))
    elif name.partition(":")[0] in catalogue.SPACES:
        _show_model(*name.split(":", 1))
    elif name in job_fields():
        _show_field(job_fields()[name])
    elif catalogue.entry(name) is not None:
        _show_listed(next((kind for kind, table in catalogue.KINDS.items() if name in table), "proxy"), name)
    elif Path(name).is_dir():
        front(Path(name))
        show_result(Path(name))
    elif Path(name).exists():
        import yaml

        from service.job.job import to_dict

        typer.echo(yaml.safe_dump(to_dict(load(name, None, None)), sort_keys=False), nl=False)
    elif len(found := [one for path, one in job_fields().items() if path.rpartition(".")[2] == name]) == 1:
        _show_field(found[0])
    elif name in catalogue.KINDS:
        console().print(list_tables.names({name: {key: one.summary for key, one in catalogue.KINDS[name].items()}}))
    else:
        _fail_near(name)


def _show_model(space: str, model: str) -> None:
    """Show what a space makes of a model."""
    if "model" not in catalogue.parameters("space", space):
        fail(f"show: {space} is not read off a model, got {f'{space}:{model}'!r}; see nas show {space}")
    if not model:
        fail(f"show: {space}: must name a model after the colon, such as {space}:resnet18, or package.module:function")
    try:
        console().print(list_tables.model_facts(space, model))
    except FieldError as error:
        fail(f"show: {space}:{model}: {error.text}")
    except (ValueError, TypeError) as error:
        fail(f"show: {space}:{model}: {error}")


def _show_field(field: "JobField") -> None:
    out = console()
    out.print(reference_text.section(field) if field.inside is not None else reference_text.field(field))
    if field.path in catalogue.STAGES:
        typer.echo(f"also a stage of a job: nas show stage {field.path}")


def _show_listed(kind: str, name: str) -> None:
    if kind not in catalogue.KINDS:
        fail(f"show: unknown kind {kind!r}{catalogue.suggestion(kind, catalogue.KINDS)}")
    if kind == "proxy" and name in catalogue.AGGREGATES:
        typer.echo(f"{name}: {catalogue.AGGREGATES[name].summary}\n{catalogue.AGGREGATES[name].target}")
        return
    if kind == "space" and name in catalogue.SPACES:
        console().print(list_tables.space_facts(name))
        return
    try:
        shown = reference_text.listed(kind, name)
    except ValueError as error:
        fail(f"show: {error}")
    console().print(shown)


def _fail_near(name: str) -> None:
    """Say what was probably meant: a field of the same or a similar name, or a listed name."""
    from service.reference.job_fields import job_fields

    last = name.rpartition(".")[2]
    same = sorted((path for path in job_fields() if path.rpartition(".")[2] == last), key=lambda path: path.count("."))
    known = [*catalogue.recipes(), *(key for table in catalogue.KINDS.values() for key in table), *job_fields()]
    lasts = {path.rpartition(".")[2]: path for path in job_fields()}
    found = list(dict.fromkeys([*same, *get_close_matches(name, known, n=3)]))
    found = (found or [lasts[close] for close in get_close_matches(last, lasts, n=2)])[:4]
    found = found or _near_models(name.rpartition(":")[2])
    meant = f"; did you mean {' or '.join(found)}?" if found else ";"
    fail(f"show: {name!r} is not a listed name, field, job folder or file{meant} see nas list, and nas show train")


def _near_models(name: str) -> list[str]:
    """Return models that are near to a name, as `nas show` takes them; only for names like those of models."""
    if not any(character.isdigit() for character in name):
        return []  # the names of timm take seconds to read
    from search_spaces.traced_spaces.sources import near_names

    return [f"timm:{near}" for near in near_names(name)]
