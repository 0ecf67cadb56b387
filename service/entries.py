"""The kinds of entries in the catalogue."""

from math import inf
from typing import NamedTuple


class Entry(NamedTuple):
    """An entry: the place of an object, as ``module:object``, and a summary in one line."""

    target: str
    summary: str


class ObjectiveEntry(NamedTuple):
    """An objective that networks are compared by.

    Attributes:
        target: Place of its class.
        summary: Summary in one line.
        role: `quality` or `cost`.
        source: `measured`, `computed` or `predicted`.
        unit: Unit of its values; for a quality, that of the metric.
        low: Least possible value.
        needs_device_on_paper: Whether a job must say `latency.analytic`.
        needs_link: Whether a job must say `latency.link`, and have networks in two halves.
    """

    target: str
    summary: str
    role: str
    source: str
    unit: str = ""
    low: float = -inf
    needs_device_on_paper: bool = False
    needs_link: bool = False


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
        summary: Summary in one line.
        file: Name of the file.
        needs: Packages that not every installation has.
        opened_by: Code that opens the file: `{feed}` stands for the inputs as a mapping by name, `{inputs}` for their
            names.
        install: Command that installs what it needs.
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
