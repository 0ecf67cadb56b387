"""The command `nas export`: members of a front in the formats that people deploy."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import catalogue
from service.commands.options import DataSets
from service.commands.shared import console, display, front, load, resumable
from service.errors import fail, readable_errors
from service.export import export_table
from service.report.text import other_runtime_line

if TYPE_CHECKING:
    from service.export.export_members import Exported, ExportRequest

FROM_IMAGE = "onnx_from_image"


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished job.")],
    *,
    member: Annotated[
        list[str] | None,
        typer.Option("--member", metavar="KEY", help="Only this member of the front; may be given many times."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every member of the front.")] = False,
    formats: Annotated[
        str, typer.Option("--format", metavar="A,B,…", help="Formats; see nas list format.")
    ] = "onnx,pt2,safetensors",
    with_preprocessing: Annotated[
        bool,
        typer.Option(
            "--with-preprocessing",
            help="Also write ONNX that takes the bytes of an image and gives probabilities: onnx_from_image.",
        ),
    ] = False,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            metavar="NAME",
            help="retrained, scratch, inherited, or auto: retrained weights where nas retrain made some.",
        ),
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Folder that gets a folder for each member. [dim]Default: DIR/export[/]"
        ),
    ] = None,
    register: Annotated[
        str | None,
        typer.Option("--register", metavar="NAME", help="Register the ONNX files in MLflow under this name."),
    ] = None,
    sets: DataSets = None,
) -> None:
    """Export networks of the front: ONNX, torch.export, safetensors, 8 bits.

    Without --member or --all, the member that is best on the validation split is
    exported. Every file is loaded and compared with the network, for several
    batch sizes. card.json describes the inputs and the outputs.

    [bold]Examples[/]
      nas export runs/my                            the best member
      nas export runs/my --all --format onnx,int8
      nas export runs/my --with-preprocessing       an image in, probabilities out
      nas export runs/my --member 0a1b2c3d4e --output deploy
      nas export runs/my --weights inherited        instead of the retrained ones
      nas export runs/my --weights scratch          the network of nas retrain --scratch
      nas export runs/my --set data.path=/new/place after the data were moved
      nas export runs/my --all --register digits    in MLflow's model registry
    """
    with readable_errors(also=(OSError, ImportError)):
        content = front(folder)
        names = _formats(f"{formats},{FROM_IMAGE}" if with_preprocessing else formats, register)
        keys = _keys(content, member, every)
        _check_rest(weights, output, register)
        from service.export.export_members import ExportRequest
        from service.job.preparation import check_same

        job = load(str(folder), sets, None)
        check_same(job, folder)
        request = ExportRequest(folder=folder, job=job, members=keys, formats=names, weights=weights, output=output)
        exported = _exported(request, register)
    if {"onnx", "int8"} & set(names) and (line := other_runtime_line(content.get("latency") or {})):
        typer.echo(line)
    failures = [f"{entry.key}: {name}: {why}" for entry in exported for name, why in entry.failed.items()]
    if failures:
        fail(*failures, status=1)


def _exported(request: "ExportRequest", register: str | None) -> "list[Exported]":
    """Write the files, show the results, and register the files if asked to."""
    from service.export.export_members import export as write
    from service.job.preparation import locked

    with locked(request.folder), resumable("the same command"), display() as observer:
        exported = write(request, observer)
    console().print(export_table.table(exported, request.formats))
    for entry in exported:
        typer.echo(f"files: {entry.place}")
    if register is not None:
        with locked(request.folder), resumable("the same command"):
            _register(request.folder, exported, register)
    return exported


def _register(folder: Path, exported: "Sequence[Exported]", name: str) -> None:
    """Register what was exported and say how it is loaded, or why it could not be."""
    from service.tracking import registry

    try:
        versions = registry.register(folder, exported, name)
    except (OSError, ImportError) as error:
        fail(f"--register: {error}; the files are there, the same command registers them", status=1)
    for version in versions:
        told = "registered" if version.new else "registered before"
        typer.echo(f"{told}: version {version.version}, {registry.loading_line(version)}")


def _formats(text: str, register: str | None) -> list[str]:
    """Return the names of the formats, each once; all mistakes are reported at once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        fail(f"--format: must name one or more of {', '.join(catalogue.EXPORT_FORMATS)}, got {text!r}")
    mistakes = []
    for name in names:
        try:
            catalogue.check("format", name)
        except ValueError as error:
            mistakes.append(f"--format: {error}")
            continue
        listed = catalogue.EXPORT_FORMATS.get(name)
        missing = [package for package in (listed.needs if listed else ()) if find_spec(package) is None]
        if listed and missing:
            mistakes.append(f"--format: {name} needs {', '.join(missing)}, not installed: {listed.install}")
    if register is not None and not {"onnx", "int8"} & set(names):
        mistakes.append(f"--register: needs the format onnx or int8, got --format {text}")
    if mistakes:
        fail(*mistakes)
    return names


def _keys(content: Mapping[str, Any], chosen: list[str] | None, every: bool) -> list[str]:
    from service.report.job_report import best_by_quality

    keys = [str(entry["key"]) for entry in content["members"]]
    if chosen and every:
        fail("--member and --all exclude each other: give one of them")
    if not keys:
        fail("the front of this job has no members")
    unknown = [key for key in chosen or [] if key not in keys]
    if unknown:
        fail(*(f"--member: {key!r} is not on the front{catalogue.suggestion(key, keys)}" for key in unknown))
    if every:
        return keys
    return list(dict.fromkeys(chosen)) if chosen else [str(best_by_quality(content)["key"])]


def _check_rest(weights: str, output: Path | None, register: str | None) -> None:
    """Check the other options before anything heavy is loaded."""
    allowed = ("auto", "retrained", "scratch", "inherited")
    if weights not in allowed:
        fail(f"--weights: {weights!r} is none{catalogue.suggestion(weights, allowed)}")
    if output is not None and output.exists() and not output.is_dir():
        fail(f"--output: {output} is a file; must be a folder, new or not")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    if register is not None:
        from service.tracking.registry import name_mistake

        if mistake := name_mistake(register):
            fail(f"--register: {mistake}")
