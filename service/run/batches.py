"""The batches that subnets of a job are calibrated and judged on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
    """

    load: Callable[[], Data]
    inputs: Callable[[Batch], tuple[Tensor, ...]]
    between: Callable[[Iterable[Batch]], Iterable[Batch]] = undisturbed

    def calibration(self, examples: int) -> Iterable[tuple[Tensor, ...]]:
        """Return inputs for batch norm from the training split, changed as in training."""
        train = self.load().train
        size = min(_BATCH, examples, len(train))
        batches = islice(train.batches(size, epoch=0, seed=_CALIBRATION_SEED), max(1, examples // size))
        return (self.inputs(batch) for batch in self.between(batches))

    def validation(self, fidelity: float = 1.0) -> Iterable[Batch]:
        """Return the validation split, or so large a share of it."""
        validation = self.load().validation
        if fidelity < 1:
            validation = validation.subset(max(1, round(fidelity * len(validation))), seed=0)
        return self.between(validation.sequential(_BATCH))

    def looked_at(self) -> Iterable[Batch]:
        """Return the part of the validation split that a training is followed by."""
        validation = self.load().validation
        return validation.subset(min(_LOOKED_AT, len(validation)), seed=0).sequential(_BATCH)

    def test(self) -> Iterable[Batch]:
        """Return the test split: for what is reported in the end, never for a choice."""
        return self.load().test.sequential(_BATCH)

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
