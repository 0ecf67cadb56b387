"""Isolation of our processes: they find Python's modules and our packages before files of the current folder.

Python puts the current folder first where a module is started with ``-m``. A file `queue.py` or a folder `service/`
that lies there by chance would then be imported instead of the real one. So every process that we start is
``python -P service/isolation.py MODULE ARGUMENT…``: this file is named by its path, which nothing can hide. It is also
the first thing of ours that a program imports, so it needs nothing but what every Python has loaded already.
"""

import os
import sys

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder of our packages."""


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that starts a module of ours in a process of its own.

    Args:
        module: Module that has a function `main`.
        arguments: Arguments that `main` finds in `sys.argv`.
    """
    return [sys.executable, "-P", "-u", os.path.abspath(__file__), module, *arguments]


def put_current_folder_last() -> None:
    """Move the current folder to the end of the module search path, where it is on it.

    It may be there because of ``python -m``, or because `PYTHONPATH` is ``.`` or begins or ends with a colon.
    """
    try:
        here = os.getcwd()
    except OSError:
        here = ""  # the folder was deleted
    if here == HOME:
        return  # a copy that is not installed: the current folder holds only our modules
    kept = [entry for entry in sys.path if entry not in ("", here)]
    if len(kept) < len(sys.path):
        sys.path[:] = [*kept, *([here] if here else [])]


def is_ours(arguments: list[str]) -> bool:
    """Return whether these arguments belong to a program of ours, not to one that uses us as a library.

    While Python looks for the module of ``-m``, the first argument is ``-m``.
    """
    return bool(arguments) and (arguments[0] == "-m" or os.path.basename(arguments[0]) == "nas")


def main() -> int | None:
    """Run the `main` of the module that the first argument names."""
    put_current_folder_last()
    if HOME not in sys.path:
        sys.path.insert(0, HOME)  # a copy that is not installed
    import importlib

    from service.surroundings import print_anything

    print_anything()
    del sys.argv[0]
    return importlib.import_module(sys.argv[0]).main()


if __name__ == "__main__":
    sys.exit(main())
