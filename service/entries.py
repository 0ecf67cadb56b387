"""What a line of the catalogue says, by what it lists."""

from math import inf
from typing import NamedTuple


class Entry(NamedTuple):
    """Where an object lies, as ``module:object``, and what it is in one line."""

    target: str
    summary: str


class ObjectiveEntry(NamedTuple):
    """What networks are compared by.

    Attributes:
        target: Where its class lies.
        summary: What it is in one line.
        role: `quality` or `cost`.
        source: `measured`, `computed` or `predicted`.
        unit: Of its values; of a quality that of the metric.
        low: The least value that there can be.
        needs_device_on_paper: Whether a job must say `latency.analytic`.
    """

    target: str
    summary: str
    role: str
    source: str
    unit: str = ""
    low: float = -inf
    needs_device_on_paper: bool = False


class Aggregate(NamedTuple):
    """A proxy that is defined for a population only, from the scores of its parts.

    `target` is a function of one column [m] a part, higher is better in each, that gives one number [m].
    """

    target: str
    summary: str
    parts: tuple[str, ...]


class ExportFormat(NamedTuple):
    """A file format that trained networks are written in.

    Attributes:
        target: A function of a `nas.export.Deployable` and the path of the file.
        summary: What it is in one line.
        file: What the file is called.
        needs: Packages beside those that every installation has.
        opened_by: How the file is opened: `{feed}` stands for the inputs as a mapping by name, `{inputs}` for their
            names.
        install: What brings what it needs.
        companions: Endings of further files that the function writes beside the first.
    """

    target: str
    summary: str
    file: str
    needs: tuple[str, ...] = ()
    opened_by: str = ""
    install: str = ""
    companions: tuple[str, ...] = ()


Listed = Entry | ObjectiveEntry | ExportFormat
