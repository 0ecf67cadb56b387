"""How well the latency on a device is predicted from few measurements of it, with and without other devices.

Every device of a table is held out in turn. Errors are those of the rows that were not measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from nas.predictors import GroupedGaussianProcess, Predictor
from nas.predictors.device_transfer import DeviceTransfer
from nas.predictors.predictor import Standardiser
from nas.rank_agreement import spearman
from nas.student_interval import student_half
from search_spaces import Space
from supernets.estimate import Estimate

TRANSFER, FROM_SCRATCH = "transfer", "from scratch"
RANDOM, CHOSEN = "random", "chosen"
MEASURES = ("spearman", "mape_percent", "worst_percent", "covered_percent")
_RANGES = dict(zip(MEASURES, [(-1.0, 1.0), (0.0, np.inf), (0.0, np.inf), (0.0, 100.0)]))
_NORMAL_97_5 = 1.959964
_COMPLETED_FROM = 600
LEAST_SAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class DeviceTable:
    """Latencies of architectures on several devices.

    Attributes:
        devices: Names [D].
        families: What each device shares with its other settings, such as batch sizes [D].
        latency_ms: [N, D]; NaN where it was not measured.
        described: Features of the architectures [N, F]; F may be 0.
        counted: Name of a count, such as MACs -> numbers [N].
    """

    devices: Sequence[str]
    families: Sequence[str]
    latency_ms: np.ndarray
    described: np.ndarray
    counted: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.described), len(self.devices))
        if self.latency_ms.shape != shape or len(self.families) != shape[1]:
            raise ValueError(f"latency_ms has shape {list(self.latency_ms.shape)}; rows and devices are {list(shape)}")
        wrong = np.argwhere(~(np.isnan(self.latency_ms) | (self.latency_ms > 0) & np.isfinite(self.latency_ms)))
        if len(wrong):
            row, device = wrong[0]
            raise ValueError(f"{self.devices[device]}: {self.latency_ms[row, device]:g} in row {row} is not a latency")
        for name, measured in zip(self.devices, self.measured.sum(0)):
            if measured < LEAST_SAMPLES:
                raise ValueError(
                    f"{name} was measured on {measured} architectures; at least {LEAST_SAMPLES} are needed"
                )

    @property
    def measured(self) -> np.ndarray:
        """Whether [N, D] there is a latency."""
        return ~np.isnan(self.latency_ms)

    def others(self, device: int, *, family_too: bool) -> list[int]:
        """Return the devices that are known when this one is new."""
        if not family_too:
            return [other for other in range(len(self.devices)) if other != device]
        return [other for other, family in enumerate(self.families) if family != self.families[device]]

    @cached_property
    def completed_ms(self) -> np.ndarray:
        """Latencies [N, D], where it was not measured what the same device's other rows and `described` say.

        Raises:
            ValueError: There are gaps, and nothing describes the architectures.
        """
        completed = self.latency_ms.copy()
        described = Standardiser.of(self.described)(self.described)
        for device, measured in enumerate(self.measured.T):
            if measured.all():
                continue
            if not self.described.shape[1]:
                gaps = int((~measured).sum())
                raise ValueError(f"{self.devices[device]} lacks {gaps} latencies and nothing describes the rows")
            rows = np.random.default_rng(device).permutation(np.flatnonzero(measured))[:_COMPLETED_FROM]
            process = GroupedGaussianProcess().fit(described[rows], np.log(completed[rows, device]))
            completed[~measured, device] = np.exp(process.predict(described[~measured]).mean)
        return completed


def description(space: Space, encodings: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return features of architectures [N, F], and their counts.

    Choices one-hot, how often each choice is taken among decisions of the same choices, numbers of decisions with many
    of them, and logarithms of exact costs where the space has some.
    """
    one_hot = space.features(encodings).astype(float)
    active = space.active(encodings)
    ends = np.cumsum(space.choice_counts)
    alike: dict[tuple, list[int]] = {}
    columns = [one_hot]
    for place, decision in enumerate(space.decisions):
        alike.setdefault(decision.choices, []).append(place)
        if all(isinstance(choice, int | float) for choice in decision.choices):
            numbers = np.array(decision.choices, dtype=float)[encodings[:, place]]
            columns.append(np.where(active[:, place], numbers, 0.0)[:, None])
    for choices, places in alike.items():
        if len(places) > 1:
            columns.append(np.sum([one_hot[:, ends[place] - len(choices) : ends[place]] for place in places], axis=0))
    if not space.cost_names:
        return np.hstack(columns), {}
    costs = space.costs(encodings)
    counted = {name: costs[name].astype(float) for name in sorted(costs)}
    return np.hstack([*columns, *(np.log1p(numbers)[:, None] for numbers in counted.values())]), counted


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The trials on every device.

    Attributes:
        samples: Numbers of measurements, ascending.
        family_too: Whether other settings of the same device are unknown too.
        from_scratch: Makes the predictor that knows the new device only; it gets logarithms.
    """

    samples: tuple[int, ...] = (10, 20, 50)
    family_too: bool = False
    from_scratch: Callable[[], Predictor]

    def __post_init__(self) -> None:
        if not self.samples or min(self.samples) < LEAST_SAMPLES:
            raise ValueError(f"samples must be numbers from {LEAST_SAMPLES} on, got {self.samples}")


@dataclass(frozen=True, kw_only=True)
class Errors:
    """The errors of one prediction of one device.

    Attributes:
        method: `transfer`, `from scratch`, or what is counted.
        choice: How the architectures to measure were found: `random` or `chosen`.
        samples: Number of measurements.
        values: Values of the `MEASURES`; NaN where a method has none.
    """

    method: str
    choice: str
    samples: int
    values: tuple[float, float, float, float]


class HeldOut:
    """One device of a table, treated as a new one.

    Args:
        table: Table with all devices.
        device: Number of the device.
        setting: What to try.

    Raises:
        ValueError: Too few devices are known then, or too few rows were measured.
    """

    def __init__(self, table: DeviceTable, device: int, setting: Setting) -> None:
        rows = np.flatnonzero(table.measured[:, device])
        others = table.others(device, family_too=setting.family_too)
        if len(others) < 2:
            raise ValueError(f"{table.devices[device]}: {len(others)} other devices are known; at least 2 are needed")
        if len(rows) <= max(setting.samples):
            raise ValueError(
                f"{table.devices[device]} was measured on {len(rows)} architectures, "
                f"which leaves none to predict after {max(setting.samples)} samples"
            )
        self.setting, self.rows = setting, rows
        self.latency_ms = table.latency_ms[:, device]
        self.described, self.counted = table.described, table.counted
        self.features = np.hstack([table.completed_ms[:, others], table.described])
        self.transfer = DeviceTransfer().learn(self.features, len(others), table.measured[:, others])

    def errors(self, seed: int) -> list[Errors]:
        """Return the errors of all methods with all numbers of samples; the first samples of many are the few."""
        most = max(self.setting.samples)
        drawn = {
            RANDOM: np.random.default_rng(seed).choice(self.rows, most, replace=False),
            CHOSEN: self.transfer.choose(most, np.random.default_rng([seed, 1]), self.rows),
        }
        return [
            Errors(method=method, choice=choice, samples=samples, values=values)
            for choice, rows in drawn.items()
            for samples in self.setting.samples
            for method, values in self._values(rows[:samples]).items()
        ]

    def _values(self, rows: np.ndarray) -> dict[str, tuple[float, float, float, float]]:
        rest = np.setdiff1d(self.rows, rows)
        truth, measured = self.latency_ms[rest], self.latency_ms[rows]
        found = self.transfer.fit(self.features[rows], measured).predict(self.features[rest])
        assert found.std is not None
        covered = 100 * float(np.mean(np.abs(found.mean - truth) <= _NORMAL_97_5 * found.std))
        values = {TRANSFER: (*_figures(found.mean, found.mean, truth), covered)}
        if self.described.shape[1]:
            scratch = self.setting.from_scratch().fit(self.described[rows], np.log(measured))
            predicted = np.exp(np.clip(scratch.predict(self.described[rest]).mean, -50, 50))
            values[FROM_SCRATCH] = (*_figures(predicted, predicted, truth), np.nan)
        for name, numbers in self.counted.items():
            line = np.polynomial.Polynomial.fit(numbers[rows], measured, 1) if np.ptp(numbers[rows]) > 0 else None
            predicted = line(numbers[rest]) if line is not None else np.full(len(rest), measured.mean())
            values[name] = (*_figures(numbers[rest], predicted, truth), np.nan)
        return values


def _figures(ranking: np.ndarray, predicted_ms: np.ndarray, truth_ms: np.ndarray) -> tuple[float, float, float]:
    off = 100 * np.abs(predicted_ms / truth_ms - 1)
    return spearman(ranking, truth_ms), float(off.mean()), float(off.max())


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One method with one number of samples over all devices.

    Attributes:
        method: As in `Errors`, like `choice` and `samples`.
        mean: Measure -> mean over devices, with the interval over seeds.
        worst: Device whose architectures are ranked worst.
        worst_spearman: Its Spearman, mean over seeds with the interval.
    """

    method: str
    choice: str
    samples: int
    mean: Mapping[str, Estimate]
    worst: str
    worst_spearman: Estimate


