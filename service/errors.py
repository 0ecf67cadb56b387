"""Mistakes of the user as one line each on stderr; a fault of the program stays a traceback."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer


class InvalidJob(ValueError):
    """A job that cannot be run; `mistakes` has one line for each thing that is wrong."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = list(mistakes)


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
    except InvalidJob as error:
        fail(*error.mistakes)
    except ValueError as error:
        from nas.data import InvalidData
        from search_spaces import InvalidArchitecture

        if not isinstance(error, InvalidData | InvalidArchitecture):
            raise
        fail(*str(error).splitlines())


def warn(line: str) -> None:
    """Say what is allowed but probably not meant; the command goes on."""
    print(f"nas: warning: {line}", file=sys.stderr)


def fail(*lines: str, status: int = 2) -> NoReturn:
    for line in lines:
        print(f"nas: {line}", file=sys.stderr)
    raise typer.Exit(status)
