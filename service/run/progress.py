"""The progress of a running job: bars on a terminal, and plain lines from time to time elsewhere."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from service import catalogue
from service.report.text import duration

Event = Mapping[str, Any]
_TITLES = {
    "data": "reading the data",
    "ordering": "ordering units",
    "score": "scoring",
    "export": "exporting",
    "table": "measuring the table",
    "predict": "predicting latency",
}
"""Of what is no stage of a job."""
_ABOUT_VALIDATION = ("event", "time", "step", "unit", "metric", "part", "leaf", "leaves")
"""What an event of a validation has beside the values of architectures by name."""


@dataclass
class _Pace:
    """The progress of one bar since this process began it."""

    first: float
    began: float
    said: float

    def seconds_left(self, done: float, total: float, now: float) -> float | None:
        """Time to the end at the speed so far; None before there is any."""
        gained = done - self.first
        return (now - self.began) * (total - done) / gained if gained > 0 else None


class ProgressDisplay:
    """A display of the events of a job; an instance is the `observer` of the runner, and a context manager.

    Args:
        console: Console to write to.
        every_s: Seconds between plain lines where the console is not a terminal.
        clock: Returns the time in seconds.
    """

    def __init__(self, console: Console, *, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.every_s, self.clock = console, every_s, clock
        self._live = console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._paces: dict[str, _Pace] = {}
        self._titles: dict[str, str] = {}

    def __enter__(self) -> "ProgressDisplay":
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._bars.stop()

    def __call__(self, event: Event) -> None:
        kind = str(event.get("event"))
        if kind == "stage":
            self._stage(event)
        elif "total" in event:
            within = event["step"] / event["steps"] if event.get("steps") else 0
            self._advance(kind, event.get("done", 0) + within, event["total"], _note(event))
        elif "steps" in event:
            self._advance(kind, event.get("step", 0), event["steps"], train_note(event), str(event.get("phase", "")))
        else:
            line = _line(kind, event)
            if line:
                self._print(line)

    def _advance(self, kind: str, done: float, total: float, note: str, phase: str = "") -> None:
        """Show the progress of a kind of work; each phase has a speed of its own."""
        if self._live:
            if kind not in self._tasks:
                self._tasks[kind] = self._bars.add_task(self._title(kind), total=total, completed=int(done), note=note)
            self._bars.update(self._tasks[kind], completed=done, total=total, note=note)
            return
        now = self.clock()
        pace = self._paces.setdefault(f"{kind} {phase}", _Pace(first=done, began=now, said=float("-inf")))
        if now - pace.said < self.every_s and done < total:
            return
        pace.said = now
        left = pace.seconds_left(done, total, now)
        parts = [f"{int(done)}/{int(total)}", note, f"{duration(left)} left" if left else ""]
        self._print(f"{self._title(kind)}: {', '.join(part for part in parts if part)}")

    def _stage(self, event: Event) -> None:
        stage = str(event.get("stage"))
        self._titles.setdefault(stage, str(event.get("title") or _title(stage)))
        title = self._titles[stage]
        if event.get("status") == "finished":
            task = self._tasks.get(stage)
            if task is not None:
                self._bars.update(task, completed=self._bars.tasks[self._bars.task_ids.index(task)].total)
            seconds = event.get("seconds")
            self._print(f"{title}: done" + (f" in {duration(seconds)}" if seconds is not None else ""))
        elif not self._live:
            self._print(f"{title} …")

    def _title(self, kind: str) -> str:
        return self._titles.get(kind) or _title(kind)

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _title(kind: str) -> str:
    """Return the title of a kind of progress for which no stage has given one."""
    return catalogue.resolve("stage", kind).title if kind in catalogue.STAGES else _TITLES.get(kind, kind)


def train_note(event: Event) -> str:
    """Return the phase, epoch, loss and speed of one training event."""
    parts = [str(event["phase"])] if event.get("phase") else []
    if event.get("leaves", 1) > 1:
        parts.append(f"part {event['leaf'] + 1} of {event['leaves']}")
    if event.get("epoch") is not None:
        parts.append(f"epoch {event['epoch']:g}")
    if event.get("loss") is not None:
        parts.append(f"loss {event['loss']:.3f}")
    if event.get("examples_per_s"):
        parts.append(f"{event['examples_per_s']:,.0f} examples/s")
    return ", ".join(parts)


def _note(event: Event) -> str:
    parts = []
    if event.get("member") and event.get("loss") is None:
        parts.append(str(event["member"]))
    if event.get("order"):
        parts.append(f"by {event['order']}")
    if event.get("format"):
        parts.append(str(event["format"]))
    if event.get("front") is not None:
        parts.append(f"front of {event['front']}")
    if event.get("best_quality") is not None:
        parts.append(f"best {_quality(event['best_quality']['value'], event['best_quality']['unit'])}")
    if event.get("refused"):
        parts.append(f"{event['refused']} refused by limits")
    if event.get("expected_gain") is not None and event["expected_gain"] < 1:
        parts.append(f"next one gains {100 * event['expected_gain']:.2g} %")
    if event.get("loss") is not None:
        parts.append(train_note(event))
    return ", ".join(parts)


def _quality(value: float, unit: str) -> str:
    """Return a value of what networks are judged by, with its unit."""
    return f"{value:.1f} %" if unit == "%" else f"{value:.4g} {unit}".rstrip()


def _line(kind: str, event: Event) -> str:
    """Return what an event that is no progress says, empty where it says nothing to a person."""
    if kind == "validate":
        unit = event.get("unit", "")
        scores = [f"{name} {_quality(event[name], unit)}" for name in event if name not in _ABOUT_VALIDATION]
        by = f"{event['metric']} " if "metric" in event else ""
        return f"validation at step {event.get('step', '?')}: {by}{', '.join(scores)}"
    if kind == "rollback":
        scale = f", learning rate x {event['lr_scale']:g}" if "lr_scale" in event else ""
        return f"rolled back at step {event.get('step', '?')}: {event.get('reason', 'diverged')}{scale}"
    if kind == "split_plan":
        return _split_plan_line(event)
    if kind == "split":
        groups = " | ".join(", ".join(map(str, group)) for group in event["groups"])
        return f"split at step {event['step']}: {event['decision']} into {groups} (cut {event['cut']:.3g})"
    if kind == "statistics":
        return f"{event['norms']} batch norms follow {event['examples']} training examples; the function stays the same"
    if kind == "order":
        return _order_line(event)
    if kind == "sampler":
        return _sampler_line(event)
    if kind == "ticket":
        return _ticket_line(event)
    if kind == "ended":
        return f"search ended: {event['reason']}"
    if kind in ("check", "space"):
        return "\n".join(event["lines"])
    if kind == "capture":
        return str(event["message"])
    return f"warning: {event.get('message', '')}" if kind == "warning" else ""


def _split_plan_line(event: Event) -> str:
    """Return how many steps each part of a supernet is trained for, and what comparing choices costs."""
    whole, *later = event["stages"]
    parts = [f"the whole {whole['steps']:,} steps"]
    parts += [f"then each of {stage['parts']} parts {stage['steps']:,}" for stage in later]
    if event["scoring"]:
        share = 100 * event["scoring"] / event["passes"]
        parts.append(f"choices compared on {event['repeats']} batches ({share:.0f} % of the passes)")
    return f"splits: {', '.join(parts)}"


def _order_line(event: Event) -> str:
    """Return how units were ordered after the whole network was adapted, what was compared, and how good it is."""
    losses = sorted(event.get("losses", {}).items(), key=lambda item: item[1])
    compared = f", mean loss of random subnets: {', '.join(f'{n} {loss:.4g}' for n, loss in losses)}" if losses else ""
    order = "as they are" if event["order"] == "none" else f"by {event['order']}"
    whole = f"the whole network has {_quality(event['largest'], event.get('unit', ''))}; " if "largest" in event else ""
    return f"adapted at step {event['step']}: {whole}{event['groups']} groups of units ordered {order}{compared}"


def _sampler_line(event: Event) -> str:
    """Return the likeliest choices of the next epoch, and how many of the examples it is about to see."""
    likeliest = sorted(event.get("probabilities", {}).items(), key=lambda item: -item[1])[:3]
    parts = [f"{name} {probability:.2f}" for name, probability in likeliest]
    if "examples" in event:
        parts.append(f"effective part of the examples {event['examples']['effective_fraction']:.2f}")
    parts += [f"expected {name} {amount:,.4g}" for name, amount in event.get("expected", {}).items()]
    return f"sampling after epoch {event.get('epoch', '?')}: {', '.join(parts)}"


def _ticket_line(event: Event) -> str:
    """Return what a removal or a pruning has left of a network, and what has come back."""
    parts = [f"{event['paths']} paths with {event['channels']:,} channels"]
    parts += [f"{event['removed_channels']:,} channels removed"] if event.get("removed_channels") else []
    parts.append(f"{100 * event['sparsity']:.1f} % of {event['weights']:,} weights masked")
    returned = event.get("returned_weights", 0) + event.get("reactivated_by_removal", 0)
    parts += [f"{returned:,} returned"] if returned else []
    parts.append(f"MACs {event['dense_macs']:,} dense, {event['sparse_macs']:,} of weights that are left")
    return f"ticket after epoch {event['epoch']:g}: {', '.join(parts)}"
