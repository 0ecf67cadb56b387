"""The batches that subnets of a job are calibrated and judged on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from torch import Tensor

from nas.data import Data
from nas.data.data import PicturedSplit
from supernets.tasks.task import Batch

_BATCH = 200
_CALIBRATION_SEED = 20_000  # a seed of its own, so that calibration never sees the examples in the order of training
_LOOKED_AT = 1000  # at most, while a supernet is trained


def undisturbed(batches: Iterable[Batch]) -> Iterable[Batch]:
    """Return the batches as they are: no measurement waits for a moment between two of them."""
    return batches


@dataclass(frozen=True)
class EvaluationBatches:
    """Batches of each split, the same at every call.

    Args:
        load: Returns the data; it is called when the first batch is asked for.
        inputs: Returns the inputs of networks for a batch, see `Task.inputs`.
        between: Yields the batches that it is given; other work may run between two of them.
        fit: Returns how many examples of so many bytes the memory of the device most likely allows at once: networks
            are judged on as many, and batches that calibrate them stay there. None for small batches, made anew.
    """

    load: Callable[[], Data]
    inputs: Callable[[Batch], tuple[Tensor, ...]]
    between: Callable[[Iterable[Batch]], Iterable[Batch]] = undisturbed
    fit: Callable[[int], int] | None = None
    _kept: dict[int, "_Kept"] = field(default_factory=dict, init=False, repr=False, compare=False)
    _fits: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def calibration(self, examples: int) -> Iterable[tuple[Tensor, ...]]:
        """Return inputs for batch norm from the training split, changed as in training."""
        return (self.inputs(batch) for batch in self.between(self._augmented(examples)))

    def _augmented(self, examples: int) -> Iterable[Batch]:
        """Return training batches for batch norm; on CUDA they are made once, and calibrate every candidate."""
        kept = self._kept.get(examples)
        if kept is not None and kept.is_unchanged:
            return kept.batches
        train = self.load().train
        size = min(_BATCH, examples, len(train))
        batches = islice(train.batches(size, epoch=0, seed=_CALIBRATION_SEED), max(1, examples // size))
        if self.fit is None or examples > self.judged_at_once("train"):
            return batches
        self._kept[examples] = kept = _Kept(list(batches))
        return kept.batches

    def judged_at_once(self, split: str) -> int:
        """Return how many examples of a split, `train`, `validation` or `test`, networks are judged on at once."""
        if self.fit is None:
            return _BATCH
        if split not in self._fits:
            first = next(iter(getattr(self.load(), split).sequential(1)))
            self._fits[split] = self.fit(sum(tensor.nbytes for tensor in first))
        return self._fits[split]

    def validation(self, fidelity: float = 1.0) -> Iterable[Batch]:
        """Return the validation split, or so large a share of it."""
        validation = self.load().validation
        if fidelity < 1:
            validation = validation.subset(max(1, round(fidelity * len(validation))), seed=0)
        return self.between(validation.sequential(self.judged_at_once("validation")))

    def looked_at(self) -> Iterable[Batch]:
        """Return the part of the validation split that a training is followed by."""
        validation = self.load().validation
        few = validation.subset(min(_LOOKED_AT, len(validation)), seed=0)
        return few.sequential(self.judged_at_once("validation"))

    def test(self) -> Iterable[Batch]:
        """Return the test split: for what is reported in the end, never for a choice."""
        return self.load().test.sequential(self.judged_at_once("test"))

    def sizes(self) -> dict[str, int]:
        """Return how many examples a member of the front is judged on."""
        data = self.load()
        return {"validation": len(data.validation), "test": len(data.test)}

    def fingerprint(self) -> str:
        """Return what changes with the examples and with their split."""
        return self.load().fingerprint

    def names(self) -> tuple[str, ...]:
        """Return what the data call the groups of their examples, such as classes; empty where they have none."""
        return tuple(str(name) for name in self.load().targets.get("classes", ()))

    def looked_up(self, index: int, side: int) -> tuple[str, bytes | None]:
        """Return what a test example is called, and a PNG file of it; None where examples cannot be looked at.

        Args:
            index: Its place in the split.
            side: Largest width and height of the picture in pixels.
        """
        data = self.load()
        listing = data.listings.get("test")
        name = f"{index}" if listing is None else listing.name(index)
        return name, data.test.picture(index, side) if isinstance(data.test, PicturedSplit) else None


class _Kept:
    """Batches that are used again, as long as no network has written into them.

    Args:
        batches: The batches.
    """

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self._versions = self._now()

    @property
    def is_unchanged(self) -> bool:
        """Whether they are as they were."""
        return self._versions == self._now()

    def _now(self) -> list[int]:
        return [tensor._version for batch in self.batches for tensor in batch]
