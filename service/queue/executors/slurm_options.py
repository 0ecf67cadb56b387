"""The requests of a job to SLURM: resources and options as parameters of ``sbatch``, and mistakes in them.

A job file is data. An option may choose where, when and at whose cost a job runs. None may add a command or a variable
of the environment, so only the options listed here are allowed, with plain values.
"""

import math
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from service.catalogue import suggestion
from service.errors import InvalidJob
from service.job.validation import show
from service.queue.executors.distributed import process_count
from service.queue.executors.executor import Resources, Ticket

SHORTEST_MIN = 5
OPTIONS = (
    *("partition", "account", "qos", "reservation", "constraint", "prefer", "nodelist", "exclude", "exclusive"),
    *("gres", "gpu-bind", "gpu-freq", "mem-per-cpu", "mem-per-gpu", "hint", "licenses", "tmp", "switches"),
    *("begin", "deadline", "nice", "comment", "wckey", "mail-type", "mail-user"),
)
_FLAGS = ("gpus", "cpus", "memory-gb", "time-min", "nodes", "priority", "name")  # options of `nas submit`
_PLAIN = re.compile(r"[A-Za-z0-9][\w.,:;=*|&()\[\]@/+ -]{0,200}")
_WARNING_S = 120


def cluster_only(ticket: Ticket) -> list[str]:
    """Return what a ticket asks for that only a cluster gives, one line each, for queues of one machine."""
    found = []
    for name in ticket.options:
        if name.replace("_", "-") in OPTIONS:
            hint = "only --queue slurm has it"
        elif name.replace("_", "-") in _FLAGS:
            hint = f"write --{name.replace('_', '-')}"
        else:
            hint = f"it has none{suggestion(name.replace('_', '-'), [*_FLAGS, *OPTIONS])}"
        found.append(f"--option {name}: no option of --queue {ticket.executor}; {hint}")
    for name, value in (("memory-gb", ticket.resources.memory_gb), ("time-min", ticket.resources.time_min)):
        if value is not None:
            found.append(f"--{name}: only --queue slurm limits this, got {value:g} for {ticket.executor}; leave it out")
    return found


def require_slurm() -> None:
    """Refuse to go on where SLURM cannot be used.

    Raises:
        InvalidJob: Its commands or submitit are not installed.
    """
    if shutil.which("sbatch") is None or shutil.which("squeue") is None:
        where = "submit on a login node of the cluster, or install it (Debian: apt-get install slurm-wlm munge)"
        raise InvalidJob([f"--queue: slurm needs SLURM, and there is no sbatch here; {where}; or use --queue local"])
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise InvalidJob(["--queue: slurm needs submitit; install it: pip install 'espalier-nas[slurm]'"]) from error


def mistakes(resources: Resources, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a request, one line each."""
    if resources.time_min is not None and resources.time_min < SHORTEST_MIN:
        why = "a job is warned two minutes before its end, and SLURM may be a minute early"
        yield f"resources.time_min: must be {SHORTEST_MIN} or more for slurm, got {show(resources.time_min)}; {why}"
    if resources.gpus % resources.nodes:
        yield f"resources.gpus: must be a multiple of nodes ({resources.nodes}), got {resources.gpus}"
    for name, value in options.items():
        if name.replace("_", "-") not in OPTIONS:
            yield f"options.{name}: no option of sbatch that a job may set{suggestion(name, OPTIONS)}"
        elif value is True:
            continue
        elif not isinstance(value, str | int) or not _PLAIN.fullmatch(str(value)):
            yield f"options.{name}: must be true, a whole number or a plain word, got {show(value)}"


def parameters(ticket: Ticket) -> dict[str, Any]:
    """Return the parameters of `submitit.SlurmExecutor` for a job; those of one array are equal."""
    needs, options = ticket.resources, {name.replace("_", "-"): value for name, value in ticket.options.items()}
    processes = process_count(ticket)
    per_process = math.ceil(needs.cpus / processes) if needs.cpus else None
    further = {name: value for name, value in options.items() if name != "wckey"}
    if ticket.priority < 0:
        further.setdefault("nice", -100 * ticket.priority)
    return {
        "time": math.ceil(needs.time_min) if needs.time_min else None,
        "nodes": needs.nodes,
        "ntasks_per_node": processes // needs.nodes,
        "gpus_per_node": needs.gpus // needs.nodes or None,
        "cpus_per_task": per_process,
        "mem": f"{math.ceil(needs.memory_gb * 1024 / needs.nodes)}MB" if needs.memory_gb else None,
        "signal_delay_s": _WARNING_S,
        "stderr_to_stdout": True,
        "wckey": options.get("wckey"),
        # One process that dies ends all of them; since SLURM 22.05, srun does not inherit the cores of sbatch.
        "srun_args": ["--kill-on-bad-exit=1", *([f"--cpus-per-task={per_process}"] if per_process else [])],
        "additional_parameters": {"requeue": True, **further},
    }
