"""The phases of a training, each with its part of the space.

Paper: Once-for-All, arXiv 1908.09791, section 3.3 and appendix B (progressive shrinking).
Differs: `TrainConfig.epochs` shares out any number of epochs in the published proportions, and rates keep their
published ratio to the peak. 605 epochs, batch 2048 and a peak of 2.6 are the published schedule exactly; like it, none
of its phases clips gradients. A phase that adds nothing to the one before it (a decision with one or two choices) is
left out. The teacher is the largest network as the first phase of the same training left it; the released commands load
one from a file.
"""

from dataclasses import dataclass, replace
from typing import Literal

from search_spaces import Choice, Decision, Space
from search_spaces.errors import FieldError
from supernets.samplers.fixed import Fixed
from supernets.samplers.sampler import MakeSampler, Sampler
from supernets.samplers.uniform import Uniform
from supernets.training.config import TrainConfig
from supernets.training.schedule import Stretch

Distillation = Literal["none", "teacher", "in_place", "teacher_in_place", "progressive", "teacher_progressive"]


@dataclass(frozen=True, kw_only=True)
class Phase(Stretch):
    """A stretch of training with one sampler.

    Args:
        sampler: Draws the architectures of each step.
        distillation: `teacher`: from the network as it was when the first phase ended, beside the targets;
            `in_place`: from the first architecture of the step, instead of the targets; `progressive`: from the one
            before it, in the same way; `teacher_in_place` and `teacher_progressive`: the first one from the teacher
            beside the targets, the others so; or `none`. What the sampler asks for by default.
        adapts: Whether the one architecture that is trained keeps batch-norm statistics of its own, and units are
            ordered when the phase ends, see `supernets.training.adaptation`.
        sort: Whether hidden channels are sorted by importance before the phase.
        trained_widths: Width choices that were trained before and keep their channels in the sort.
        average_losses: Whether the losses of the subnets of a step are averaged instead of added up; what the
            sampler asks for by default.
        fresh_optimizer: Whether the phase begins without the momentum of the one before.
    """

    sampler: Sampler
    distillation: Distillation | None = None
    adapts: bool = False
    sort: bool = False
    trained_widths: tuple[Choice, ...] = ()
    average_losses: bool | None = None
    fresh_optimizer: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distillation is None:
            object.__setattr__(self, "distillation", self.sampler.distillation)
        if self.average_losses is None:
            object.__setattr__(self, "average_losses", self.sampler.average_losses)
        if self.sort and not self.fresh_optimizer:
            raise FieldError("fresh_optimizer", "must be true where channels are sorted: momentum belongs to channels")

    def taught(self) -> "Phase":
        """Return the phase with a teacher beside what it had."""
        assert self.distillation is not None
        return replace(self, distillation=_WITH_TEACHER[self.distillation])


_WITH_TEACHER: dict[Distillation, Distillation] = {
    "none": "teacher",
    "teacher": "teacher",
    "in_place": "teacher_in_place",
    "teacher_in_place": "teacher_in_place",
    "progressive": "teacher_progressive",
    "teacher_progressive": "teacher_progressive",
}


@dataclass(frozen=True)
class _Published:
    """One row of the published schedule; the number after a dimension says how many of its choices are open."""

    name: str
    open_choices: dict[str, int]
    subnets: int
    epochs: int
    lr: float
    warmup_epochs: int = 0


_ALL = 10**6
_PROGRESSIVE_SHRINKING = (
    _Published("full", {"kernel": 1, "depth": 1, "expand": 1}, 1, 180, 2.6),
    _Published("kernel", {"kernel": _ALL, "depth": 1, "expand": 1}, 1, 125, 0.96, 5),
    _Published("depth 1", {"kernel": _ALL, "depth": 2, "expand": 1}, 2, 25, 0.08),
    _Published("depth 2", {"kernel": _ALL, "depth": _ALL, "expand": 1}, 2, 125, 0.24, 5),
    _Published("width 1", {"kernel": _ALL, "depth": _ALL, "expand": 2}, 4, 25, 0.08),
    _Published("width 2", {"kernel": _ALL, "depth": _ALL, "expand": _ALL}, 4, 125, 0.24, 5),
)


def phases(space: Space, config: TrainConfig, make_sampler: MakeSampler | None = None) -> list[Phase]:
    """Return the phases that a training configuration asks for.

    Args:
        space: The space whose supernet is trained.
        config: How it is trained.
        make_sampler: Makes the samplers; by default one of the library, by its name in the configuration.

    Raises:
        ValueError: There is no such sampler, it refuses its options, or the schedule needs other decisions.
    """
    if make_sampler is None:
        from supernets.samplers.by_name import named  # imports the samplers that learn, and torch with them

        make_sampler = named(config.sampler, config.sampler_options)
    made = _phases(space, config, make_sampler)
    return [replace(phase, lr_schedule=config.lr_schedule) for phase in made]


