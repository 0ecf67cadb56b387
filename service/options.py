"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str,
    typer.Argument(metavar="RECIPE | FILE | DIR", help="A recipe, a .yaml or .json job file, or a job folder."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one field of the job; may be given many times."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="DIR", help="Job folder; the same job is resumed in it. [dim]Default: a new one in runs/[/]"
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N; short for --set device=…")
]
Workers = Annotated[
    int, typer.Option(min=1, metavar="N", help="Candidates evaluated at the same time, in processes; one a GPU.")
]
