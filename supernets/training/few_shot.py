"""Training of a supernet that is split on the way: stages of training, and a split of every part between them.

Paper: GM-NAS, arXiv 2203.15207; with every choice in a group of its own, Few-shot NAS, arXiv 2006.06863.
Differs: stages are shares of a budget of forward and backward passes. Scoring the splits counts in it, so a training
    with splits costs as much as one without. Weights that restart are those that the training began with, the same for
    all parts. Parts that inherit go on with momentum and with a cosine over the whole budget. The released code of
    Few-shot NAS trains them as long as the whole, with a fresh cosine and momentum; that of GM-NAS goes on with the
    cosine of one path. A schedule of several phases, such as progressive shrinking, runs anew in every stage, with
    cosines of its own.
"""

import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import nn

from search_spaces import Space
from supernets.device import computing
from supernets.streams import FIRST_SCORING, SCORING, STAGE
from supernets.supernet import Supernet
from supernets.tasks.task import Batch, Task
from supernets.training.checkpoint import CHECKPOINT, finished_training, read_checkpoint, write_checkpoint
from supernets.training.config import TrainConfig
from supernets.training.distributed import Processes
from supernets.training.examples import TrainingData
from supernets.training.few_shot_budget import Budget, MakePhases, passes, passes_per_epoch, scoring_passes
from supernets.training.loop import Observer
from supernets.training.phases import Phase
from supernets.training.schedule import lengths
from supernets.training.split_config import SplitConfig
from supernets.training.supernet_training import default_task, train
from supernets.transforms.gradient_matching import Cut, best_cut, cut_of, distances, eligible
from supernets.transforms.split import WHOLE, Part, Partition, described, divided, leaves, spaces
from supernets.whole_file import InvalidFile, written_whole


def train_few_shot(
    supernet: Supernet,
    make_phases: MakePhases,
    data: TrainingData,
    config: TrainConfig,
    split: SplitConfig,
    *,
    task: Task | None = None,
    seed: int = 0,
    folder: Path | None = None,
    observer: Observer = lambda event: None,
    validate: Callable[[Supernet], dict[str, float]] | None = None,
    processes: Processes | None = None,
) -> Partition:
    """Train a supernet in stages with a split of every part between them; with a folder, go on from what is there.

    Args:
        supernet: The whole, with fresh weights; its weights are those of the first stage afterwards.
        make_phases: What to train in a part of the space, for so many epochs; makes a sampler of its own at each call.
        data: The training split.
        config: Optimizer and guard settings; its epochs count the passes over the data in all parts together.
        split: When and how to split.
        task: As in `train`.
        seed: Seed of everything random.
        folder: Folder for checkpoints and splits, one folder below it for each part; a temporary one without it.
        observer: Receives the events of `train` with `leaf` and `leaves`, steps counted over the whole, and ``split``.
        validate: As in `train`; it is given the supernet of a part.
        processes: This process and its siblings; alone by default. With siblings there must be a folder.

    Raises:
        ValueError: The budget or the decisions do not allow these splits, or the folder is of another training.
        RuntimeError: The loss diverged more than `config.max_rollbacks` times.
    """
    processes = processes or Processes()
    if folder is None and processes.world_size > 1:
        raise ValueError("folder must be given where several processes split a supernet together")
    with TemporaryDirectory() as temporary:
        training = _FewShot(
            supernet=supernet,
            make_phases=make_phases,
            data=data,
            task=default_task(config) if task is None else task,
            config=config,
            split=split,
            seed=seed,
            folder=folder or Path(temporary),
            observer=observer,
            validate=validate,
            processes=processes,
        )
        return training.run()


