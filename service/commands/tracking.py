"""The commands around MLflow: `nas ui` and `nas sync`."""

from pathlib import Path
from typing import Annotated

import typer

from service.errors import fail, readable_errors


def ui(
    *,
    uri: Annotated[str | None, typer.Option(help="Tracking store. [dim]Default: runs/mlflow.db here[/]")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    experiment: Annotated[str, typer.Option(help="Experiment that the printed link opens.")] = "espalier",
    allowed_hosts: Annotated[
        str | None, typer.Option(metavar="A,B", help="Names of this machine by which others may ask for the pages.")
    ] = None,
    auth: Annotated[bool, typer.Option("--auth", help="Ask for a login; see the README.")] = False,
) -> None:
    """Open the MLflow pages of all jobs; Ctrl-C ends it.

    The first of the printed links shows all fronts at once: quality against cost, and parallel coordinates.
    Jobs in runs/ that MLflow does not have yet, or that were killed, are logged first.

    [bold]Examples[/]
      nas ui                              jobs that ran in this directory
      nas ui --port 8080
      nas ui --uri http://tracking:5000   links to a server elsewhere
      nas ui --host 0.0.0.0 --allowed-hosts lab.example --auth       for a team
    """
    with readable_errors(also=(OSError, ImportError)):
        from service.tracking.pages import serve
        from service.tracking.store import Serving, default_uri
        from service.tracking.sync import catch_up

        store = uri or default_uri()
        serving = Serving(host=host, port=port, allowed_hosts=allowed_hosts, auth=auth)
        if not store.startswith("http"):
            serving.check()
        for folder in catch_up(Path("runs"), store):
            typer.echo(f"logged: {folder}")
        status = serve(store, serving, experiment=experiment, echo=typer.echo)
    raise typer.Exit(status)


def sync(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of jobs.")],
) -> None:
    """Log job folders in MLflow, now; what is there already is left alone.

    For jobs that ran while the server was away or MLflow was missing. May be repeated.

    [bold]Examples[/]
      nas sync runs/my
      nas sync runs/*/
    """
    failed = []
    with readable_errors(also=(OSError, ImportError)):
        from service.job.preparation import locked, saved_job
        from service.tracking import sync

        for folder in folders:
            saved_job(folder)
        for folder in folders:
            with locked(folder):
                result = sync.sync(folder, final=True)
            if result.error:
                failed.append(f"sync: {folder}: {result.error}")
            else:
                typer.echo(f"{folder} is in {result.uri}, experiment {result.experiment}")
    if failed:
        fail(*failed, status=1)
