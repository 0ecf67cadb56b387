"""The process ``service.queue.mirror FOLDER…``: brings MLflow up to date with job folders of a queue, and ends.

It is a process of its own, so that neither jobs nor the process that serves the queue load mlflow. Relative places,
such as the local store `runs/mlflow.db`, start from the folder where the job was submitted.
"""

import os
import sys
from pathlib import Path

from service.queue.executors.executor import is_over, read_ticket
from service.tracking.sync import sync


def main() -> int:
    """Mirror each folder; return 1 where one could not be."""
    failed = False
    for folder in map(Path, sys.argv[1:]):
        try:
            os.chdir(read_ticket(folder).directory)
            error = sync(folder, final=is_over(folder)).error
        except (OSError, ValueError) as problem:
            error = str(problem)
        if error:
            failed = True
            print(f"{folder.name}: not logged in MLflow yet: {error}", file=sys.stderr, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
