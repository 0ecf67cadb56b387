"""The arrays of an npz file, read so that a damaged one is told in one line."""

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from nas.data.config import InvalidData


def read_arrays(path: Path, expected: str, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of a file by name, those that it has.

    Args:
        path: The file.
        expected: What it should be, as the end of a message.
        only: Names of the arrays that are read; None for all.

    Raises:
        InvalidData: The file is missing or damaged, or no npz file.
    """
    if not path.is_file():
        raise InvalidData(f"{path}: no such file; expected {expected}")
    try:
        with np.load(path, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise InvalidData(f"{path}: expected {expected}")
            return {name: stored[name] for name in stored.files if only is None or name in only}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, AttributeError) as error:
        raise InvalidData(f"{path}: not a readable npz file, damaged or truncated: {error}") from error
    except ValueError as error:
        if isinstance(error, InvalidData):
            raise
        raise InvalidData(f"{path}: not a readable npz file: {error}") from error
