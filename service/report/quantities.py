"""Names and formats of quantities for people: one table of forms, and a rule for quantities that are not in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.job.folder import finite
from service.job.front_file import PREDICTED, Quantity, TaskFacts, member_quantities, quality_of, task_of
from service.report.text import with_interval

_PREFIXES = (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form in which a quantity is written for people.

    Args:
        noun: Name in a sentence and on an axis.
        digits: Format of a value in a text.
        table_digits: The same in a table of the terminal, where counts stand below each other.
        error_digits: Format of the ends of its interval; by default that of the value.
        is_count: Whether values are scaled to thousands, millions or billions, so that they need no unit.
        best: Name of the network that is best by it.
        meaning: Explanation as HTML; empty where only the user knows.
    """

    noun: str
    digits: str = ".4g"
    table_digits: str = ".4g"
    error_digits: str = ""
    is_count: bool = False
    best: str = ""
    meaning: str = ""


_ACCURACY = """<b>Validation accuracy</b> is the share of images recognised in a set that was kept apart from
training. The search chose by it, so the chosen ones look a little better in it than they are.</li><li><b>Test
accuracy</b> is the same on images that neither training nor search has seen; it was read once, at the end. It is
what to expect in use, as far as the images there are alike."""
_BALANCED = """<b>Balanced accuracy</b> is the mean, over the classes, of the share of their images that was
recognised: each class counts the same, however many images it has.</li><li>The <b>validation</b> value is that of the
images by which the search chose; the <b>test</b> value was read once, at the end."""
_BLEU = """<b>BLEU</b>, from 0 to 100, says how many words and short groups of words of the translations stand in the
references too (sacrebleu on plain text).</li><li>The <b>validation</b> value is that of the sentences by which the
search chose; the <b>test</b> value was read once, at the end."""
_PERPLEXITY = """<b>Perplexity</b> says between how many tokens the network hesitates at each place, on average; 1 is
perfect. It depends on the vocabulary: compare it within one job.</li><li>The <b>validation</b> value is that of the
text by which the search chose; the <b>test</b> value was read once, at the end."""
_LATENCY = """<b>Latency</b> is the time of one pass through the network, measured, not estimated: all networks
of a front in turns on the same machine, many times; the median is shown, with its 95 % interval."""
_END_TO_END = """<b>Time from device to answer</b> is that of the half on the device and of the half on the server, both
measured, and of the link between them, computed from its rate and the bytes that are sent."""
_FORMS = {
    "accuracy": Form(
        noun="accuracy",
        digits=".2f",
        table_digits=".2f",
        error_digits=".1f",
        best="most accurate",
        meaning=_ACCURACY,
    ),
    "balanced_accuracy": Form(
        noun="balanced accuracy",
        digits=".2f",
        table_digits=".2f",
        best="best balanced",
        meaning=_BALANCED,
    ),
    "bleu": Form(noun="BLEU", digits=".2f", table_digits=".2f", error_digits=".1f", meaning=_BLEU),
    "perplexity": Form(noun="perplexity", digits=".2f", table_digits=".2f", meaning=_PERPLEXITY),
    "latency_ms": Form(noun="latency", digits=".3f", table_digits=".3f", meaning=_LATENCY),
    "end_to_end_ms": Form(noun="time from device to answer", digits=".3f", table_digits=".3f", meaning=_END_TO_END),
    "macs": Form(noun="MACs", table_digits=".2f", is_count=True, meaning="multiplications in one pass"),
    "params": Form(noun="parameters", table_digits=".1f", is_count=True),
    "device_macs": Form(noun="MACs on the device", table_digits=".2f", is_count=True),
    "sent_bytes": Form(noun="bytes sent", digits=",.0f", table_digits=",.0f"),
}
"""Quantities that are called otherwise than their names, in the order in which costs are shown."""


def form_of(name: str) -> Form:
    """Return the form in which a quantity is written; its name where nothing else is known."""
    return _FORMS.get(name) or Form(noun=name)


def is_listed(name: str) -> bool:
    """Return whether a quantity has a noun other than its name."""
    return name in _FORMS


