"""A report on data before anything is trained on them: a few lines, and warnings.

Exact duplicates are found by content; the same picture in another file, size or compression is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nas.data.data import Data
from nas.data.duplicates import Duplicates, Listing, duplicates
from supernets.tasks.task import Resolution, Task

_ALL_CLASSES_SHOWN = 12
_IMBALANCED = 3.0
_AGAINST_IMBALANCE = (
    "task.options.metric=balanced_accuracy",
    "task.options.class_weights=balanced",
    "train.examples=balanced",
)
_FEW_TRAINING = 20  # of a class
_FEW_JUDGED = 10  # of a class: one example is 10 points of its accuracy
_FEW_BATCHES, _GOOD_BATCHES = 4, 8  # of an epoch


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The data of a report.

    Args:
        name: Name of the data.
        examples: What one example is called, in the plural.
        sizes: Number of examples of each split.
        classes: Names, in the order of their labels; none where there are no classes.
        listings: The examples of each split; none where they cannot be told apart.
        about: Title -> what the examples are like or how they are prepared.
        remarks: Sentences on how the data were read.
        fingerprint: See `nas.data.Data`.
    """

    name: str
    examples: str
    sizes: Mapping[str, int]
    classes: Sequence[str] = ()
    listings: Mapping[str, Listing] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    fingerprint: str = ""

    @property
    def counts(self) -> dict[str, np.ndarray]:
        """Split -> number of examples of each class; nothing where there are no classes."""
        return {
            name: np.bincount(one.labels, minlength=len(self.classes))
            for name, one in self.listings.items()
            if self.classes and one.labels is not None
        }


