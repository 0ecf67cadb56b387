"""The command line `nas`: it reads jobs, calls the runner and shows the results.

Nothing heavy is imported before a command needs it, so that help appears at once.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from service import catalogue, surroundings
from service.commands import (
    benchmark_latency,
    benchmark_ranking,
    benchmark_searchers,
    check,
    compare,
    export,
    init,
    list_tables,
    profile,
    queue,
    score,
    show,
    submit,
    tracking,
)
from service.commands.options import DataSets, Device, Output, Sets, Source, Workers, named_options, plain_options
from service.commands.shared import Request, console, execute, front, show_outcome
from service.errors import InvalidJob, fail, readable_errors, warn
from service.run import threads
from service.run.stages.outputs import SUPERNET
from service.run.stages.plan import Plan, stages_of, whole_job
from service.run.stages.retrain import Retrain
from service.run.stages.scratch import Scratch

HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="nas",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=HELP,
)

benchmark = typer.Typer(help="Compare methods with published results.", context_settings=HELP, no_args_is_help=True)
app.add_typer(benchmark, name="benchmark", rich_help_panel="Run")
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a job.")]


def main() -> None:
    """Run the command line."""
    surroundings.print_anything()
    threads.wait_briefly()
    ignored = threads.drop_unreadable()
    if ignored:
        warn(ignored)
    app(prog_name="nas")


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Search neural architectures: your data, your device's latency, one Pareto front.

    A [bold]job[/] trains one supernet that holds every architecture of a search space,
    searches it, measures the best architectures on this machine, and keeps
    everything in one folder and in MLflow.

    [bold]Start here[/]
      nas run                   the quickstart: minutes on a laptop, no download
      nas ui                    look at the result in the browser
      nas list                  all names: recipes, spaces, searchers, proxies, …
      nas score --help          score architectures without training

    [bold]Your own images[/]
      nas check photos/         look at the data, and at what may spoil results
      nas init photos --latency '2 ms'     write a job for a folder of images
      nas run photos --latency '2 ms'      the same, and run it at once

    [bold]Your own job[/]
      nas show quickstart > my.yaml        copy a recipe, then edit it
      nas run my.yaml                      run it
      nas run my.yaml --set train.epochs=50 --output runs/longer
      nas run runs/longer                  resume an interrupted job

    [bold]Many jobs[/]
      nas submit my.yaml --sweep seed=1,2,3      queue jobs for the GPUs here
      nas submit my.yaml --queue slurm           or for a cluster
      nas watch                                  follow them until they end
    """
    if version:
        from service.job.environment import version as installed

        typer.echo(f"espalier {installed()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
    mistakes = surroundings.mistakes()
    if mistakes:
        fail(*mistakes)


# ---- jobs and their parts -----------------------------------------------------------------------------------------


@app.command(rich_help_panel="Run")
def run(
    source: Source = "quickstart",
    *,
    workers: Workers = 1,
    sets: Sets = None,
    output: Output = None,
    device: Device = None,
    stages: Annotated[
        str | None,
        typer.Option(
            "--stages", metavar="A,B,…", help="Run only these; see nas list stage. [dim]Default: a whole job[/]"
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="STAGE.NAME=VALUE", help="Option of one of --stages; may be repeated."),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="PATH", help="Run the job on these images instead of its own.")
    ] = None,
    latency: init.Latency = None,
    size: init.Size = None,
    budget: init.Budget = "30m",
    model: init.Model = None,
    checkpoint: init.Checkpoint = None,
) -> None:
    """Run a whole job: train, search, measure, test, report.

    Ctrl-C at any moment loses nothing: run the folder again to resume the job.

    [bold]Examples[/]
      nas run                                       the quickstart
      nas run cifar10 --set data.path=cifar10.npz   a recipe on your copy of the data
      nas run photos --latency '2 ms'               your images: writes a job as nas init does, and runs it
      nas run photos --model resnet18.a1_in1k --latency '4 ms'     the best parts of a pretrained network
      nas run pretrained --data photos --latency '4 ms'     a recipe on your images
      nas run my.yaml --output runs/my --device cuda
      nas run my.yaml --set 'search.constraints.macs=<= 5e6'
      nas run runs/my                               resume, or show the results
      nas run runs/my --stages my_package.stages:Quantize    a stage of your own
    """
    names = stages_of(stages) if stages else whole_job()
    request = Request(source=source, sets=sets or [], output=output, device=device, workers=workers, data=data)
    asked = init.Asked(latency=latency, size=size, budget=budget, model=model, checkpoint=checkpoint)
    if init.is_data(source):
        request = init.first_request(request, asked)
    else:
        with readable_errors():
            request = replace(request, sets=[*asked.sets(), *request.sets])
    more = f" --stages {stages}" if stages else ""
    plan = Plan(stages=names, options=named_options(option, flag="--option"))
    show_outcome(execute(request, plan, again=f"nas run {{folder}}{more}"))