def in_order(quantities: Sequence[Quantity]) -> list[Quantity]:
    """Return quantities in the order in which they are shown: listed ones first, then the others in their order."""
    ranks = {name: rank for rank, name in enumerate(_FORMS)}
    return sorted(quantities, key=lambda quantity: ranks.get(quantity.name, len(ranks)))


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A quantity as it is shown: values are divided by `scale`, and `label` names them.

    Args:
        name: Name of the quantity.
        label: Name with the unit.
        scale: Divisor of values.
        unit: Unit behind a value; a prefix such as M where values are counts.
        noun: The label without the unit.
        digits: Format of a value in a text.
        table_digits: The same in a table of the terminal.
        error_digits: Format of the ends of its interval, where it is another one.
    """

    name: str
    label: str
    scale: float = 1.0
    unit: str = ""
    noun: str = ""
    digits: str = ".4g"
    table_digits: str = ".4g"
    error_digits: str = ""

    def of(self, value: Any) -> float | None:
        """Return the scaled value; None where it is not finite."""
        number = finite(value)
        return None if number is None else number / self.scale

    def cell(self, value: Any) -> str:
        """Return the scaled value in a table of the terminal; a dash where it is not finite."""
        number = self.of(value)
        return "-" if number is None else format(number, self.table_digits)

    def sure(self, value: Any, ends: Sequence[Any] | None, *, in_table: bool = False) -> str:
        """Return the scaled value with its interval, where there is one; a dash where it is not finite."""
        number, digits = self.of(value), self.table_digits if in_table else self.digits
        if number is None:
            return "-"
        low, high = (self.of(end) for end in ends or (None, None))
        scaled = None if low is None or high is None else (low, high)
        return with_interval(number, scaled, digits, self.error_digits)


def axis_of(quantity: Quantity, values: Sequence[Any], *, before: str = "") -> Axis:
    """Return the axis for a quantity; counts are scaled by the largest value.

    Args:
        quantity: Quantity to show.
        values: All values that are shown together.
        before: Word before the noun, such as `validation`.
    """
    form = form_of(quantity.name)
    noun, unit, scale = f"{before} {form.noun}".strip(), quantity.unit, 1.0
    if form.is_count:
        largest = max((number for value in values if (number := finite(value)) is not None), default=0.0)
        unit, scale = next((prefix, size) for prefix, size in _PREFIXES if largest >= size or size == 1)
    elif unit == quantity.name:
        unit = ""
    label = f"{noun} ({unit})" if unit else noun
    named = Axis(name=quantity.name, label=label, scale=scale, unit=unit, noun=noun)
    return replace(named, digits=form.digits, table_digits=form.table_digits, error_digits=form.error_digits)


def predicted_axis(axis: Axis) -> Axis:
    """Return the axis for the prediction of a measured cost."""
    name, label, noun = f"{PREDICTED}{axis.name}", f"predicted {axis.label}", f"predicted {axis.noun}"
    return replace(axis, name=name, label=label, noun=noun, digits=".4g")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The quantities that are shown of the networks of one front.

    Attributes:
        task: Task of the networks.
        quality: Quality of the networks, on the validation split where that is the metric of the task.
        test: Metric of the task on the test split.
        costs: Costs, in the order in which they are shown.
        searched: Costs, those that the search traded off first: "cheapest" means cheapest by these.
        measured: Names of the costs that were measured.
    """

    task: TaskFacts
    quality: Axis
    maximise: bool
    test: Axis
    costs: tuple[Axis, ...]
    searched: tuple[Axis, ...]
    measured: frozenset[str]


def shown_of(front: dict[str, Any]) -> Shown:
    """Return the quantities to show of a front, which is in the terms of `read_front_file`."""
    task, quantities = task_of(front), member_quantities(front)
    judged = quality_of(quantities, task)
    values = [member["values"] for member in front.get("members", [])]
    costs = [quantity for quantity in in_order(quantities) if quantity.name != judged.name]
    axes = {cost.name: axis_of(cost, [value.get(cost.name) for value in values]) for cost in costs}
    traded = [quantity.name for quantity in quantities if quantity.name in axes and quantity.optimised]
    return Shown(
        task=task,
        quality=quality_axis(judged, task),
        maximise=judged.maximise,
        test=test_axis(task),
        costs=tuple(axes.values()),
        searched=tuple(axes[name] for name in dict.fromkeys([*traded, *axes])),
        measured=frozenset(quantity.name for quantity in costs if quantity.is_measured_cost),
    )


def quality_axis(judged: Quantity, task: TaskFacts) -> Axis:
    """Return the axis for the quality that networks are judged by."""
    return axis_of(judged, [], before="validation" if judged.name == task.metric.name else "")


def test_axis(task: TaskFacts) -> Axis:
    """Return the axis for the metric of a task on the test split."""
    return axis_of(task.metric, [], before="test")
