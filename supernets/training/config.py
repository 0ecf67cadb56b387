"""The settings of the training of a supernet, as one validated value."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from search_spaces.errors import FieldError
from search_spaces.limits import check_fields, check_most
from supernets.training.adapt_config import AdaptConfig
from supernets.training.mixture_config import MixtureConfig
from supernets.training.relaxation_config import RelaxationConfig
from supernets.training.schedule import LR_SCHEDULES, LrSchedule
from supernets.training.split_config import SplitConfig
from supernets.training.ticket_config import TicketConfig
from supernets.training.weight_shape import WeightShapeConfig

Schedule = Literal["whole", "progressive_shrinking", "adapted"]
_SCHEDULES = ("whole", "progressive_shrinking", "adapted")
Capture = Literal["auto", "on", "off"]
_CAPTURE = ("auto", "on", "off")
_ADAPT_NEEDS = "left out unless schedule is adapted"
_TEACHER_NEEDS = "the name of a network, or null; null where the supernet is split"
_CHECKPOINT_NEEDS = "null unless teacher is a model of timm"
_EXAMPLES = ("uniform", "balanced", "importance")
_CLIP_NORM = 5.0
_WEIGHTS_NEED = "false unless examples is importance"

_MOST = {"epochs": 10.0**6, "batch_size": 10**6, "lr": 1e9, "weight_decay": 1e6, "clip_norm": 1e12, "kd_weight": 1e6}
_MOST |= {"feature_weight": 1e6}
_MOST |= {"capture_gb": 1e6, "lr_end": 1e9, "subnets_per_step": 1000, "max_rollbacks": 1000, "checkpoint_every_s": 1e9}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one supernet training.

    Args:
        schedule: Order in which parts of the space are trained: the `whole` from beginning to end;
            `progressive_shrinking`, the Once-for-All schedule; or `adapted`, for networks that come with weights: first
            the largest network alone, which then teaches the others, see `adapt`.
        adapt: Settings of the schedule `adapted`.
        sampler: Sampler of the subnets of a step, by its listed name or as `package.module:Class`. `uniform` trains
            random subnets; `sandwich` the largest, the smallest and random ones, the others distilled from the largest;
            `fair` every choice once; `path_adaptive` is the path half of PA&DA. With progressive shrinking it draws
            from the part of the space that is open: `uniform` (as published), `path_adaptive` or one of your own.
        sampler_options: Other arguments of the sampler.
        examples: Order of the training examples: `uniform`, every example once an epoch; `balanced`, every class
            equally often, so that the examples of small classes are repeated; or `importance`, the data half of PA&DA:
            drawn with replacement, in proportion to the error of the prediction.
        example_weights: Whether examples drawn by importance have weights that make the gradient unbiased.
        split: How the supernet is split into parts during training (few-shot training, gradient matching); `null` for
            no split.
        relaxation: How the architecture is learned with the weights (DARTS, GDAS, DrNAS, on entangled weights
            TangleNAS): all choices run as a mixture, and no sampler draws; `null` for sampled subnets.
        mixture: How several supernets are trained, each for the architectures that suit it best, in spaces that are
            small enough to be listed; `null` for one supernet. `supernet.mixture` is another method: one supernet whose
            layers are blended of experts.
        tickets: How the largest network is trained alone, and loses channels, paths and single weights meanwhile
            (SuperTickets), in spaces with layers for that, such as `hr_multibranch`; `null` to remove nothing.
        epochs: Passes over the training data in all, shared out among the phases of the schedule, and among all
            parts of a supernet that is split. This one knob scales a schedule; the published progressive shrinking is
            605.
        batch_size: Examples of one step, over all processes together; of text it is the mean, as batches have about as
            many tokens.
        accumulate: Parts in which a batch is computed, one after the other, for batches that do not fit into memory;
            the update is that of the whole batch. Batch norms see the parts.
        lr: Peak learning rate. A phase of progressive shrinking uses its published fraction of it.
        lr_schedule: Curve of the rate behind the warm-up: `cosine`, or `inverse_sqrt`, the peak times sqrt(W / step)
            for a warm-up of W steps, as transformers are trained.
        lr_end: Rate at which the cosine ends, and below which the inverse square root does not fall; a phase of
            progressive shrinking ends at its fraction of it.
        optimizer: `sgd`, `adamw`, or `adam`, whose weight decay is part of the gradient, as for graph networks.
        momentum: Momentum of SGD, and of Adam (its first beta).
        beta2: Decay of the mean square of gradients in Adam; transformers are trained with 0.98.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: Weight decay of the weights that `decayed` names.
        decayed: `weights` of convolutions and linear layers, or `all` parameters, those of norms and biases too.
        warmup_fraction: Part of each phase in which the rate rises linearly, before the curve.
        label_smoothing: Label smoothing of the cross entropy, where the task has classes or tokens.
        clip_norm: Largest norm of the gradient; `null` for no clipping. `auto` is 5, and `null` where the schedule is
            progressive shrinking, which is published without clipping.
        ema_decay: Decay of an exponential moving average of the weights that replaces them at the end of each
            phase; `null` for none.
        subnets_per_step: Architectures that a step trains; `null` for the sampler's own number, which is 4 for
            `sandwich` and `sorted`, else 1. `fair` and progressive shrinking always have their own.
        kd_weight: Weight of the distillation loss.
        feature_weight: Weight of the loss by which parts of networks learn what the parts give that they stand for, in
            spaces that have such parts, as `split`; it is relative to the size of what they give. 0 for none.
        weight_shape: How much the loss prefers weights with a flat and even distribution, which lose less where they
            are rounded to few bits (EQ-Net); `null` for no preference.
        teacher: A trained network that teaches beside the targets: a model of timm, such as `resnet50.a1_in1k`, with
            the classes of the data; the folder of a finished job, for its best network; a file of weights in such a
            folder; or `package.module:function` that returns a network. `null` for none; a `schedule` may make its own.
        teacher_checkpoint: File with the weights of a model of timm that teaches; `null` for those that timm fetches.
        bf16: Whether CUDA computes in bfloat16 autocast.
        own_kernels: Whether CUDA computes depthwise and 1x1 convolutions of elastic layers, and of networks that are
            calibrated and judged, in ways that need no compilation for new shapes; else by cuDNN. Latency is always
            that of plain layers.
        capture: Whether CUDA records the passes of operations and blocks as graphs, once for each of their settings,
            and replays them, so that small networks do not wait for the launches of kernels: `auto` where a short trial
            in the first steps shows that it saves time, `on` or `off`.
        capture_gb: Most memory of recorded passes in GiB; half of what is free on the device at the start where that
            is less.
        max_rollbacks: How often a diverging run is rolled back with half the rate before it is given up.
        checkpoint_every_s: Seconds between checkpoints.
    """

    schedule: Schedule = "whole"
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    sampler: str = "uniform"
    sampler_options: dict[str, Any] = field(default_factory=dict)
    examples: Literal["uniform", "balanced", "importance"] = "uniform"
    example_weights: bool = False
    split: SplitConfig | None = None
    relaxation: RelaxationConfig | None = None
    mixture: MixtureConfig | None = None
    tickets: TicketConfig | None = None
    epochs: float = 10.0
    batch_size: int = 128
    accumulate: int = 1
    lr: float = 0.1
    lr_schedule: LrSchedule = "cosine"
    lr_end: float = 0.0
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    momentum: float = 0.9
    beta2: float = 0.999
    nesterov: bool = True
    weight_decay: float = 3e-5
    decayed: Literal["weights", "all"] = "weights"
    warmup_fraction: float = 0.04
    label_smoothing: float = 0.1
    clip_norm: float | Literal["auto"] | None = "auto"
    ema_decay: float | None = None
    subnets_per_step: int | None = None
    kd_weight: float = 1.0
    feature_weight: float = 0.0
    weight_shape: WeightShapeConfig | None = None
    teacher: str | None = None
    teacher_checkpoint: str | None = None
    bf16: bool = True
    own_kernels: bool = True
    capture: Capture = "auto"
    capture_gb: float = 8.0
    max_rollbacks: int = 5
    checkpoint_every_s: float = 30.0

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits: list[tuple[str, bool, str]] = [
            ("schedule", self.schedule in _SCHEDULES, "whole, progressive_shrinking or adapted"),
            ("adapt", self.schedule == "adapted" or self.adapt == AdaptConfig(), _ADAPT_NEEDS),
            ("split", self.schedule != "adapted" or self.split is None, "null where the schedule is adapted"),
            ("sampler", bool(self.sampler), "the name of a sampler"),
            ("examples", self.examples in _EXAMPLES, "uniform, balanced or importance"),
            ("example_weights", self.examples == "importance" or not self.example_weights, _WEIGHTS_NEED),
            ("epochs", self.epochs > 0, "more than 0"),
            ("batch_size", self.batch_size >= 2, "at least 2 (batch norm needs two examples)"),
            ("accumulate", 1 <= self.accumulate <= self.batch_size // 2, f"from 1 to {self.batch_size // 2}"),
            ("lr", self.lr > 0, "more than 0"),
            ("lr_schedule", self.lr_schedule in LR_SCHEDULES, "cosine or inverse_sqrt"),
            ("lr_end", 0 <= self.lr_end <= self.lr, f"from 0 to lr, {self.lr}"),
            ("momentum", 0 <= self.momentum < 1, "from 0 to below 1"),
            ("beta2", 0 < self.beta2 < 1, "between 0 and 1"),
            ("decayed", self.decayed in ("weights", "all"), "weights or all"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("warmup_fraction", 0 <= self.warmup_fraction < 1, "from 0 to below 1"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "from 0 to below 1"),
            ("clip_norm", self.clip_norm in ("auto", None) or _positive(self.clip_norm), "more than 0, auto or null"),
            ("ema_decay", self.ema_decay is None or 0 < self.ema_decay < 1, "between 0 and 1, or null"),
            ("subnets_per_step", self.subnets_per_step is None or self.subnets_per_step >= 1, "at least 1, or null"),
            ("kd_weight", self.kd_weight >= 0, "0 or more"),
            ("feature_weight", self.feature_weight >= 0, "0 or more"),
            ("teacher", self.teacher is None or (bool(self.teacher) and self.split is None), _TEACHER_NEEDS),
            ("teacher_checkpoint", self.teacher_checkpoint is None or self.teacher is not None, _CHECKPOINT_NEEDS),
            ("capture", self.capture in _CAPTURE, "auto, on or off"),
            ("capture_gb", self.capture_gb > 0, "more than 0"),
            ("max_rollbacks", self.max_rollbacks >= 0, "0 or more"),
            ("checkpoint_every_s", self.checkpoint_every_s >= 0, "0 or more"),
        ]
        check_fields(self, limits)
        self._check_kinds()

    def _check_kinds(self) -> None:
        """Refuse settings that have no meaning for the kind of the training."""
        if self.relaxation is not None:
            self._check_alone("relaxation", sampler="uniform", subnets_per_step=None, mixture=None, teacher=None)
            self._check_halves("relaxation", self.relaxation.share)
        if self.mixture is not None:
            self._check_alone("mixture", subnets_per_step=None)
            self._check_halves("mixture", self.mixture.share)
        if self.tickets is not None:
            self._check_alone("tickets", sampler="uniform", subnets_per_step=None, relaxation=None, mixture=None)
            try:
                self.tickets.check_epochs(self.epochs)
            except FieldError as error:
                raise FieldError(f"tickets.{error.field}", error.text) from error

    def _check_alone(self, kind: str, **more: object) -> None:
        """Refuse settings that have no meaning beside a relaxation, a mixture or tickets."""
        plain = {"schedule": "whole", **more, "examples": "uniform", "split": None, "accumulate": 1}
        plain |= {"feature_weight": 0.0, "weight_shape": None}
        for name, only in plain.items():
            if (value := getattr(self, name)) != only:
                shown = "null" if only is None else only
                sections = ("split", "mixture", "relaxation", "weight_shape")
                got = f"a {name}" if name in sections else repr(value)
                raise FieldError(name, f"must be {shown} (the default) with train.{kind}, got {got}")

    def _check_halves(self, kind: str, share: float) -> None:
        """Refuse a batch that cannot be divided into examples for the weights and others."""
        if can_be_divided(self.batch_size, share):
            return
        too_few = int(1.4 / min(share, 1 - share))  # the second part, or the first, has one example
        least = next(size for size in count(max(4, too_few)) if can_be_divided(size, share))
        why = f"so that train.{kind} has two examples for the weights and two others"
        raise FieldError("batch_size", f"must be at least {least} with share {share:g}, {why}, got {self.batch_size}")

    @property
    def largest_norm(self) -> float | None:
        """The norm that gradients are clipped to; None for no clipping."""
        if self.clip_norm == "auto":
            return None if self.schedule == "progressive_shrinking" else _CLIP_NORM
        return self.clip_norm


def second_part(size: int, share: float) -> int:
    """Return how many of so many examples belong to the second part, which has this share."""
    return max(1, round(size * share))


def can_be_divided(size: int, share: float) -> bool:
    """Return whether a batch has two examples, which batch norm needs, for each of both parts."""
    second = second_part(size, share)
    return min(second, size - second) >= 2


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and value > 0
