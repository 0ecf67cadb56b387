"""A hard limit on latency against the limit on MACs that stands for it.

    python -m benchmarks.latency_limit --folder limit
    python -m benchmarks.latency_limit --folder runs/translation --job translate_multi30k --set data.path=multi30k \
        --set latency.decode=20 --set search.evaluations=80 --quantile 0.3 --minutes 6

A supernet of small networks is trained on digits and a latency table is built. Two searches of it follow: one with
`latency_ms <= X`, predicted by the table, and one with `macs <= M`, where M is what networks that take X have on
average. Their final fronts are then measured anew, interleaved, in a fresh process, several times over: printed is how
many members exceed X there, and by how much. The second command does the same for the time of decoding of translators,
with the supernet that `benchmarks.translation` has left in the folder; it takes about 20 minutes of one core.

Everything is kept in the folder; what is there already is not done again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nas.hardware.latency import measure_latency
from search_spaces.decoding_space import as_timed
from service.job.building import build_space
from service.job.device import torch_device
from service.job.folder import read_json, write_json
from service.job.latency_table import read_table
from service.job.loading import load_job

SEARCHES = ("latency", "macs")
DRAWN = 20_000
NEAR = 0.03


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--job", default="quickstart", help="recipe or file that is searched")
    parser.add_argument("--set", action="append", default=[], dest="sets", help="PATH=VALUE of the job")
    parser.add_argument("--quantile", type=float, default=0.4, help="of the latency of random networks: the limit X")
    parser.add_argument("--minutes", type=float, default=10.0, help="to build the table in")
    parser.add_argument("--rounds", type=int, default=8, help="of repeats in the last measurement")
    parser.add_argument("--remeasure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def nas(*command: str, sets: list[str]) -> None:
    """Run one command of `nas` in a process of its own."""
    settings = [part for setting in sets for part in ("--set", setting)]
    subprocess.run([sys.executable, "-m", "service.cli", *command, *settings], check=True)


def limits(asked: argparse.Namespace) -> tuple[float, int]:
    """Return X in ms, and the average MACs of networks that are predicted to take X."""
    job = load_job(asked.job, [*asked.sets, f"latency.table={asked.folder / 'table.json'}"])
    space = build_space(job)
    encodings = space.sample_encodings(DRAWN, np.random.default_rng(0))
    latencies = read_table(job, space).predict(encodings)[0]
    limit = float(np.quantile(latencies, asked.quantile))
    near = np.abs(latencies / limit - 1) < NEAR
    return limit, int(space.costs(encodings[near])["macs"].mean())


def prepare(asked: argparse.Namespace) -> dict[str, Any]:
    """Return the trained supernet, the table and the two limits."""
    folder, sets = asked.folder, [*asked.sets, "tracking.enabled=false"]
    if not (folder / "supernet" / "supernet.safetensors").exists():
        nas("train", asked.job, "--output", str(folder / "supernet"), sets=sets)
    table = folder / "table.json"
    if not table.exists():
        nas("profile", asked.job, "--table", str(table), "--minutes", str(asked.minutes), sets=sets)
    found = read_json(folder / "limits.json")
    if found is None:
        limit, macs = limits(asked)
        found = {"latency_ms": limit, "macs": macs}
        write_json(folder / "limits.json", found)
    return found


def search(asked: argparse.Namespace, found: dict[str, Any]) -> None:
    sets = [*asked.sets, "tracking.enabled=false"]
    objectives = {"latency": "latency_ms", "macs": "macs"}
    for name in SEARCHES:
        own = [f"search.objectives=[quality, {objectives[name]}]"]
        own += [f"search.constraints={{{objectives[name]}: '<= {found[objectives[name]]}'}}"]
        own += [f"latency.table={asked.folder / 'table.json'}"] if name == "latency" else []
        output = asked.folder / name
        nas("search", asked.job, "--from", str(asked.folder / "supernet"), "--output", str(output), sets=[*sets, *own])


def remeasure(asked: argparse.Namespace) -> None:
    """Measure both fronts again, interleaved."""
    fronts = {name: json.loads((asked.folder / name / "front.json").read_text()) for name in SEARCHES}
    job = load_job(asked.job, asked.sets)
    space, device = as_timed(build_space(job), job.latency.decode), torch_device(job.device)
    members = [(name, member) for name, front in fronts.items() for member in front["members"]]
    metric = fronts["latency"]["task"]["metric"]
    subnets = [space.subnet(space.architecture(member["architecture"])).to(device) for _, member in members]
    estimates = measure_latency(subnets, [space.example()] * len(subnets), job.latency, rounds=asked.rounds)
    rows = [
        {"search": name, "key": member["key"], "before_ms": member["values"]["latency_ms"], "again_ms": e.value}
        | {"quality": member["values"][metric["name"]], "metric": metric}
        for (name, member), e in zip(members, estimates)
    ]
    write_json(asked.folder / "remeasured.json", rows)


def report(asked: argparse.Namespace, found: dict[str, Any]) -> None:
    limit = found["latency_ms"]
    print(f"X = {limit:.4f} ms; networks that take X have {found['macs']:,} MACs on average")
    rows = json.loads((asked.folder / "remeasured.json").read_text())
    for name in SEARCHES:
        own = [row for row in rows if row["search"] == name]
        dropped = json.loads((asked.folder / name / "front.json").read_text())["dropped"]
        out = sum("outside its limit" in (member["reason"] or "") for member in dropped)
        shares = np.array([row["again_ms"] / limit for row in own])
        metric = rows[0]["metric"]
        best = (max if metric["maximise"] else min)((row["quality"] for row in own), default=float("nan"))
        slowest = f"the slowest takes {100 * shares.max():.1f} % of X, " if own else ""
        print(
            f"limit on {name}: {int((shares > 1).sum())} of {len(own)} members exceed X when measured again; {slowest}"
            f"best validation {metric['name']} {best:.2f} {metric['unit']}; {out} were dropped at the end of the search"
        )


def main() -> None:
    asked = arguments()
    if asked.remeasure:
        remeasure(asked)
        return
    found = prepare(asked)
    search(asked, found)
    subprocess.run([sys.executable, "-m", "benchmarks.latency_limit", "--remeasure", *sys.argv[1:]], check=True)
    report(asked, found)


if __name__ == "__main__":
    main()
