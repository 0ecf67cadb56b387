"""Mistakes of the user, printed as one line each on stderr; a fault of the program stays a traceback."""

import errno
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer

from service.job.store_address import without_secrets

_NOTHING_LOST = "; nothing is lost: make room, then the same command goes on where it stopped"
_OF_THE_MACHINE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _NOTHING_LOST),
    **dict.fromkeys((errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM), ""),
}
"""Faults of the operating system that may come without the name of a file -> what to do about them."""


class InvalidJob(ValueError):
    """A job that cannot be run; `mistakes` has one line for each thing that is wrong."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = [without_secrets(mistake) for mistake in mistakes]
        super().__init__("\n".join(self.mistakes))


@contextmanager
def readable_errors(also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Print one line for each mistake of the user, and exit with code 2; a fault of the program stays a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        fail("interrupted", status=130)
    except OSError as error:
        if error.filename is None and error.errno not in _OF_THE_MACHINE and not isinstance(error, also):
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        fail(f"{where}{error.strerror or error}{_OF_THE_MACHINE.get(error.errno or 0, '')}")
    except ImportError as error:
        if not isinstance(error, also):
            raise
        fail(str(error))
    except InvalidJob as error:
        fail(*error.mistakes)
    except ValueError as error:
        from nas.data import InvalidData
        from search_spaces import InvalidArchitecture
        from supernets.whole_file import InvalidFile

        if not isinstance(error, InvalidData | InvalidArchitecture | InvalidFile):
            raise
        fail(*str(error).splitlines())


def warn(line: str) -> None:
    """Warn of what is allowed but probably not meant; the command goes on."""
    print(f"nas: warning: {line}", file=sys.stderr)


def fail(*lines: str, status: int = 2) -> NoReturn:
    for line in lines:
        print(f"nas: {without_secrets(line)}", file=sys.stderr)
    raise typer.Exit(status)