@dataclass(kw_only=True, eq=False)
class _FewShot:
    """One training: the tree so far, and the passes spent."""

    supernet: Supernet
    make_phases: MakePhases
    data: TrainingData
    task: Task
    config: TrainConfig
    split: SplitConfig
    seed: int
    folder: Path
    observer: Observer
    validate: Callable[[Supernet], dict[str, float]] | None
    processes: Processes

    def __post_init__(self) -> None:
        self.space = self.supernet.space
        self.device = next(self.supernet.parameters()).device
        self.epoch_steps = self.data.steps(self.config.batch_size)
        whole = self.make_phases(self.space, self.config.epochs)
        self.budget = Budget.of(self.space, whole, self.epoch_steps, self.split)
        self.parts: tuple[Part, ...] = WHOLE
        self.trained = self.scored = 0

    def run(self) -> Partition:
        fresh = self._fresh_weights()
        self._tell_lengths()
        networks: list[nn.Module] = []
        for stage in range(self.split.rounds + 1):
            numbers = leaves(self.parts)
            for position, number in enumerate(numbers):
                leaf = self._leaf(stage, number, fresh)
                until = self.budget.training_until(stage, self.scored)
                share = (until - self.trained) / (len(numbers) - position)
                self._train(leaf, _Turn(stage, number, position, len(numbers)), share)
                if stage == self.split.rounds:
                    networks.append(leaf.network)
                else:
                    self._split(leaf, number)
        return Partition(self.space, self.parts, networks)

    # ---- training one part ----------------------------------------------------------------------------------------

    def _fresh_weights(self) -> dict[str, Any]:
        """Return the weights that the training began with, in this or an earlier run."""
        path = self.folder / "fresh.pt"
        if self.processes.is_first and not path.exists():
            write_checkpoint(self.supernet.network.state_dict(), path)
        self.processes.wait()
        weights = read_checkpoint(path, self.device)
        self.supernet.network.load_state_dict(weights)
        return weights

    def _leaf(self, stage: int, number: int, fresh: dict[str, Any]) -> Supernet:
        """Return the supernet of a part with the weights it begins with."""
        parent = self.parts[number].parent
        if parent is None:
            return self.supernet
        network = deepcopy(self.supernet.network)
        if self._restarts(stage):
            network.load_state_dict(fresh)
        else:
            network.load_state_dict(finished_training(self._place(parent), self.device)["state"]["supernet"])
        return Supernet(spaces(self.space, self.parts)[number], network)

    def _train(self, leaf: Supernet, turn: "_Turn", share: float) -> None:
        """Spend about `share` passes on a part."""
        phases = self._phases(leaf.space, turn.stage, share)
        parent = self.parts[turn.number].parent
        goes_on = parent is not None and not self._restarts(turn.stage)
        before = finished_training(self._place(parent), self.device) if parent is not None and goes_on else None
        train(
            leaf,
            phases,
            self.data,
            self.config,
            task=self.task,
            seed=self._seed(turn.stage),
            folder=self._place(turn.number),
            observer=self._told_of(turn, phases),
            validate=self.validate,
            processes=self.processes,
            optimizer_state=before["state"]["optimizer"] if before is not None and len(phases) == 1 else None,
            first_loss=None if before is None else before["first_loss"],
        )
        self.trained += passes(phases, self.epoch_steps)

    def _phases(self, space: Space, stage: int, share: float) -> list[Phase]:
        made = self.make_phases(space, share / passes_per_epoch(self.make_phases, space, self.epoch_steps))
        if len(made) > 1:
            return made
        begin, end = self.budget.progress[stage : stage + 2]
        if self._restarts(stage):
            begin, end = 0.0, 1.0 if self.split.restart_anneals else end - begin
        return [replace(made[0], lr_from=begin, lr_to=end)]

    def _restarts(self, stage: int) -> bool:
        return self.split.restart and stage == self.split.rounds

    def _place(self, number: int) -> Path:
        return self.folder / f"part{number}"

    def _seed(self, stage: int) -> int:
        """Return the seed of a stage, the same for all of its parts; the first has that of the training."""
        return STAGE.seed(self.seed, stage) if stage else self.seed

    def _told_of(self, turn: "_Turn", phases: list[Phase]) -> Observer:
        """Return the observer of the training of one part, whose steps become those of the whole."""
        before, spending = self.trained + self.scored, passes(phases, self.epoch_steps)
        steps = sum(lengths(phases, self.epoch_steps))

        def observe(event: dict[str, Any]) -> None:
            done = before + spending * event["step"] / steps
            step = round(self.budget.steps * done / self.budget.total)
            changed: dict[str, Any] = {"step": step, "part": turn.number, "leaf": turn.leaf, "leaves": turn.leaves}
            if "steps" in event:
                changed["steps"] = self.budget.steps
            if "epoch" in event:
                changed["epoch"] = round(step / self.epoch_steps, 3)
            self.observer({**event, **changed})

        return observe

    def _tell_lengths(self) -> None:
        """Tell how long each stage trains, once."""
        if not self.processes.is_first or (self._place(0) / CHECKPOINT).exists():
            return
        stages = [asdict(stage) for stage in self.budget.stages]
        known = {"stages": stages, "repeats": self.budget.repeats, "scoring": self.budget.reserved}
        self.observer({"event": "split_plan", "time": time.time(), "step": 0, "passes": self.budget.total, **known})

    # ---- splitting one part ---------------------------------------------------------------------------------------

    def _split(self, leaf: Supernet, number: int) -> None:
        """Split a part that is trained, as it was split before or as its gradients say now."""
        path = self._place(number) / "split.json"
        settings = json.loads(json.dumps({**asdict(self.split), "seed": self.seed}))
        if not self.processes.first_says(path.exists()):
            if self.processes.is_first:
                cut, spent = self._scored(leaf, number)
                self._tell(cut, number)
                content = {"settings": settings, "passes": spent, **cut.to_json()}
                with written_whole(path) as file:
                    file.write(json.dumps(content).encode())
            self.processes.wait()
        content = _read_json(path)
        if content["settings"] != settings:
            raise InvalidFile(f"{path} is of a training with another seed or other settings of the split")
        self.scored += content["passes"]
        self.parts = divided(self.parts, number, content["decision"], content["groups"])

    def _scored(self, leaf: Supernet, number: int) -> tuple[Cut, int]:
        """Return the best split of a part, and the passes it took to find."""
        decisions = eligible(self.space, leaf.space, self.split.decisions, self.split.groups)
        spent = self.budget.repeats * scoring_passes(decisions, self.split)
        if not spent:
            return Cut(decisions[0].name, tuple((choice,) for choice in decisions[0].choices)), 0
        Processes().join_batch_norm(leaf)  # the other processes wait
        seed = SCORING.seed(self.seed, FIRST_SCORING + number)
        generator, batches = np.random.default_rng(seed), self._batches(seed)
        cuts = []
        for decision in decisions:
            with computing(self.device, kernels=self.config.own_kernels):
                matrix = distances(
                    leaf,
                    decision.name,
                    batches,
                    task=self.task,
                    repeats=self.budget.repeats,
                    generator=generator,
                    others=self.split.others,
                    distance=self.split.distance,
                )
            cuts.append(cut_of(decision, matrix, self.split.groups))
        return best_cut(cuts, self.split.choose), spent

    def _batches(self, seed: int) -> Iterator[Batch]:
        """Yield random training batches without end, in an order of their own."""
        for epoch in count():
            yield from self.data.batches(self.config.batch_size, epoch=epoch, seed=seed, start=0, rank=0, world_size=1)

    def _tell(self, cut: Cut, number: int) -> None:
        done = self.trained + self.scored
        tree = described(self.space, divided(self.parts, number, cut.decision, cut.groups))
        said = cut.to_json()
        del said["distances"], said["within"]
        step = round(self.budget.steps * done / self.budget.total)
        self.observer({"event": "split", "time": time.time(), "step": step, "part": number, **said, "tree": tree})


@dataclass(frozen=True)
class _Turn:
    """The part of the tree whose turn it is: leaf number `leaf` of `leaves` in its stage."""

    stage: int
    number: int
    leaf: int
    leaves: int


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(content, dict) or {"settings", "passes", "decision", "groups"} - content.keys():
            raise ValueError("it does not say how to split")
    except ValueError as error:
        raise InvalidFile(f"{path} can't be read as a split ({error}); delete it to split again") from error
    return content