@app.command(rich_help_panel="Run")
def train(source: Source = "quickstart", sets: Sets = None, output: Output = None, device: Device = None) -> None:
    """Train the supernet of a job, and stop there.

    The folder then holds the trained supernet, to be searched as often as you
    like.

    [bold]Examples[/]
      nas train my.yaml --output runs/my            trains runs/my/supernet.safetensors
      nas run runs/my                               then everything else
      nas search my.yaml --from runs/my             or any number of searches
    """
    request = Request(source=source, sets=sets or [], output=output, device=device)
    show_outcome(execute(request, Plan(stages=("train",)), again="nas train {folder}"))


@app.command(rich_help_panel="Run")
def search(
    source: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE | FILE | DIR", help="The job. [dim]Default: the one of --from[/]"),
    ] = None,
    supernet_from: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Job folder whose trained supernet is searched.")
    ] = None,
    *,
    workers: Workers = 1,
    stop_gain: Annotated[
        float | None,
        typer.Option(
            "--stop-gain", metavar="PERCENT", help="End where one more candidate is expected to gain less than this."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="N", help="End after this many minutes of searching.")
    ] = None,
    sets: Sets = None,
    output: Output = None,
    device: Device = None,
) -> None:
    """Search a trained supernet, then measure and test the front.

    The supernet comes from the job folder itself or, with --from, from another
    job of the same space, data and task.

    [bold]Examples[/]
      nas search runs/my                            the supernet trained there
      nas search --from runs/my --set search.evaluations=2000
      nas search --from runs/my --set search.searcher=random --output runs/baseline
      nas search --from runs/my --set 'search.constraints.latency_ms=<= 3'
      nas search --from runs/my --workers 4 --minutes 30
      nas search --from runs/my --set search.searcher=surrogate --stop-gain 0.05
    """
    sets = [*(sets or []), *([f"search.stop_gain={stop_gain}"] if stop_gain is not None else [])]
    sets += [f"search.hours={minutes / 60}"] if minutes is not None else []
    if source is None and supernet_from is None:
        fail("search needs a trained supernet: name a job folder that `nas train` made, or give --from DIR")
    if supernet_from is None and not Path(str(source)).is_dir() and output is None:
        fail(f"search needs a trained supernet, and {source!r} is a new job: give --from DIR, or `nas run` the whole")
    named = str(source or supernet_from)
    request = Request(source=named, sets=sets, output=output, device=device, workers=workers)
    inputs = {} if supernet_from is None else {SUPERNET: supernet_from}
    more = f" --from {supernet_from}" if supernet_from else ""
    plan = Plan(stages=stages_of("search"), inputs=inputs)
    show_outcome(execute(request, plan, again=f"nas search {{folder}}{more}"))


app.command(rich_help_panel="Run")(init.init)
app.command(rich_help_panel="Run")(check.check)
app.command(rich_help_panel="Run")(profile.profile)


