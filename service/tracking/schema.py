"""The tables of an SQLite store: one process at a time makes them, and faults in them are told in one line."""

import fcntl
import shlex
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from service.job.store_address import address_of, openable

_WAIT_S = 300.0


@contextmanager
def alone_with(database: Path) -> Iterator[None]:
    """Wait until no other process of ours makes the tables of a store, and keep others out meanwhile.

    The lock is a file of its own beside the database: one on the database would disturb those of SQLite.

    Raises:
        OSError: The lock cannot be written, or another process keeps it.
    """
    path = database.with_name(f"{database.name}.lock")
    with path.open("a") as file:
        deadline = time.monotonic() + _WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(f"another process has kept {path} for {_WAIT_S:.0f} s") from None
            time.sleep(0.05)
        yield


def schema_fault(database: Path) -> str | None:
    """Return why the tables of a store cannot be used and how to repair them; None where they fit this MLflow.

    Called where MLflow could not open the store. An older store and a damaged one are told apart by an upgrade of
    empty copies of the tables.
    """
    try:
        tables, revision = _content(database)
    except sqlite3.Error as error:
        return f"cannot read {database}: {error}"
    script = _migrations()
    known, newest = {step.revision for step in script.walk_revisions()}, script.get_current_head()
    if not tables or (revision == newest and "_alembic_tmp_" not in "".join(tables)):
        return None
    store, ours = shlex.quote(str(database)), f"MLflow {version('mlflow')}"
    if revision is not None and revision not in known:
        newer = f"{database} was made by a newer MLflow: its tables are of revision {revision}, unknown to {ours}"
        return f"{newer}; nothing is changed, install that MLflow or name another store"
    if _can_be_upgraded(database):
        older = f"{database} was made by an older MLflow: its tables are of revision {revision}, {ours} has {newest}"
        upgrade = f"mlflow db upgrade {shlex.quote(openable(address_of(database)))}"
        return f"{older}; upgrade it with: cp {store} {store}.backup && {upgrade}"
    damaged = f"the tables of {database} are damaged; nothing is lost, job folders hold all that was logged"
    return f"{damaged}, log it again with: mv {store} {store}.damaged && nas sync runs/*/"


def _content(database: Path) -> tuple[dict[str, str], str | None]:
    """Return how the tables are made, and the revision that they have reached."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        made = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        tables = dict(connection.execute(f"{made} ORDER BY type = 'table' DESC").fetchall())
        if "alembic_version" not in tables:
            return tables, None
        reached = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return tables, reached[0] if reached else None


def _can_be_upgraded(database: Path) -> bool:
    """Return whether MLflow's own upgrade succeeds on copies of the tables without their rows."""
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine

    tables, revision = _content(database)
    with tempfile.TemporaryDirectory(prefix="nas-schema-") as folder:
        copy = Path(folder) / "copy.db"
        try:
            with closing(sqlite3.connect(copy)) as connection:
                for made in tables.values():
                    connection.execute(made)
                if revision is not None:
                    connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
                connection.commit()
            engine = create_sqlalchemy_engine(f"sqlite:///{copy}")
            _upgrade_db(engine)
            engine.dispose()
        except Exception:  # migrations, alembic and SQLite may raise anything
            return False
    return True


def _migrations() -> Any:
    import mlflow.store.db_migrations
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(mlflow.store.db_migrations.__file__).parent))
