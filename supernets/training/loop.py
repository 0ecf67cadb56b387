"""The training loop of supernets.

Everything random follows from the seed and the number of the step, so a run that was killed and resumed from its
checkpoint ends with the same weights as one that was not.

Paper: Once-for-All, arXiv 1908.09791, appendix B: the gradients of the subnets of a step are summed; the teacher runs
in training mode without gradients. In-place distillation: arXiv 1903.05134.
Differs: weights that no subnet of a step used are left alone by that step; under old versions of torch, momentum and
weight decay moved them as well.
"""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_spaces import Architecture
from supernets.samplers import LearnedSampler
from supernets.streams import STEP
from supernets.supernet import Supernet
from supernets.training.checkpoint import CHECKPOINT, read_checkpoint, write_checkpoint
from supernets.training.config import TrainConfig
from supernets.training.distributed import Processes
from supernets.training.example_importance import ExampleImportance
from supernets.training.images import TrainingImages
from supernets.training.losses import subnet_loss
from supernets.training.optimization import WeightAverage, lr_at, make_optimizer
from supernets.training.phases import Phase
from supernets.transforms import sort_channels

Observer = Callable[[dict[str, Any]], None]
CHECK_EVERY = 20  # steps between looks at the loss; the only moments at which the host waits for the device


def train(
    supernet: Supernet,
    phases: list[Phase],
    images: TrainingImages,
    config: TrainConfig,
    *,
    seed: int = 0,
    folder: Path | None = None,
    observer: Observer = lambda event: None,
    validate: Callable[[Supernet], dict[str, float]] | None = None,
    processes: Processes | None = None,
    optimizer_state: dict[str, Any] | None = None,
) -> Supernet:
    """Train a supernet through its phases; with a folder, write checkpoints there and continue from the newest.

    Args:
        supernet: Trained in place, on its device.
        phases: What to train when, see `supernets.training.phases`. Learned samplers begin as they are given.
        images: The training split.
        config: Optimizer and guard settings.
        seed: Of data order, augmentation, architectures and dropout.
        folder: For checkpoints; nothing is written without it.
        observer: Receives ``train``, ``validate``, ``rollback`` and ``sampler`` events as dictionaries.
        validate: Called at the end of every epoch in the first process; its accuracies go to the observer.
        processes: This process and its siblings; alone by default.
        optimizer_state: Momentum to begin with, of a network with the same parameters; see `final_optimizer_state`.

    Raises:
        RuntimeError: The loss diverged more than `config.max_rollbacks` times.
    """
    training = _Training(
        supernet=supernet,
        phases=phases,
        images=images,
        config=config,
        seed=seed,
        folder=folder,
        observer=observer,
        validate=validate,
        processes=processes or Processes(),
        optimizer_state=optimizer_state,
    )
    with torch.random.fork_rng(devices=training.cuda_devices):
        training.run()
    return supernet