def summaries(found: Mapping[str, Sequence[Sequence[Errors]]]) -> list[Summary]:
    """Sum up device -> seed -> errors for each method, choice and number of samples, in their order."""
    values: dict[tuple[str, str, int], dict[str, list[tuple[float, ...]]]] = {}
    for device, seeds in found.items():
        for errors in seeds:
            for e in errors:
                values.setdefault((e.method, e.choice, e.samples), {}).setdefault(device, []).append(e.values)
    return [_summary(*key, by_device) for key, by_device in values.items()]


def _summary(method: str, choice: str, samples: int, by_device: Mapping[str, list[tuple[float, ...]]]) -> Summary:
    values = np.array(list(by_device.values()))  # [devices, seeds, measures]
    names = list(by_device)
    worst = int(values[:, :, 0].mean(1).argmin())
    return Summary(
        method=method,
        choice=choice,
        samples=samples,
        mean={name: mean_over_seeds(name, values[:, :, place].mean(0)) for place, name in enumerate(MEASURES)},
        worst=names[worst],
        worst_spearman=mean_over_seeds("spearman", values[worst, :, 0]),
    )


def mean_over_seeds(measure: str, values: np.ndarray) -> Estimate:
    """Return the mean of values [S] of a measure, with Student's 95% interval from two seeds on, within its range."""
    mean = float(values.mean())
    if len(values) < 2 or not np.isfinite(values).all():
        return Estimate(mean)
    half = float(student_half(values))
    least, most = _RANGES[measure]
    return Estimate(mean, max(mean - half, least), min(mean + half, most))