@app.command(rich_help_panel="Run")
def retrain(
    folder: Folder,
    *,
    member: Annotated[
        list[str] | None,
        typer.Option("--member", metavar="KEY", help="Only this member of the front; may be given many times."),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the training data. [dim]Default: as many as the supernet had[/]")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate. [dim]Default: a fifth of the supernet's[/]")
    ] = None,
    distil: Annotated[
        bool, typer.Option("--distil", help="Learn from the teacher of the job beside the labels.")
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Learn from this network: a model of timm, a job folder, or package.module:function.",
        ),
    ] = None,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Train alone from fresh weights, in the network of the paper.")
    ] = False,
    network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="NAME=VALUE", help="With --scratch: option of the space, such as cells=8."),
    ] = None,
    cutout: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="With --scratch: side of a square blanked in each image.")
    ] = None,
    sets: DataSets = None,
) -> None:
    """Fine-tune members of the front from the weights that they inherited.

    Weights and curves go to DIR/retrain. A member that is done is trained again
    only where these options ask for other epochs, rates or teachers.

    With --scratch, members are trained alone from fresh weights, for as long and in
    the network that the paper of the space takes: DARTS 600 epochs in 20 cells of 36
    channels, with a second classifier and rising drop path. That needs a GPU;
    --epochs and --network make it smaller. Weights and curves go to DIR/scratch.

    [bold]Examples[/]
      nas show runs/my                              the keys of the front
      nas retrain runs/my --epochs 10               every member
      nas retrain runs/my --member 0a1b2c3d4e --member 5f6a7b8c9d
      nas retrain runs/my --distil                  learn from the adapted network
      nas retrain runs/my --set data.path=/new/place     after the data were moved
      nas retrain runs/my --scratch --epochs 100 --network cells=8 --network width=16
    """
    chosen: dict[str, Any] = {"members": member or None, "epochs": epochs, "lr": lr}
    with readable_errors():
        if scratch:
            if distil or teacher:
                given = "teacher" if teacher else "distil"
                raise InvalidJob([f"--{given}: must be left out with --scratch, which learns from the targets alone"])
            chosen |= {"network": plain_options(network, flag="--network"), "cutout": cutout}
        elif network or cutout is not None:
            raise InvalidJob([f"--{'network' if network else 'cutout'}: must be left out without --scratch"])
        else:
            chosen |= {"distil": distil, "teacher": teacher}
        front(folder)
        name = "scratch" if scratch else "retrain"
        execute(
            Request(source=str(folder), sets=sets or []),
            Plan(stages=(name,), options={name: chosen}),
            again="nas retrain {folder}" + (" --scratch" if scratch else ""),
        )
        from service.job.front_file import task_of
        from service.report.terminal import retrain_table

        metric, stage = task_of(front(folder)).metric, Scratch if scratch else Retrain
        records = stage(members=member or None).records(folder)
        console().print(retrain_table(records, metric.unit, maximise=metric.maximise, scratch=scratch))


app.command(rich_help_panel="Run")(export.export)
app.command(rich_help_panel="Run")(score.score)
benchmark.command("latency")(benchmark_latency.benchmark_latency)
app.command(rich_help_panel="Queue")(submit.submit)
for command in (queue.jobs, queue.watch, queue.logs, queue.cancel, queue.retry, queue.gc, queue.worker):
    app.command(command.__name__, rich_help_panel="Queue")(command)
benchmark.command("proxies")(score.benchmark_proxies)
benchmark.command("ranking")(benchmark_ranking.benchmark_ranking)
benchmark.command("search")(benchmark_searchers.benchmark_search)


# ---- looking at things --------------------------------------------------------------------------------------------


@app.command("list", rich_help_panel="Look")
def list_names(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="KIND", help="A kind of names, such as recipe, space or proxy. [dim]Default: all[/]"),
    ] = None,
) -> None:
    """List what can be named in jobs and commands, from recipes and search spaces to proxies and formats.

    Anything else is written package.module:object and imported from there.

    [bold]Examples[/]
      nas list                   everything
      nas list space             the search spaces
      nas list proxy             scores without training
      nas list backend           what runs networks while they are measured
      nas list method            ways to train supernets that nas benchmark ranking compares
      nas show quickstart        more about one of them
    """
    named = list_tables.everything()
    chosen = kind if kind in named else (kind or "").removesuffix("s").replace("proxie", "proxy") or None
    if chosen is not None and chosen not in named:
        fail(f"list: unknown kind {kind!r}{catalogue.suggestion(chosen, named)}")
    console().print(list_tables.names({k: entries for k, entries in named.items() if chosen in (None, k)}))


app.command(rich_help_panel="Look")(show.show)
app.command(rich_help_panel="Look")(compare.compare)
app.command(rich_help_panel="Look")(compare.report)
app.command(rich_help_panel="Look")(tracking.ui)
app.command(rich_help_panel="Look")(tracking.sync)


if __name__ == "__main__":
    main()