@dataclass(kw_only=True, eq=False)
class _Training:
    """The state of one training: where it is, and what it needs to go on from there."""

    supernet: Supernet
    phases: list[Phase]
    images: TrainingImages
    config: TrainConfig
    seed: int
    folder: Path | None
    observer: Observer
    validate: Callable[[Supernet], dict[str, float]] | None
    processes: Processes
    optimizer_state: dict[str, Any] | None

    def __post_init__(self) -> None:
        parameter = next(self.supernet.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.cuda_devices = [self.device] if self.device.type == "cuda" else []
        self.epoch_steps = self.images.steps(self.config.batch_size)
        lengths = [max(1, round(phase.epochs * self.epoch_steps)) for phase in self.phases]
        self.starts = [0, *np.cumsum(lengths).tolist()]
        self.step = self.phase_index = self.rollbacks = 0
        self.lr_scale = 1.0
        self.usual_loss: float | None = None
        self.teacher: Supernet | None = None
        self.optimizer = make_optimizer(self.supernet, self.config)
        self.examples = self._example_importance()
        self.average: WeightAverage | None = None
        self.snapshot: dict[str, Any] = {}
        self.losses = torch.zeros((), device=self.device)
        self.last_save = self.last_check = time.monotonic()

    def _example_importance(self) -> ExampleImportance | None:
        if self.config.examples == "uniform":
            return None
        return ExampleImportance(
            count=len(self.images),
            batch_size=self.config.batch_size,
            seed=self.seed,
            weighted=self.config.example_weights,
            processes=self.processes,
            device=self.device,
        )

    # ---- the run --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self.supernet.to(memory_format=torch.channels_last).train()
        self.processes.join_batch_norm(self.supernet)
        if not self._load():
            self._begin_phase(0)
        while not self.snapshot["finished"]:
            self._run_phase()
            if self.average is not None:
                self.average.adopt()
            if self.step < self.starts[-1]:
                self._begin_phase(self.phase_index + 1)
            else:
                self._remember(finished=True)
                self._save()
        self.supernet.activate(self.supernet.space.largest())

    def _begin_phase(self, index: int) -> None:
        """Prepare what a phase needs; a teacher is what the first phase made."""
        self.phase_index, self.usual_loss = index, None
        phase = self.phases[index]
        if phase.distillation == "teacher" and self.teacher is None:
            self._keep_teacher()
        if phase.sort:
            sort_channels(self.supernet, phase.trained_widths)
        if index == 0 or phase.fresh_optimizer:
            self._fresh_optimizer(self.optimizer_state if index == 0 else None)
        self._fresh_average()
        self._remember()
        self._save()

    def _fresh_optimizer(self, state: dict[str, Any] | None = None) -> None:
        self.optimizer = make_optimizer(self.supernet, self.config)
        if state is not None:
            self.optimizer.load_state_dict(deepcopy(state))

    def _fresh_average(self) -> None:
        decay = self.config.ema_decay
        self.average = WeightAverage(self.supernet, decay) if decay is not None else None

    def _run_phase(self) -> None:
        """Train to the end of the current phase, going back where the loss diverges."""
        end = self.starts[self.phase_index + 1]
        while self.step < end:
            for images, labels in self._batches():
                self._train_step(images, labels)
                self.step += 1
                if self.step % self.epoch_steps == 0:
                    self._end_epoch()
                if (self.step % CHECK_EVERY == 0 or self.step == end) and not self._check():
                    break  # rolled back: the batches start again from there
                if self.step == end:
                    break

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, start = divmod(self.step, self.epoch_steps)
        given = {} if self.examples is None else {"order": self.examples.order(epoch)}
        return self.images.batches(
            self.config.batch_size,
            epoch=epoch,
            seed=self.seed,
            start=start,
            rank=self.processes.rank,
            world_size=self.processes.world_size,
            **given,
        )

    def _end_epoch(self) -> None:
        """Let what is drawn follow what the epoch has shown."""
        epoch = self.step // self.epoch_steps
        begun = max(0, self.step - self.epoch_steps - self.starts[self.phase_index])
        progress = self.phases[self.phase_index].progress(begun / self._phase_steps)
        learned: dict[str, Any] = {}
        if self._learned is not None:
            learned["probabilities"] = self._learned.end_epoch(progress)
        if self.examples is not None:
            learned["examples"] = self.examples.end_epoch(epoch - 1, progress)
        if learned and self.processes.is_first:
            phase = self.phases[self.phase_index].name
            event = {"event": "sampler", "time": time.time(), "phase": phase, "step": self.step, "epoch": epoch}
            self.observer(event | learned)

    @property
    def _learned(self) -> LearnedSampler | None:
        """The sampler of the phase, where it is one that learns."""
        sampler = self.phases[self.phase_index].sampler
        return sampler if isinstance(sampler, LearnedSampler) else None

    # ---- one step -------------------------------------------------------------------------------------------------

    def _train_step(self, images: Tensor, labels: Tensor) -> None:
        phase = self.phases[self.phase_index]
        generator = STEP.generator(self.seed, self.step)
        torch.manual_seed(int(generator.integers(2**62)) + self.processes.rank)
        step, steps = self.step - self.starts[self.phase_index], self._phase_steps
        for group in self.optimizer.param_groups:
            group["lr"] = lr_at(phase, step, steps) * self.lr_scale
        architectures = phase.sampler.draw(generator)
        self._backward(architectures, images, labels, phase)
        parameters = list(self.supernet.parameters())
        self.processes.average_gradients(parameters)
        if self.config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        if self._learned is not None:
            self._learned.observe(architectures, self.supernet)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update()

    def _backward(self, architectures: list[Architecture], images: Tensor, labels: Tensor, phase: Phase) -> None:
        """Add up the gradients of the losses of all architectures of a step."""
        weights = None if self.examples is None else self.examples.weights(*divmod(self.step, self.epoch_steps))
        in_place = phase.distillation == "in_place"
        soft: Tensor | None = None
        for position, architecture in enumerate(architectures):
            if phase.distillation == "teacher" and position == 0:
                soft = self._teacher_probabilities(images, architecture)
            self.supernet.activate(architecture)
            with self._autocast():
                logits = self.supernet(images).to(self.dtype)
            if self.examples is not None and position == 0:
                self.examples.record(logits, labels)
            loss = subnet_loss(logits, labels, self.config, soft=soft, weights=weights, in_place=in_place)
            (loss / len(architectures) if phase.average_losses else loss).backward()
            self.losses += loss.detach() / len(architectures)
            if in_place and position == 0:
                soft = logits.detach().softmax(dim=1)

    @torch.no_grad()
    def _teacher_probabilities(self, images: Tensor, student: Architecture) -> Tensor:
        """Soft labels of the teacher at the student's resolution, by batch statistics as in training."""
        assert self.teacher is not None
        architecture = dict(self.teacher.space.largest())
        if "resolution" in student:
            architecture["resolution"] = student["resolution"]
        self.teacher.activate(self.teacher.space.architecture(architecture))
        with self._autocast():
            return self.teacher(images).to(self.dtype).softmax(dim=1)

    def _autocast(self) -> torch.autocast:
        on_cuda = self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on_cuda and self.config.bf16)

    # ---- guard, reports, checkpoints ------------------------------------------------------------------------------

    @property
    def _phase_steps(self) -> int:
        return self.starts[self.phase_index + 1] - self.starts[self.phase_index]

    def _check(self) -> bool:
        """Look at the loss since the last look: remember this state, or go back to the remembered one."""
        steps = self.step - self.snapshot["step"]
        loss = float(self.processes.mean(self.losses)) / steps
        self.losses.zero_()
        slack = 0.5 * float(np.log(self.supernet.space.classes or 2))
        if not np.isfinite(loss) or (self.usual_loss is not None and loss > 2 * self.usual_loss + slack):
            self._roll_back(loss)
            return False
        self.usual_loss = loss if self.usual_loss is None else 0.9 * self.usual_loss + 0.1 * loss
        self._report(loss, steps)
        crossed_epoch = self.step // self.epoch_steps > self.snapshot["step"] // self.epoch_steps
        if self.validate is not None and self.processes.is_first and (crossed_epoch or self.step == self.starts[-1]):
            self.observer({"event": "validate", "time": time.time(), "step": self.step, **self.validate(self.supernet)})
            self.supernet.train()
        self._remember()
        if time.monotonic() - self.last_save >= self.config.checkpoint_every_s:
            self._save()
        return True

    def _report(self, loss: float, steps: int) -> None:
        now = time.monotonic()
        rate, self.last_check = steps * self.config.batch_size / max(now - self.last_check, 1e-9), now
        if self.processes.is_first:
            self.observer(
                {
                    "event": "train",
                    "time": time.time(),
                    "phase": self.phases[self.phase_index].name,
                    "step": self.step,
                    "steps": self.starts[-1],
                    "epoch": round(self.step / self.epoch_steps, 3),
                    "loss": loss,
                    "lr": self.optimizer.param_groups[0]["lr"],
                    "images_per_s": rate,
                }
            )

    def _roll_back(self, loss: float) -> None:
        self.rollbacks += 1
        reason = f"loss {loss:.4g} after step {self.step}, usual is {self.usual_loss or float('nan'):.4g}"
        if self.rollbacks > self.config.max_rollbacks:
            raise RuntimeError(f"training diverges: {reason}; rolled back {self.config.max_rollbacks} times, lower lr")
        lr_scale, rollbacks = self.lr_scale / 2, self.rollbacks
        self._restore(self.snapshot)
        self.lr_scale, self.rollbacks = lr_scale, rollbacks
        self._remember()
        self._save()
        if self.processes.is_first:
            event = {"event": "rollback", "time": time.time(), "step": self.step, "reason": reason}
            self.observer({**event, "lr_scale": self.lr_scale})

    def _remember(self, *, finished: bool = False) -> None:
        """Keep a copy of everything that decides how the training goes on."""
        if self.examples is not None:
            self.examples.join()
        self.snapshot = {
            "supernet": {name: tensor.clone() for name, tensor in self.supernet.network.state_dict().items()},
            "optimizer": deepcopy(self.optimizer.state_dict()),
            "average": None if self.average is None else [tensor.clone() for tensor in self.average.average],
            "sampler": None if self._learned is None else self._learned.state_dict(),
            "examples": None if self.examples is None else self.examples.state_dict(),
            "step": self.step,
            "phase_index": self.phase_index,
            "lr_scale": self.lr_scale,
            "rollbacks": self.rollbacks,
            "usual_loss": self.usual_loss,
            "seed": self.seed,
            "starts": self.starts,
            "finished": finished,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.phase_index = state["step"], state["phase_index"]
        self.lr_scale, self.rollbacks = state["lr_scale"], state["rollbacks"]
        self.usual_loss = state["usual_loss"]
        self.supernet.network.load_state_dict(state["supernet"])
        self._fresh_optimizer(state["optimizer"])
        self._fresh_average()
        if self.average is not None:
            torch._foreach_copy_(self.average.average, state["average"])
        if self._learned is not None:
            self._learned.load_state_dict(state["sampler"])
        if self.examples is not None:
            self.examples.load_state_dict(state["examples"])
        self.losses.zero_()

    def _save(self) -> None:
        self.last_save = time.monotonic()
        if self.folder is not None and self.processes.is_first:
            write_checkpoint(self.snapshot, self.folder / CHECKPOINT)
        self.processes.wait()

    def _load(self) -> bool:
        """Continue from the checkpoint; False where there is none."""
        there = self.folder is not None and (self.folder / CHECKPOINT).exists()
        # the first process decides for all: it may have begun, and saved, before another one looks
        if not self.processes.first_says(there) or self.folder is None:
            return False
        state = read_checkpoint(self.folder / CHECKPOINT, self.device)
        if state["starts"] != self.starts or state["seed"] != self.seed:
            raise ValueError(f"{self.folder / CHECKPOINT} is of a training with another schedule or seed")
        self.phase_index = state["phase_index"]
        sampled = [(state["sampler"], self._learned), (state["examples"], self.examples)]
        if any((there is None) != (here is None) for there, here in sampled):
            raise ValueError(f"{self.folder / CHECKPOINT} is of a training with another sampler or order of images")
        if self.phases[state["phase_index"]].distillation == "teacher":
            self.teacher = deepcopy(self.supernet)
            weights = read_checkpoint(self.folder / "teacher.pt", self.device)
            self.teacher.network.load_state_dict(weights)
            self.processes.join_batch_norm(self.teacher)
        self._restore(state)
        self.snapshot = state
        return True

    def _keep_teacher(self) -> None:
        self.teacher = deepcopy(self.supernet).requires_grad_(False)
        self.processes.join_batch_norm(self.teacher)
        if self.folder is not None and self.processes.is_first:
            write_checkpoint(self.supernet.network.state_dict(), self.folder / "teacher.pt")
