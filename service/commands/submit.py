"""The command that queues jobs: `nas submit`."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from service import catalogue, own_code
from service.commands.options import QueueFolder, Sets
from service.errors import InvalidJob, fail, readable_errors
from service.queue.executors.executor import Executor, Resources, Ticket
from service.queue.queue import DEFAULT, Draft, Queue, id_of


def submit(
    source: Annotated[
        str, typer.Argument(metavar="RECIPE | FILE | DIR", help="A job, a pipeline (`stages:`), or a `call:`.")
    ],
    *,
    queue: Annotated[
        str, typer.Option("--queue", metavar="NAME", help="local, slurm or inline; see nas list queue.")
    ] = "local",
    sets: Sets = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", metavar="PATH=V,V,…", help="One job per value; several --sweep: per combination."),
    ] = None,
    priority: Annotated[int, typer.Option(help="Jobs with a higher priority start first.")] = 0,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="GPUs of each job. [dim]Default: 1 if there is one and the device fits[/]")
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="Cores of each job. [dim]Default: all, if it has no GPU[/]")
    ] = None,
    memory_gb: Annotated[float | None, typer.Option(min=0.1, help="Memory of each job; only for slurm.")] = None,
    time_min: Annotated[float | None, typer.Option(min=1, help="Minutes of each run; only for slurm.")] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of each job; more than one only for slurm.")] = 1,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Option of sbatch, such as partition=gpu; only for slurm."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Name in the queue. [dim]Default: that of the job[/]")
    ] = None,
    queue_folder: QueueFolder = DEFAULT,
) -> None:
    """Queue a job, a sweep of jobs, or a pipeline; you may close the terminal at once.

    A killed job resumes where it stopped. A pipeline is one file with stages that
    wait for each other, such as a training, searches of its supernet, and
    fine-tuning. All mistakes in any of the jobs are reported at once, and then no
    job is queued.

    [bold]Examples[/]
      nas submit my.yaml
      nas submit cifar10 --set data.path=cifar10.npz --sweep seed=1,2,3
      nas submit my.yaml --sweep seed=1,2 --sweep train.lr=0.05,0.1      four jobs
      nas submit my.yaml --queue slurm --gpus 1 --time-min 240
      nas submit study.yaml --priority 5            a pipeline, see the guide
      nas watch                                     follow them until they end
    """
    with readable_errors(also=(OSError,)):
        try:
            resources = Resources(gpus=gpus or 0, cpus=cpus, memory_gb=memory_gb, time_min=time_min, nodes=nodes)
            catalogue.check("queue", queue)
        except ValueError as error:
            fail(f"--queue: {error}" if "queue" in str(error) else str(error))
        ticket = Ticket(
            name=name or "",
            executor=queue,
            priority=priority,
            resources=resources,
            directory=str(Path.cwd()),
            code=own_code.beside(source),
            options=_options(option or []),
        )
        where = Queue.open(queue_folder, create=True)
        executor = catalogue.resolve("queue", queue)(where.folder)
        check = _Check(executor)
        with _no_garbage():
            drafts = [check.placed(draft, gpus) for draft in _drafts(source, sets or [], sweep or [], ticket)]
            _look_for_weights(drafts)
        _add_and_serve(where, drafts)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Stop the garbage collector: imports leave no garbage, and looking for it would take a third of a submission."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _drafts(source: str, sets: Sequence[str], sweeps: Sequence[str], ticket: Ticket) -> list[Draft]:
    from service.queue import pipeline
    from service.queue import sweeps as sweeping
    from service.queue.submission import read_source

    fields = read_source(source)
    if "stages" in fields:
        if sweeps:
            raise InvalidJob(["--sweep: takes one job, not a pipeline; write the values as stages"])
        return pipeline.drafts({**fields, **({"name": ticket.name} if ticket.name else {})}, sets, ticket, source)
    make = sweeping.calls if "call" in fields else sweeping.jobs
    found = make(fields, sets, sweeps, ticket)
    array = os.urandom(4).hex() if len(found) > 1 else None
    return [replace(draft, ticket=replace(draft.ticket, array=array)) for draft in found]


def _look_for_weights(drafts: Sequence[Draft]) -> None:
    """Refuse jobs with given weights that cannot be had; those of the hub are fetched here, where a network may be."""
    seen = set()
    for draft in drafts:
        options = {} if draft.job is None else draft.job.space.options
        if draft.job is not None and (options.get("pretrained") or options.get("checkpoint")):
            if (key := repr(draft.job.space)) not in seen:
                from service.job.building import build_space
                from service.job.found_weights import weights_line

                weights_line(build_space(draft.job))
            seen.add(key)


class _Check:
    """A check that asks an executor about each different request only once."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.answers: dict[str, InvalidJob | None] = {}

    def placed(self, draft: Draft, gpus: int | None) -> Draft:
        """Return the draft, with a GPU if its device may be one and the queue could provide it.

        Raises:
            InvalidJob: The job could never run there.
        """
        if gpus is None and draft.job is not None and draft.job.device != "cpu":
            resources = replace(draft.ticket.resources, gpus=draft.ticket.resources.nodes)
            on_gpu = replace(draft, ticket=replace(draft.ticket, resources=resources))
            if draft.job.device == "cuda" or self._answer(on_gpu.ticket) is None:
                draft = on_gpu
        refusal = self._answer(draft.ticket)
        if refusal is not None:
            raise refusal
        return draft

    def _answer(self, ticket: Ticket) -> InvalidJob | None:
        request = repr((ticket.resources, ticket.options, ticket.stages, ticket.call))
        if request not in self.answers:
            try:
                self.executor.check(ticket)
                self.answers[request] = None
            except InvalidJob as error:
                self.answers[request] = error
        return self.answers[request]


def _options(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            fail(f"--option {text!r}: must be name=value")
        found[key.strip()] = value
    return found


def _add_and_serve(where: Queue, drafts: Sequence[Draft]) -> None:
    from service.queue import worker

    if drafts[0].ticket.executor == "inline":
        lock = where.try_serve()
        if lock is None:
            fail("--queue: inline needs a queue that no worker serves; give another --queue-folder")
        _say_added(where.add(drafts), where)
        worker.serve(where, lock, until_idle=True, say=typer.echo, tick_s=0)
        return
    _say_added(where.add(drafts), where)
    worker.start(where)


def _say_added(folders: Sequence[Path], where: Queue) -> None:
    for folder in folders[:20]:
        typer.echo(f"{id_of(folder)}  {folder.name.partition('-')[2]}")
    more = f"{len(folders) - 20} more; " if len(folders) > 20 else ""
    at = "" if where.folder == DEFAULT.resolve() else f" --queue-folder {where.folder}"
    typer.echo(f"{more}{len(folders)} {'job' if len(folders) == 1 else 'jobs'} in {where.folder}; see: nas watch{at}")
