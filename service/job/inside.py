"""Checks that a job folder keeps everything inside itself, because it may come from someone else."""

import os
import stat
from pathlib import Path

from service.errors import InvalidJob


def _target(link: Path) -> Path:
    """Return where a link leads."""
    try:
        return link.resolve()
    except (OSError, RuntimeError) as error:  # links that lead to each other
        raise InvalidJob([f"{link}: is a link that leads nowhere; remove it"]) from error


def require_inside(folder: Path) -> None:
    """Refuse a job folder with links that lead out of it, through which files elsewhere would be read or written.

    Raises:
        InvalidJob: There is such a link, or an entry that is neither a file nor a folder; the message names the first.
    """
    root = folder.resolve()
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                target = _target(path)
                if not target.is_relative_to(root):
                    replace = "put the file itself there, or remove the link"
                    raise InvalidJob([f"{path}: is a link that leads out of the job folder, to {target}; {replace}"])
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise InvalidJob([f"{path}: is neither a file nor a folder; remove it"])


def holds_job(folder: Path) -> bool:
    """Return whether a folder is that of a job; one that is, and that leads out of itself, is refused.

    Raises:
        InvalidJob: See `require_inside`.
    """
    if not os.path.lexists(folder / "job.json"):
        return False
    require_inside(folder)
    return True
