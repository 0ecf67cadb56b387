"""Files and lines that are either whole or absent, even when a process, a machine or a disk fails."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_UNFINISHED = re.compile(r"^\..+\.(\d+)\.part$|^\.writing-.+$")
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


class InvalidFile(ValueError):
    """A file of this program that is damaged or of something else; the message names it and says how to go on."""


@contextmanager
def written_whole(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Yield a file to write to, so that a crash at any moment leaves the old or the new one, whole.

    Args:
        path: The file; its folder is made.
        durable: Whether this also holds when the machine stops, and not only when the process does. It takes ten times
            as long; files that can be made again do without it.

    Raises:
        OSError: The file cannot be written; the message has its name, and what was begun is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if (broken := _of_the_disk(error)) is not None:
            raise OSError(broken.errno, broken.strerror, str(path)) from error
        raise
    if durable:
        _keep_name(path)


def unfinished(folder: Path) -> Iterator[Path]:
    """Yield files that writers in a folder and below it left when they were killed; those of running ones are not."""
    for place, _, names in os.walk(folder):
        for name in names:
            match = _UNFINISHED.match(name)
            if match is not None and not (match[1] and _is_running(int(match[1]))):
                yield Path(place, name)


class LineFile:
    """A file of lines that only grows; a line is whole on disk when `append` returns, or it is absent.

    Args:
        path: The file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - stays open as long as there are lines

    def append(self, line: str) -> None:
        """Add a line.

        Raises:
            OSError: The line cannot be written; the message has the name of the file, and no part of the line stays
                there.
        """
        end = self._file.seek(0, os.SEEK_END)
        content = self._on_a_new_line(end) + line.encode() + b"\n"
        try:
            written = self._file.write(content)
            if written != len(content):
                self._file.write(content[written:])  # says why it was not whole
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), end)
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _on_a_new_line(self, end: int) -> bytes:
        """Return what ends a line that another process left half written."""
        return b"" if not end or os.pread(self._file.fileno(), 1, end - 1) == b"\n" else b"\n"

    def sync(self) -> None:
        """Make what was appended survive a power failure too."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "LineFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def append_line(path: Path, line: str) -> None:
    """Add a line to a file; see `LineFile`."""
    with LineFile(path) as file:
        file.append(line)


def _of_the_disk(error: BaseException) -> OSError | None:
    """Return the fault of the operating system behind an error: writers such as `torch.save` raise their own on it."""
    if isinstance(error, OSError):
        return error if error.filename is None else None
    seen = error.__cause__ or error.__context__
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _OF_THE_DISK:
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _keep_name(path: Path) -> None:
    """Make the name of a file survive a power failure."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()
