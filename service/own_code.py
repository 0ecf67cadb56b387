"""The user's own code: imported from the folder of the job file, then from the current folder.

These folders come after everything that is installed, so that a file of the user that is called `queue.py` or
`service/` never takes the place of a module of Python or of this package. A job folder keeps the folders in its
`job.json`, so that the job goes on from anywhere. Processes that are started for a job find them there, or inherit
them.
"""

import importlib
import json
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

RECORD = "code"
"""Key of `job.json`: the folders, where the job names the user's own code."""
_OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def make_importable(*folders: Path | str) -> None:
    """Add folders to the end of the module search path of this process.

    Args:
        folders: Folders, such as that of a job file. A folder that is on the path already stays where it is.
    """
    added = [folder for folder in _resolved(folders) if folder not in sys.path]
    if added:
        sys.path.extend(added)
        importlib.invalidate_caches()  # a file may have been written a moment ago


def beside(source: str | Path) -> list[str]:
    """Return the folders that a job of this source imports from, as its folder records them.

    Args:
        source: A recipe, a job file or a job folder.
    """
    path = Path(source)
    if path.is_dir():
        return list(dict.fromkeys([*recorded(path), *_resolved(["."])]))
    return _resolved([path.parent, "."] if path.is_file() else ["."])


def recorded(folder: Path) -> list[str]:
    """Return the folders that a job folder records; none where its `job.json` is missing or says nothing of them."""
    with suppress(OSError, ValueError):
        content = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        return recorded_in(content)
    return []


def recorded_in(content: Any) -> list[str]:
    """Return the folders that the content of a `job.json` records."""
    found = content.get(RECORD) if isinstance(content, Mapping) else None
    return [folder for folder in found if isinstance(folder, str)] if isinstance(found, list) else []


def record(job: Mapping[str, Any], folders: Sequence[str]) -> dict[str, list[str]]:
    """Return the entry of `job.json` that keeps the folders; nothing where the job names no code of the user.

    Args:
        job: The fields of the job.
        folders: Folders that `beside` returned for its source.
    """
    return {RECORD: list(folders)} if folders and any(_OWN.fullmatch(text) for text in _texts(job)) else {}


def imported(target: str) -> Any:
    """Return the object at ``package.module:object``.

    Raises:
        ValueError: It cannot be imported; the message says why in one line.
    """
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ValueError as error:
        raise ValueError(f"{target!r} cannot be imported: {error}; write it as package.module:object") from error
    except ModuleNotFoundError as error:
        raise ValueError(f"{target!r} cannot be imported: {_not_found(module_name, error)}") from error
    except (Exception, SystemExit) as error:  # a fault in the user's own code
        raise ValueError(f"{target!r} cannot be imported: {fault(error)}") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        where = f" ({module.__file__})" if getattr(module, "__file__", None) else ""
        public = [name for name in vars(module) if not name.startswith("_")]
        close = get_close_matches(attribute, public, n=1, cutoff=0.7)
        meant = f"; did you mean {close[0]}?" if close else ""
        told = _hidden(module_name) or f"{where}{meant}"
        raise ValueError(f"{target!r}: module {module_name} has no {attribute!r}{told}") from error


def _not_found(module_name: str, error: ModuleNotFoundError) -> str:
    """Return why a module is not there: itself, or one that it imports."""
    if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
        return fault(error)
    hidden = _hidden(module_name)
    if hidden:
        return f"{error}{hidden}"
    places = "the folder of the job file, the current folder and the installed packages"
    return f"{error}; write it as package.module:object, looked for in {places}"


def _hidden(module_name: str) -> str:
    """Return a clause that says which file or folder of the user's own another module hides; empty where none is."""
    name = module_name.partition(".")[0]
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or spec.origin is None:
        return ""
    where = Path(spec.origin).resolve()
    there = [Path(entry) / found for entry in sys.path for found in (name, f"{name}.py")]
    others = [path for path in there if path.exists() and not where.is_relative_to(path.resolve())]
    own = [path for path in others if not _is_installed(str(path))]
    what = where.parent if where.name == "__init__.py" else where
    return f"; {own[-1]} is hidden by {what}: give yours another name" if own else ""


def fault(error: BaseException) -> str:
    """Return what went wrong in code of the user's own in one line, with the file and the line where it did."""
    text = (str(error).strip().splitlines() or [""])[0]
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError):  # its text names file and line
        return said
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    last = next((frame for frame in reversed(frames) if not _is_installed(frame.filename)), None)
    return f"{said} ({last.filename}, line {last.lineno})" if last is not None else said


def _is_installed(file: str) -> bool:
    """Return whether a file belongs to Python, to an installed package or to this one."""
    installed = sysconfig.get_paths()
    places = [installed[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return any(Path(file).is_relative_to(place) for place in (*places, str(Path(__file__).parent)))


def _resolved(folders: Sequence[Path | str]) -> list[str]:
    """Return folders as absolute paths, once each; those that are gone are left out."""
    found: dict[str, None] = {}
    for folder in folders:
        with suppress(OSError):  # the current folder was deleted
            path = Path(folder).resolve()
            if path.is_dir():
                found[str(path)] = None
    return list(found)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in nested fields, names of entries included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inside in value.items():
            yield from _texts(str(name))
            yield from _texts(inside)
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from _texts(inside)
