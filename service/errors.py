"""Mistakes of the user as one line each on stderr; a fault of the program stays a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer


@contextmanager
def readable_errors(also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """One line for each mistake of the user and exit code 2; a fault of the program stays a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        fail("interrupted", status=130)
    except OSError as error:
        if error.filename is None and not isinstance(error, also):
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        fail(f"{where}{error.strerror or error}")
    except ImportError as error:
        if not isinstance(error, also):
            raise
        fail(str(error))
    except ValueError as error:
        from nas.data import InvalidData
        from search_spaces import InvalidArchitecture
        from service.jobs import InvalidJob

        if not isinstance(error, InvalidJob | InvalidData | InvalidArchitecture):
            raise
        fail(*getattr(error, "mistakes", str(error).splitlines()))


def fail(*lines: str, status: int = 2) -> NoReturn:
    for line in lines:
        print(f"nas: {line}", file=sys.stderr)
    raise typer.Exit(status)
