"""The loop around a step: clock, learning rate, divergence guard, checkpoints, exact resume, events.

Everything random follows from the seed and the number of the step, so a run that was killed and resumed from its
checkpoint ends with the same weights as an uninterrupted one. The loop does not know what a step does or what a batch
is.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import Any

import torch

from supernets.streams import STEP
from supernets.tasks.task import Batch
from supernets.training.checkpoint import CHECKPOINT, InvalidCheckpoint, read_training, write_checkpoint
from supernets.training.distributed import Processes
from supernets.training.examples import TrainingData
from supernets.training.schedule import Stretch, first_steps, lr_at
from supernets.training.steps.step import Moment, Step

Observer = Callable[[dict[str, Any]], None]
SURELY_DIVERGED = 1000.0  # times the loss before the first update, where nothing later is known to compare with
CHECK_EVERY = 20  # steps between looks at the loss; the only moments at which the host waits for the device


class TrainingDiverged(RuntimeError):
    """A training whose loss grew without bound several times; the message says when and what to do."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Settings of the loop.

    Args:
        batch_size: Examples of one step, over all processes together.
        max_rollbacks: How often a diverging run is rolled back with half the rate before it is given up.
        checkpoint_every_s: Seconds between checkpoints.
    """

    batch_size: int
    max_rollbacks: int = 5
    checkpoint_every_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """The circumstances of a training: seed, folder, processes and observers.

    Args:
        seed: Seed of data order, changes of examples, and everything that a step draws.
        folder: Folder for checkpoints; nothing is written without it.
        observer: Receives ``train``, ``validate`` and ``rollback`` events as dictionaries, and those of the step.
        validate: Called at the end of every epoch in the first process; its numbers go to the observer.
        processes: This process and its siblings; alone by default.
        first_loss: Loss that a training from fresh weights begins with, for the guard; by default the loss of the first
            steps. A training that goes on from trained weights begins with a smaller one, which says little about
            scale.
    """

    seed: int = 0
    folder: Path | None = None
    observer: Observer = lambda event: None
    validate: Callable[[], dict[str, float]] | None = None
    processes: Processes = field(default_factory=Processes)
    first_loss: float | None = None


def train_steps(
    step: Step, schedule: Sequence[Stretch], data: TrainingData, config: LoopConfig, run: Run | None = None
) -> None:
    """Train through a schedule; with a folder, write checkpoints there and continue from the newest.

    Args:
        step: What one step does; its networks are trained in place.
        schedule: How long, at which learning rate.
        data: The training split.
        config: Batch size, guard and checkpoints.
        run: Circumstances of the training; alone, without a folder and with seed 0 by default.

    Raises:
        TrainingDiverged: The loss diverged more than `config.max_rollbacks` times.
        ValueError: The checkpoint is damaged or of another training.
    """
    loop = _Loop(step=step, schedule=schedule, data=data, config=config, go=run or Run())
    with torch.random.fork_rng(devices=[step.device] if step.device.type == "cuda" else []):
        loop.run()


@dataclass(kw_only=True, eq=False)
class _Loop:
    """The state of one training: where it is, and what it needs to go on from there."""

    step: Step
    schedule: Sequence[Stretch]
    data: TrainingData
    config: LoopConfig
    go: Run

    def __post_init__(self) -> None:
        self.epoch_steps = self.data.steps(self.config.batch_size)
        self.starts = first_steps(self.schedule, self.epoch_steps)
        self.number = self.phase_index = self.rollbacks = 0
        self.lr, self.lr_scale = 0.0, 1.0
        self.usual_loss: float | None = None
        self.begins_anew = False  # losses before the next look say nothing of those behind it
        self.first_loss = self.go.first_loss
        self.opening_loss: torch.Tensor | None = None
        self.snapshot: dict[str, Any] = {}
        self.losses = torch.zeros((), device=self.step.device)
        self.last_save = self.last_check = time.monotonic()

    # ---- the run --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end, from the checkpoint or from the beginning."""
        if not self._load():
            self._begin_phase(0)
        while not self.snapshot["finished"]:
            self._run_phase()
            event = self.step.end_phase()
            if event:
                self._tell(event["event"], phase=self._phase_name, step=self.number, **_without_name(event))
            if self.number < self.starts[-1]:
                self._begin_phase(self.phase_index + 1)
            else:
                self._remember(finished=True)
                self._save()

    def _begin_phase(self, index: int) -> None:
        self.phase_index, self.usual_loss = index, None
        self.step.begin_phase(index)
        self._remember()
        self._save()
        self.last_check = time.monotonic()  # the speed is that of steps alone

    def _run_phase(self) -> None:
        """Train to the end of the current phase, going back where the loss diverges."""
        end = self.starts[self.phase_index + 1]
        while self.number < end:
            for batch in self._batches():
                self._take_step(batch)
                if self.number % self.epoch_steps == 0:
                    self._end_epoch()
                if (self.number % CHECK_EVERY == 0 or self.number == end) and not self._check():
                    break  # rolled back: the batches start again from there
                if self.number == end:
                    break

    def _batches(self) -> Iterator[Batch]:
        epoch, start = divmod(self.number, self.epoch_steps)
        order = self.step.order(epoch)
        return self.data.batches(
            self.config.batch_size,
            epoch=epoch,
            seed=self.go.seed,
            start=start,
            rank=self.go.processes.rank,
            world_size=self.go.processes.world_size,
            **({} if order is None else {"order": order}),
        )

    def _take_step(self, batch: Batch) -> None:
        begun, phase = self.number - self.starts[self.phase_index], self.schedule[self.phase_index]
        generator = STEP.generator(self.go.seed, self.number)
        torch.manual_seed(int(generator.integers(2**62)) + self.go.processes.rank)
        self.lr = lr_at(phase, begun, self._phase_steps) * self.lr_scale
        epoch, in_epoch = divmod(self.number, self.epoch_steps)
        moment = Moment(
            step=self.number,
            epoch=epoch,
            batch=in_epoch,
            lr=self.lr,
            progress=phase.progress(begun / self._phase_steps),
            generator=generator,
        )
        loss = self.step(batch, moment)
        if self.opening_loss is None:
            self.opening_loss = loss.detach().clone()  # before any update of this run
        self.losses += loss
        self.number += 1

    def _end_epoch(self) -> None:
        """Let what is drawn follow what the epoch has shown."""
        epoch = self.number // self.epoch_steps
        begun = max(0, self.number - self.epoch_steps - self.starts[self.phase_index])
        progress = self.schedule[self.phase_index].progress(begun / self._phase_steps)
        event = self.step.end_epoch(epoch - 1, progress)
        if event:
            self.begins_anew = self.begins_anew or bool(event.pop("network_changed", False))
            self._tell(event["event"], phase=self._phase_name, step=self.number, epoch=epoch, **_without_name(event))

    @property
    def _phase_steps(self) -> int:
        return self.starts[self.phase_index + 1] - self.starts[self.phase_index]

    @property
    def _phase_name(self) -> str:
        return self.schedule[self.phase_index].name

    # ---- guard and reports ----------------------------------------------------------------------------------------

    def _check(self) -> bool:
        """Look at the loss since the last look: remember this state, or go back to the remembered one."""
        steps = self.number - self.snapshot["step"]
        loss = float(self.go.processes.mean(self.losses)) / steps
        self.losses.zero_()
        if not isfinite(loss) or (loss > self._highest() and not self.begins_anew):
            self._roll_back(loss)
            return False
        self.first_loss = loss if self.first_loss is None else self.first_loss
        self.usual_loss = loss if self.usual_loss is None else 0.9 * self.usual_loss + 0.1 * loss
        if self.begins_anew:
            self.usual_loss, self.begins_anew = None, False
        self._report(loss, steps)
        crossed_epoch = self.number // self.epoch_steps > self.snapshot["step"] // self.epoch_steps
        if crossed_epoch or self.number == self.starts[-1]:
            self._validate()
        self._remember()
        if time.monotonic() - self.last_save >= self.config.checkpoint_every_s:
            self._save()
        return True

    def _validate(self) -> None:
        if self.go.validate is not None and self.go.processes.is_first:
            self._tell("validate", step=self.number, **self.go.validate())
            self.last_check = time.monotonic()

    def _highest(self) -> float:
        """Return the highest loss that does not count as divergence, on the scale of the first losses."""
        if self.usual_loss is None or self.first_loss is None:
            opening = 0.0 if self.opening_loss is None else float(self.go.processes.mean(self.opening_loss.clone()))
            return SURELY_DIVERGED * (1.0 + abs(opening if self.first_loss is None else self.first_loss))
        return self.usual_loss + abs(self.usual_loss) + 0.5 * abs(self.first_loss)

    def _report(self, loss: float, steps: int) -> None:
        now = time.monotonic()
        rate, self.last_check = steps * self.config.batch_size / max(now - self.last_check, 1e-9), now
        self._tell(
            "train",
            phase=self._phase_name,
            step=self.number,
            steps=self.starts[-1],
            epoch=round(self.number / self.epoch_steps, 3),
            loss=loss,
            lr=self.lr,
            examples_per_s=rate,
        )

    def _roll_back(self, loss: float) -> None:
        self.rollbacks += 1
        reason = f"loss {loss:.4g} after step {self.number}, usual is {self.usual_loss or nan:.4g}"
        if self.rollbacks > self.config.max_rollbacks:
            times = f"rolled back {self.config.max_rollbacks} times"
            raise TrainingDiverged(f"training diverges: {reason}; {times}, lower lr")
        lr_scale, rollbacks = self.lr_scale / 2, self.rollbacks
        self._restore(self.snapshot)
        self.lr_scale, self.rollbacks = lr_scale, rollbacks
        self._remember()
        self._save()
        self._tell("rollback", step=self.number, reason=reason, lr_scale=self.lr_scale)

    def _tell(self, event: str, **facts: Any) -> None:
        if self.go.processes.is_first:
            self.go.observer({"event": event, "time": time.time(), **facts})

    # ---- checkpoints ----------------------------------------------------------------------------------------------

    def _remember(self, *, finished: bool = False) -> None:
        """Keep a copy of everything that decides how the training goes on."""
        self.snapshot = {
            "state": self.step.state_dict(),
            "step": self.number,
            "phase_index": self.phase_index,
            "lr_scale": self.lr_scale,
            "rollbacks": self.rollbacks,
            "usual_loss": self.usual_loss,
            "first_loss": self.first_loss,
            "seed": self.go.seed,
            "starts": self.starts,
            "finished": finished,
        }

    def _restore(self, snapshot: dict[str, Any]) -> None:
        self.number, self.phase_index = snapshot["step"], snapshot["phase_index"]
        self.lr_scale, self.rollbacks = snapshot["lr_scale"], snapshot["rollbacks"]
        self.usual_loss, self.first_loss = snapshot["usual_loss"], snapshot["first_loss"]
        self.step.load_state_dict(snapshot["state"])
        self.losses.zero_()
        self.begins_anew = False

    def _save(self) -> None:
        self.last_save = time.monotonic()
        if self.go.folder is not None and self.go.processes.is_first:
            write_checkpoint(self.snapshot, self.go.folder / CHECKPOINT)
        self.go.processes.wait()

    def _load(self) -> bool:
        """Continue from the checkpoint; False where there is none."""
        there = self.go.folder is not None and (self.go.folder / CHECKPOINT).exists()
        # the first process decides for all: it may have begun, and saved, before another one looks
        if not self.go.processes.first_says(there) or self.go.folder is None:
            return False
        path = self.go.folder / CHECKPOINT
        snapshot = read_training(path, self.step.device)
        if snapshot["starts"] != self.starts or snapshot["seed"] != self.go.seed:
            raise InvalidCheckpoint(f"{path} is of a training with another schedule or seed")
        try:
            self._restore(snapshot)
        except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
            raise InvalidCheckpoint(f"{path} can't be continued: {error}") from error
        self.snapshot = snapshot
        return True


def _without_name(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "event"}
