"""The commands around MLflow: `nas ui` and `nas sync`."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.shared import store_address
from service.errors import InvalidJob, fail, readable_errors
from service.job.store_address import without_secrets


def ui(
    *,
    uri: Annotated[
        str | None, typer.Option(help="Tracking store. [dim]Default: $MLFLOW_TRACKING_URI, or runs/mlflow.db[/]")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    experiment: Annotated[
        str | None,
        typer.Option(help="Experiment that the link opens. [dim]Default: $MLFLOW_EXPERIMENT_NAME, or espalier[/]"),
    ] = None,
    allowed_hosts: Annotated[
        str | None, typer.Option(metavar="A,B", help="Names of this machine under which others open the pages.")
    ] = None,
    auth: Annotated[bool, typer.Option("--auth", help="Ask for a login; see the guide.")] = False,
) -> None:
    """Open the MLflow pages of all jobs; Ctrl-C stops them.

    The first of the printed links shows all fronts at once: quality against cost,
    and parallel coordinates. Jobs in runs/ that MLflow does not have yet, or that
    were killed, are logged first.

    [bold]Examples[/]
      nas ui                              the jobs of this folder
      nas ui --port 8080
      nas ui --uri http://tracking:5000   links to a server elsewhere
      nas ui --host 0.0.0.0 --allowed-hosts lab.example --auth       for a team
    """
    with readable_errors(also=(OSError, ImportError)):
        from service.tracking.pages import serve
        from service.tracking.place import default_experiment, default_uri
        from service.tracking.store import Serving
        from service.tracking.sync import catch_up

        store = store_address(uri) if uri else default_uri()
        serving = Serving(host=host, port=port, allowed_hosts=allowed_hosts, auth=auth)
        if not store.startswith("http"):
            serving.check()
        for folder in catch_up(Path("runs"), store):
            typer.echo(f"logged: {folder}")
        status = serve(store, serving, experiment=experiment or default_experiment(), echo=typer.echo)
    raise typer.Exit(status)


def sync(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of jobs.")],
    *,
    uri: Annotated[str | None, typer.Option(help="Store to log in, instead of that of the jobs.")] = None,
) -> None:
    """Log job folders in MLflow now; what is logged already does not change.

    Use it for jobs that ran while the server was away or MLflow was missing; it
    may be repeated. Folders that are not jobs are named and skipped. The exit
    code is 1 if something was not logged, and 2 if no job was named.

    [bold]Examples[/]
      nas sync runs/my
      nas sync runs/*/
    """
    store = store_address(uri) if uri else None
    done = [_synced(folder, store) for folder in folders if not _is_ours(folder)]
    if not done:
        fail("sync: no job folder is named")
    if failed := [line for line, _ in done if line]:
        fail(*failed, status=2 if all(mistaken for _, mistaken in done) else 1)


def _is_ours(folder: Path) -> bool:
    """Return whether a folder beside job folders was made by this program, and say so."""
    ours = folder.name == "mlartifacts" or any(folder.glob("*/queue.json"))
    if ours and not (folder / "job.json").exists():
        typer.echo(f"{folder} holds no job: skipped")
        return True
    return False


def _synced(folder: Path, uri: str | None) -> tuple[str | None, bool]:
    """Log one folder; return why it is not logged, and whether it is no job at all."""
    from service.job.preparation import locked, saved_job
    from service.job.tracking import TrackingConfig
    from service.tracking import sync

    try:
        saved_job(folder)
        asked_for = TrackingConfig(enabled=True)  # also for a job that did not log itself
        with locked(folder):
            result = sync.sync(folder, asked_for, final=True, uri=uri)
    except InvalidJob as error:
        return f"sync: {error}", True
    except (OSError, ImportError, ValueError, KeyError, TypeError) as error:
        return f"sync: {folder}: {without_secrets(str(error))}", False
    if result.error:
        return f"sync: {folder}: {result.error}", result.is_damaged
    typer.echo(f"{folder} is in {result.uri}, experiment {result.experiment}")
    return None, False
