"""The provenance of published accuracies, so that values of different kinds are never mixed."""

from dataclasses import dataclass, field, fields
from typing import Literal

Split = Literal["validation", "test"]
_UNITS = {"%": 1.0, "fraction": 100.0}


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The way in which the accuracies of a column were obtained; two columns are comparable where it is equal.

    Args:
        dataset: Name of the data, such as `cifar10`.
        epochs: Epochs of the training that the accuracy is from.
        split: `validation` or `test`.
        seeds: Fewest and most trainings that one value is the mean of.
        selection: Epoch that counts: `last epoch`, or another rule of the authors.
        unit: As written in the table, `%` or `fraction`; values are read as percent.
    """

    dataset: str
    epochs: int
    split: Split
    seeds: tuple[int, int]
    selection: str = "last epoch"
    unit: str = field(default="%", compare=False)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"provenance: epochs must be at least 1, got {self.epochs}")
        if self.split not in ("validation", "test"):
            raise ValueError(f"provenance: split must be validation or test, got {self.split!r}")
        if len(self.seeds) != 2 or not 1 <= self.seeds[0] <= self.seeds[1]:
            raise ValueError(f"provenance: seeds must be the fewest and the most, such as (1, 3), got {self.seeds}")
        if self.unit not in _UNITS:
            raise ValueError(f"provenance: unit must be one of {', '.join(_UNITS)}, got {self.unit!r}")

    @property
    def percent(self) -> float:
        """What a value of the table is multiplied by to be in percent."""
        return _UNITS[self.unit]

    def __str__(self) -> str:
        fewest, most = self.seeds
        mean = "one seed" if most == 1 else f"mean of {most if fewest == most else f'{fewest} to {most}'} seeds"
        return f"{self.dataset} {self.split}, {self.epochs} epochs, {mean}, {self.selection}"


def require_same(first: Provenance, second: Provenance) -> None:
    """Refuse to put values together that were obtained differently.

    Raises:
        ValueError: They differ; the message says how.
    """
    differ = [f.name for f in fields(Provenance) if f.compare and getattr(first, f.name) != getattr(second, f.name)]
    if differ:
        raise ValueError(
            f"these accuracies are not comparable, they differ in {', '.join(differ)}: {first} against {second}"
        )


def _nasbench201(epochs: int, split: Split, seeds: tuple[int, int]) -> Provenance:
    return Provenance(dataset="cifar10", epochs=epochs, split=split, seeds=seeds)


def _macro(seeds: int) -> Provenance:
    return Provenance(
        dataset="cifar10", epochs=50, split="test", seeds=(seeds, seeds), selection="maximum over epochs of each seed"
    )


PUBLISHED = {
    ("nasbench201", "c10_test_200"): _nasbench201(200, "test", (1, 3)),
    ("nasbench201", "c10_val_12"): _nasbench201(12, "validation", (1, 1)),
    ("nasbench201", "c10_test_12"): _nasbench201(12, "test", (1, 1)),
    ("nasbench201", "val_accuracy"): _nasbench201(200, "validation", (1, 3)),
    ("nasbench101", "test_acc_108"): Provenance(
        dataset="cifar10", epochs=108, split="test", seeds=(3, 3), unit="fraction"
    ),
    ("nasbench_macro", "mean_acc"): _macro(3),
    **{("nasbench_macro", f"test_acc_{seed}"): _macro(1) for seed in (1, 2, 3)},
}
"""(space, column) -> provenance, for the columns of the tables of published spaces."""

SEED_COLUMNS = {("nasbench_macro", "mean_acc"): ("test_acc_1", "test_acc_2", "test_acc_3")}
"""(space, column) -> the columns that it is the mean of, one for each seed."""
