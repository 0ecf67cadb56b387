"""Seconds to log a search of 10,000 candidates with 100 members on its front in MLflow, and to do so again.

    python -m benchmarks.mlflow_logging [candidates] [members]

Once straight into an SQLite database, once through an MLflow server in front of another one.
"""

import sys
import tempfile
import time
from pathlib import Path

from service.job.tracking import TrackingConfig
from service.tracking.sync import sync
from tests.service.mlflow_server import MlflowServer
from tests.service.synthetic_job import finish, start_job, train, wide_search


def main() -> None:
    """Print the seconds of a first and of a second log, for both ways."""
    numbers = [int(text) for text in sys.argv[1:]]
    candidates, members = (*numbers, *(10_000, 100)[len(numbers) :])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        started = train(start_job(folder / "job"), range(1, 1001))
        job = finish(wide_search(started, evaluations=candidates, members=members))
        print(f"{candidates:,} candidates, {members} members of the front")
        direct = f"sqlite:///{folder / 'direct.db'}"
        sync(start_job(folder / "tables"), TrackingConfig(uri=direct), final=False)  # makes the tables
        _report("SQLite", job, direct)
        (job / "tracking.json").unlink()
        with MlflowServer(folder / "served.db") as server:
            _report("server over HTTP", job, server.uri)


def _report(name: str, job: Path, uri: str) -> None:
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        result = sync(job, TrackingConfig(uri=uri), final=True)
        seconds.append(time.perf_counter() - start)
        if not result.synced:
            raise SystemExit(f"{name}: {result.error}")
    print(f"{name}: {seconds[0]:.1f} s, again {seconds[1]:.1f} s, {len(result.members)} runs of members")


if __name__ == "__main__":
    main()