def subject_of(data: Data, task: Task) -> Subject:
    """Return loaded data as they are reported on."""
    return Subject(
        name=data.name,
        examples=task.examples,
        sizes=data.sizes,
        classes=[str(name) for name in data.targets.get("classes", ())],
        listings=data.listings,
        about=data.about,
        remarks=data.remarks,
        fingerprint=data.fingerprint,
    )


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The report itself.

    Args:
        subject: The data.
        duplicates: Equal contents; None where examples cannot be told apart.
        resolutions: Split -> differences between networks that it can show; empty where the task does not know.
        warnings: Sentences about what may spoil the results.
    """

    subject: Subject
    duplicates: Duplicates | None
    resolutions: Mapping[str, Resolution]
    warnings: Sequence[str]

    def lines(self) -> list[str]:
        """Return the report for people: a line for each topic, then the warnings."""
        subject = self.subject
        found = [f"data: {_sizes(subject)}", *_class_lines(subject)]
        found += [f"{title}: {text}" for title, text in subject.about.items()]
        found += [f"remark: {remark}" for remark in subject.remarks]
        found += [*_duplicate_lines(self), *_resolution_lines(self)]
        return [*found, *(f"warning: {warning}" for warning in self.warnings)]

    def to_json(self) -> dict[str, Any]:
        """Return everything for programs."""
        subject, same = self.subject, self.duplicates
        counts = {split: dict(zip(subject.classes, found.tolist())) for split, found in subject.counts.items()}
        return {
            "name": subject.name,
            "fingerprint": subject.fingerprint,
            "examples": subject.examples,
            "sizes": dict(subject.sizes),
            "classes": list(subject.classes),
            "by_class": counts,
            "about": dict(subject.about),
            "remarks": list(subject.remarks),
            "duplicates": None
            if same is None
            else {
                "within": dict(same.within),
                "across": [[*pair, count] for pair, count in same.across.items()],
                "contradicting": same.contradicting,
                "examples": [list(pair) for pair in same.examples],
            },
            "resolution": {split: one._asdict() for split, one in self.resolutions.items()},
            "warnings": list(self.warnings),
            "lines": self.lines(),
        }


def report_on(subject: Subject, task: Task, batch_size: int, *, balanced: bool = False) -> DataReport:
    """Return the report on data.

    Args:
        subject: The data.
        task: Task that they are for.
        batch_size: Examples of a step of the training.
        balanced: Whether the job already compensates for imbalanced classes.
    """
    same = duplicates(subject.listings) if subject.listings else None
    counts = subject.counts
    resolutions = {}
    for split in ("validation", "test"):
        groups = counts[split].tolist() if split in counts else [subject.sizes[split]]
        if (found := task.resolution(groups)) is not None:
            resolutions[split] = found
    warnings = [
        *_leaks(subject, same),
        *_imbalance(subject, balanced),
        *_small_classes(subject),
        *_batch_warnings(subject, batch_size),
    ]
    return DataReport(subject=subject, duplicates=same, resolutions=resolutions, warnings=warnings)


# ---- lines ----------------------------------------------------------------------------------------------------------


def _sizes(subject: Subject) -> str:
    total = sum(subject.sizes.values())
    of_classes = f" of {len(subject.classes)} classes" if subject.classes else ""
    parts = ", ".join(f"{size:,} {split}" for split, size in subject.sizes.items())
    return f"{subject.name}, {total:,} {subject.examples}{of_classes}: {parts}"


def _class_lines(subject: Subject) -> Iterator[str]:
    if "train" not in subject.counts:
        return
    counts = subject.counts["train"]
    if counts.min() == counts.max():
        yield f"classes: {counts[0]:,} training {subject.examples} each"
        return
    order = np.argsort(-counts, kind="stable")
    named = [f"{subject.classes[i]} {counts[i]:,}" for i in order]
    if len(named) > _ALL_CLASSES_SHOWN:
        named = [*named[:3], "…", *named[-3:]]
    times = counts.max() / max(1, int(counts.min()))
    yield f"classes: in training {', '.join(named)}; the largest has {times:.3g} times as many as the smallest"


def _duplicate_lines(report: DataReport) -> Iterator[str]:
    same, examples = report.duplicates, report.subject.examples
    if same is None:
        return
    if not same.any:
        yield f"duplicates: no two {examples} have the same content"
        return
    found = [f"{count:,} in {split}" for split, count in same.within.items()]
    found += [f"{count:,} of {second} are in {first} too" for (first, second), count in same.across.items()]
    pairs = "; ".join(f"{first} = {second}" for first, second in same.examples)
    yield f"duplicates: {', '.join(found)}, e.g. {pairs}"


def _resolution_lines(report: DataReport) -> Iterator[str]:
    if not report.resolutions:
        return
    one = next(iter(report.resolutions.values()))
    likely = " and ".join(
        f"{_two_digits(found.likely)} {found.unit} on {split}" for split, found in report.resolutions.items()
    )
    least = " and ".join(_two_digits(found.least) for found in report.resolutions.values())
    yield (
        f"resolution: differences below {likely} cannot be told from chance, of two networks {one.assuming}; "
        f"below {least} {one.unit} for any two networks"
    )


def _two_digits(value: float) -> str:
    """Return a number with two digits that count, without an exponent: 7.7, 38, 100."""
    return f"{float(f'{value:.2g}'):g}"


# ---- warnings -------------------------------------------------------------------------------------------------------


def _leaks(subject: Subject, same: Duplicates | None) -> Iterator[str]:
    if same is None:
        return
    for (first, second), count in same.across.items():
        share = 100 * count / subject.sizes[second]
        seen = "was trained on" if first == "train" else "chose the networks"
        these = f"{count:,} of {subject.sizes[second]:,} {second} {subject.examples} ({share:.2g} %)"
        yield f"{these} are in {first} as well, which {seen}: results on {second} look better than they are"
    if same.contradicting:
        yield f"{same.contradicting:,} with the same content are in more than one class"


def _imbalance(subject: Subject, balanced: bool) -> Iterator[str]:
    train = subject.counts.get("train")
    if train is None or train.max() <= _IMBALANCED * max(1, train.min()):
        return
    share = 100 * train.max() / train.sum()
    always = f"a network that always says {subject.classes[int(train.argmax())]!r} is right for {share:.3g} %"
    advice = "" if balanced else f"; see {', '.join(_AGAINST_IMBALANCE)}"
    yield f"the classes are imbalanced: {always} of the training {subject.examples}{advice}"


def _small_classes(subject: Subject) -> Iterator[str]:
    counts = subject.counts
    if "train" not in counts:
        return
    for split, few, why in (
        ("train", _FEW_TRAINING, "little to learn from"),
        ("validation", _FEW_JUDGED, "their accuracy is a guess"),
        ("test", _FEW_JUDGED, "their accuracy is a guess"),
    ):
        small = np.flatnonzero(counts[split] < few)
        if len(small):
            named = ", ".join(f"{subject.classes[i]!r} {counts[split][i]}" for i in small[:5])
            more = f" and {len(small) - 5} more" if len(small) > 5 else ""
            yield f"classes with fewer than {few} {split} {subject.examples}: {named}{more}; {why}"


def _batch_warnings(subject: Subject, batch_size: int) -> Iterator[str]:
    count = subject.sizes["train"]
    if "graph" in subject.about:  # a step costs a pass over the whole graph, however few nodes it learns from
        return
    if count < _FEW_BATCHES * batch_size:
        steps = max(1, count // batch_size)
        better = max(2, 2 ** int(math.log2(max(2, count / _GOOD_BATCHES))))
        yield (
            f"{count:,} training {subject.examples} make {steps} step{'s' if steps > 1 else ''} an epoch with "
            f"train.batch_size={batch_size}; {better} or so would make {max(1, count // better)}"
        )
