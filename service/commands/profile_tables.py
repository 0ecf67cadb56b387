"""The output of `nas profile`: measured latencies, and how well a table of blocks predicts them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from service.job.front_file import Quantity
from service.report.quantities import Axis, axis_of
from service.report.terminal import numbers_table
from service.report.text import conditions_line, duration

if TYPE_CHECKING:
    from nas.hardware.latency_table import LatencyTable


def latency_table(rows: Sequence[dict[str, Any]]) -> Group:
    """Return rows of `profiling.profile`: latencies with intervals, what else was measured, under what, what failed."""
    counted = any(row.get("energy_mj") is not None for row in rows)
    columns = ["latency ms", "95 % interval", "inputs/s", "peak MB", *(["mJ"] if counted else [])]
    axes = _cost_axes(rows)
    table = numbers_table("Latency", "architecture", *columns, *(axis.label for axis in axes))
    for row in rows:
        costs = [axis.cell(row["costs"][axis.name]["value"]) for axis in axes]
        if "failed" in row:
            table.add_row(str(row["name"]), "failed", *["-"] * (len(columns) - 1), *costs)
            continue
        low, high = row["interval"]
        interval = "-" if low is None else f"{low:.3f} to {high:.3f}"
        numbers = [row["memory_mb"], *([row["energy_mj"]] if counted else [])]
        beside = ["-" if number is None else f"{number:.2f}" for number in numbers]
        speed = f"{row['throughput_per_s']:,.0f}"
        table.add_row(str(row["name"]), f"{row['milliseconds']:.3f}", interval, speed, *beside, *costs)
    lines = [f"failed: {row['name']}: {row['failed']}" for row in rows if "failed" in row]
    lines += dict.fromkeys(conditions_line(row["conditions"]) for row in rows if "conditions" in row)
    return Group(table, *(Text(line) for line in lines))


def _cost_axes(rows: Sequence[dict[str, Any]]) -> list[Axis]:
    """Return how each computed cost of these rows is written."""
    units = {name: cost["unit"] for row in rows for name, cost in row["costs"].items()}
    return [
        axis_of(Quantity(name=name, unit=unit), [row["costs"][name]["value"] for row in rows])
        for name, unit in units.items()
    ]


def held_out_table(found: "LatencyTable") -> Table:
    """Return a table of the errors of the plain and the corrected sum on networks that nothing was fitted to."""
    accuracies = found.held_out()
    count = accuracies["sum"].networks if accuracies else 0
    columns = ("mean error", "worst", "bias", "Spearman", "in 95 % interval")
    table = numbers_table(f"Predicted latency of {count} networks not used in the fit", "prediction", *columns)
    for name, label in (("sum", "plain sum of blocks"), ("corrected", "corrected")):
        if name in accuracies:
            a = accuracies[name]
            inside = "-" if a.covered_percent is None else f"{a.covered_percent:.0f} %"
            errors = (f"{a.mape_percent:.1f} %", f"{a.worst_percent:.1f} %", f"{a.bias_percent:+.1f} %")
            table.add_row(label, *errors, f"{a.spearman:.3f}", inside)
    return table


def table_summary(found: "LatencyTable", path: Path) -> str:
    """Return a summary of a latency table, and how to use it."""
    fitted = sum(network.part == "fit" for network in found.networks)
    slowest = max(network.latency.value for network in found.networks)
    fastest = min(network.latency.value for network in found.networks)
    built = f"{len(found.blocks_ms)} blocks and {len(found.networks)} networks, {fitted} of them for the correction"
    return (
        f"measured in {duration(found.seconds)}: {built}\n"
        f"networks take {fastest:.3f} to {slowest:.3f} ms on {found.conditions.get('device')}\n"
        f"table: {path}; to search with it: nas run JOB --set latency.table={path}"
    )
