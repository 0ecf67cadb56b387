"""Tables of latencies on several devices, as `nas benchmark latency` reads them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nas.benchmarks.latency import DeviceTable, description
from nas.benchmarks.published_tables import Table, read_cells
from search_spaces import Space
from service import catalogue
from service.errors import InvalidJob

_BATCH = re.compile(r"^(.+?)_(\d+)$")
_MOST_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class LatencyTableRequest:
    """The request of a command line for a table of latencies.

    Attributes:
        path: csv or csv.gz with the latencies.
        space: Name of the space of its architectures; None where only `features` describes them.
        space_options: Keyword arguments of the space.
        join: Another csv, which names the architectures.
        key: Column that both have.
        columns: Columns of latencies in ms, one per device; several joined by + are added. Empty: all that end in `_ms`
            or, if there are none, all columns of numbers that have no other use.
        device_columns: Columns that together name the device of a row, in a table with one latency a row.
        features: Columns of numbers that describe architectures.
    """

    path: Path
    space: str | None = None
    space_options: Mapping[str, Any] = field(default_factory=dict)
    join: Path | None = None
    key: str = "idx"
    columns: Sequence[str] = ()
    device_columns: Sequence[str] = ()
    features: Sequence[str] = ()


@dataclass(frozen=True)
class _Cells:
    """Texts of a csv by column, and the line of each row."""

    path: Path
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]

    def numbers(self, name: str, option: str, *, gaps: bool = False) -> np.ndarray:
        """Return a column [N]; with `gaps`, empty cells are NaN."""
        if name not in self.columns:
            hint = catalogue.suggestion(name, self.columns)
            raise InvalidJob([f"{option}: {self.path} has no column {name!r}{hint}"])
        values = np.empty(len(self.lines))
        for row, text in enumerate(self.columns[name]):
            value = np.nan if gaps and not text.strip() else _number(text)
            if value is None:
                where = f"{self.path}, line {self.lines[row]}"
                raise InvalidJob([f"{option}: {where}: {name} = {text!r} must be a finite number"])
            values[row] = value
        return values

    def texts(self, name: str, option: str) -> Sequence[str]:
        if name not in self.columns:
            hint = catalogue.suggestion(name, self.columns)
            raise InvalidJob([f"{option}: {self.path} has no column {name!r}{hint}"])
        return self.columns[name]


def latency_table(request: LatencyTableRequest) -> DeviceTable:
    """Return the table that a request asks for.

    Raises:
        InvalidJob: A file, column, space or value cannot be used; the message says which.
    """
    cells, space, encodings = _architectures(request)
    described = np.zeros((len(cells.lines), 0))
    counted: dict[str, np.ndarray] = {}
    if space is not None and encodings is not None:
        described, counted = description(space, encodings)
    if request.features:
        described = np.column_stack([described, *(cells.numbers(name, "--features") for name in request.features)])
    names = _latency_columns(request, cells, space)
    if request.device_columns:
        devices, families, latency_ms = _one_a_row(request, cells, names)
    else:
        devices, families = names, [family_of(name) for name in names]
        latency_ms = np.column_stack([_added(cells, name) for name in names])
    try:
        return DeviceTable(
            devices=devices, families=families, latency_ms=latency_ms, described=described, counted=counted
        )
    except ValueError as error:
        raise InvalidJob([f"--table: {error}"]) from error


def family_of(device: str) -> str:
    """Return the device without the batch size that ends its name: a power of two, as in `titan_rtx_32` or
    `v100_1_ms`.
    """
    name = device.removesuffix("_ms")
    found = _BATCH.match(name)
    if found is None:
        return name
    size = int(found[2])
    return found[1] if 0 < size <= _MOST_BATCH and size & (size - 1) == 0 else name


def _architectures(request: LatencyTableRequest) -> tuple[_Cells, Space | None, np.ndarray | None]:
    """Return the cells of the used rows, the space, and the encodings of their architectures."""
    if request.space is None:
        if request.join is not None:
            raise InvalidJob(["--join: names architectures, which needs --space"])
        return _read(request.path), None, None
    space = _space(request)
    try:
        if request.join is None:
            table = Table.read(request.path, space)
        else:
            table = Table.read(request.join, space).joined(request.path, on=request.key)
    except OSError as error:
        raise InvalidJob([f"{error.filename}: {error.strerror or error}"]) from error
    except ValueError as error:
        raise InvalidJob([f"{'--table' if request.join is None else '--join'}: {error}"]) from error
    encodings = np.stack([space.encode(architecture) for architecture in table.architectures])
    return _Cells(request.path, table.cells, table.lines), space, encodings


def _space(request: LatencyTableRequest) -> Space:
    """Return the space; of resolutions it has those of the table, unless they are given."""
    assert request.space is not None
    options = dict(request.space_options)
    try:
        if "resolutions" in catalogue.parameters("space", request.space) and "resolutions" not in options:
            pixels = _read(request.join or request.path).columns.get("resolution", ())
            sizes = {int(text) for text in pixels if text.isdigit()}
            options |= {"resolutions": tuple(sorted(sizes))} if sizes else {}
        return catalogue.make("space", request.space, options=options)
    except (ValueError, TypeError) as error:
        if isinstance(error, InvalidJob):
            raise
        raise InvalidJob([f"--space: {error}"]) from error


def _read(path: Path) -> _Cells:
    try:
        columns, lines = read_cells(path)
    except OSError as error:
        raise InvalidJob([f"{path}: {error.strerror or error}"]) from error
    except ValueError as error:
        raise InvalidJob([f"--table: {error}"]) from error
    return _Cells(path, columns, lines)


def _latency_columns(request: LatencyTableRequest, cells: _Cells, space: Space | None) -> list[str]:
    if request.columns:
        return list(dict.fromkeys(request.columns))
    own = _read(request.path).columns if request.join is not None else cells.columns
    used = {request.key, "architecture", *request.features, *request.device_columns}
    used |= {column for form in (space.formats if space else {}) for column in form}
    named = [name for name in own if name.endswith("_ms") and name not in used]
    found = named or [name for name in own if name not in used and _number(own[name][0]) is not None]
    if not found:
        raise InvalidJob([f"--columns: {request.path} has no column of latencies; name them"])
    return found


def _one_a_row(
    request: LatencyTableRequest, cells: _Cells, names: Sequence[str]
) -> tuple[list[str], list[str], np.ndarray]:
    """Return the devices, families and latencies [N, D] of a table with a device and a latency in each row."""
    if len(names) != 1:
        raise InvalidJob([f"--columns: with --device-columns name one column of latencies (or a+b), got {len(names)}"])
    parts = [cells.texts(name, "--device-columns") for name in request.device_columns]
    of_rows = [" ".join(values) for values in zip(*parts)]
    devices = list(dict.fromkeys(of_rows))
    families = [parts[-1][of_rows.index(device)] for device in devices]
    latency = _added(cells, names[0])
    latency_ms = np.full((len(of_rows), len(devices)), np.nan)
    place = {device: column for column, device in enumerate(devices)}
    latency_ms[np.arange(len(of_rows)), [place[device] for device in of_rows]] = latency
    return devices, families, latency_ms


def _added(cells: _Cells, columns: str) -> np.ndarray:
    return np.sum([cells.numbers(name.strip(), "--columns", gaps=True) for name in columns.split("+")], axis=0)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
