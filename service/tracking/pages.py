"""The pages of MLflow: links that open them at the right place, and the server that shows a database."""

from collections.abc import Callable
from typing import Any

from service.job.store_address import database_of
from service.tracking.connection import connect, error_line
from service.tracking.format import Links, links
from service.tracking.store import LOOPBACK, Serving, run_server

_MOST_NAMED = 12


def view_link(uri: str, experiment: str, *, base: str | None = None) -> Links:
    """Return the addresses of an experiment in the user interface.

    Args:
        uri: Address of the store; that of a server is its own base.
        experiment: Name of the experiment.
        base: Address where `serve` shows a database.

    Raises:
        OSError: The store cannot be reached.
        LookupError: The store has no such experiment.
    """
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = [known.name for known in client.search_experiments(max_results=_MOST_NAMED)]
            raise LookupError(f"{uri} has no experiment {experiment!r} yet; it has {', '.join(names) or 'none'}")
    except MlflowException as error:
        raise OSError(f"MLflow at {uri}: {error_line(error)}") from error
    return links(base or (uri if uri.startswith("http") else "http://127.0.0.1:5000"), found.experiment_id)


def serve(
    uri: str, serving: Serving | None = None, *, experiment: str = "espalier", echo: Callable[[str], Any] = print
) -> int:
    """Show a store in the browser until interrupted; for a server that runs elsewhere, only print the links.

    Returns:
        The exit status of the server, 0 where it was interrupted.

    Raises:
        FileNotFoundError: There is no such database yet.
        OSError: The port is taken, what a login needs is missing, or the store cannot be reached.
    """
    serving = serving or Serving()
    elsewhere = uri.startswith("http")
    database = database_of(uri)
    if database is not None and not database.exists():
        raise FileNotFoundError(f"there is no MLflow store at {database} yet: it is made by the first job")
    if not elsewhere:
        serving.check()
    base = uri if elsewhere else f"http://{serving.host}:{serving.port}"
    try:
        found = view_link(uri, experiment, base=base)
        echo(f"charts: {found.charts}\nruns:   {found.runs}")
    except LookupError as error:
        echo(f"{error}\npages:  {base}")
    if elsewhere:
        return 0
    if serving.host not in LOOPBACK and not serving.auth:
        echo(f"whoever reaches {serving.host}:{serving.port} can read, change and delete runs; --auth asks for a login")
    return run_server(uri, serving)