def _phases(space: Space, config: TrainConfig, make_sampler: MakeSampler) -> list[Phase]:
    """Return the phases, each with a cosine."""
    if config.schedule == "progressive_shrinking":
        if not make_sampler(space, None).draws_from_parts:
            allowed = "one that draws from parts of a space, such as uniform or path_adaptive"
            raise FieldError("sampler", f"must be {allowed}, for progressive shrinking, got {config.sampler!r}")
        made = progressive_shrinking(space, epochs=config.epochs, lr=config.lr, make_sampler=make_sampler)
        return [replace(phase, lr_end=phase.lr * config.lr_end / config.lr) for phase in made]
    tickets = config.tickets is not None
    sampler = Fixed(architecture=space.largest()) if tickets else make_sampler(space, config.subnets_per_step)
    if config.schedule == "adapted":
        return adapted(space, config, sampler)
    return [
        Phase(
            name="tickets" if tickets else _named(config),
            sampler=sampler,
            epochs=config.epochs,
            lr=config.lr,
            lr_end=config.lr_end,
            warmup_fraction=config.warmup_fraction,
        )
    ]


def _named(config: TrainConfig) -> str:
    """Return the name of the one phase of a training of all architectures."""
    return config.sampler.rpartition(":")[2] if config.relaxation is None else config.relaxation.method


def adapted(space: Space, config: TrainConfig, sampler: Sampler) -> list[Phase]:
    """Return the phases for a network that comes with weights: the largest alone, then what a sampler draws.

    The first phase leaves the teacher of the second. Where it has all epochs, there is no second one.
    """
    lr, share, warmup = config.adapt.lr or config.lr, config.adapt.share, config.warmup_fraction
    first = Phase(
        name="adapt",
        sampler=Fixed(architecture=space.largest()),
        epochs=config.epochs * share,
        lr=lr,
        lr_end=min(config.lr_end, lr),
        warmup_fraction=warmup,
        adapts=True,
    )
    if share == 1:
        return [first]
    second = Phase(
        name=config.sampler.rpartition(":")[2],
        sampler=sampler,
        epochs=config.epochs * (1 - share),
        lr=config.lr,
        lr_end=config.lr_end,
        warmup_fraction=warmup,
    )
    return [first, second.taught()]


def _uniform(space: Space, subnets: int | None) -> Sampler:
    return Uniform(space=space, subnets=subnets or 1)


def progressive_shrinking(
    space: Space, *, epochs: float = 605, lr: float = 2.6, make_sampler: MakeSampler = _uniform
) -> list[Phase]:
    """Return teacher, kernel, depth and width phases, for spaces with ``*.kernel``, ``*.depth``,
    ``*.expand`` decisions.

    Every phase has a sampler of its own over the part of the space that is open; published is the uniform one.

    Raises:
        ValueError: The space has none of these decisions.
    """
    if not any(_dimension(decision) for decision in space.decisions):
        needs = "progressive_shrinking needs *.kernel, *.depth or *.expand decisions"
        raise FieldError("schedule", f"must be whole, since {needs}; {space.name} has none")
    kept: list[tuple[_Published, Space]] = []
    for row in _PROGRESSIVE_SHRINKING:
        opened = _restricted(space, row.open_choices)
        if kept and opened.decisions == kept[-1][1].decisions:
            if kept[-1][0].name[:-1] == row.name[:-1]:  # "depth 1" opened everything: train the longer "depth 2"
                kept[-1] = (row, opened)
            continue
        kept.append((row, opened))
    scale = epochs / sum(row.epochs for row, _ in kept)
    result: list[Phase] = []
    trained: tuple[Choice, ...] = ()
    for row, opened in kept:
        width = row.name.startswith("width")
        result.append(
            Phase(
                name=row.name,
                sampler=make_sampler(opened, row.subnets),
                epochs=row.epochs * scale,
                lr=lr * row.lr / _PROGRESSIVE_SHRINKING[0].lr,
                warmup_fraction=row.warmup_epochs / row.epochs,
                distillation=None if row.name == "full" else "teacher",
                sort=width,
                trained_widths=trained,
            )
        )
        if width:
            trained = tuple({c for d in opened.decisions if _dimension(d) == "expand" for c in d.choices})
    return result


def _dimension(decision: Decision) -> str | None:
    ending = decision.name.rpartition(".")[2]
    return ending if ending in ("kernel", "depth", "expand") else None


def _restricted(space: Space, open_choices: dict[str, int]) -> Space:
    """Return the space with the largest choices of every elastic dimension, in the number that is open."""
    return space.restrict(
        {
            decision.name: decision.choices[-min(open_choices[dimension], len(decision.choices)) :]
            for decision in space.decisions
            if (dimension := _dimension(decision)) is not None
        }
    )
