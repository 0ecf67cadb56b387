"""The output of `nas score`: scores of proxies, and how well they agree with known values."""

from collections import Counter
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

from service.report.terminal import numbers_table
from service.report.text import duration

if TYPE_CHECKING:
    from nas.rank_agreement import Agreement
    from service.run.score import Outcome


def score_table(outcome: "Outcome") -> Table:
    """Return a table of proxies: how many architectures have a score, and of what size."""
    table = numbers_table("Scores", "proxy", "scored", "least", "median", "greatest")
    for name, values in outcome.columns.items():
        there = [value for value in values.tolist() if isfinite(value)]
        figures = (min(there), median(there), max(there)) if there else ()
        numbers = [f"{value:.6g}" for value in figures] or ["-"] * 3
        table.add_row(name, f"{len(there):,} of {len(values):,}", *numbers)
    return table


def agreement_table(found: Mapping[str, "Agreement"], seconds: Mapping[str, float], provenance: object) -> Table:
    """Return a table of scores in the order of their rank correlation, with 95 % intervals."""
    title = f"Agreement with accuracy ({provenance}), 95 % intervals"
    table = numbers_table(title, "proxy", "Spearman", "Kendall", "top 10 % precision", "no score", "s alone")
    for name, agreement in sorted(found.items(), key=lambda item: -item[1].spearman.value):
        measures = (agreement.spearman, agreement.kendall, agreement.top_precision)
        numbers = [f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in measures]
        alone = f"{seconds[name]:.3f}" if name in seconds else "-"
        table.add_row(name, *numbers, str(agreement.not_finite), alone)
    return table


def score_summary(outcome: "Outcome", output: Path) -> str:
    """Return lines that say where the scores are, how long they took, why some are missing, and what random images
    mean.
    """
    lines = []
    reasons = Counter(reason for scored in outcome.known.values() for reason in scored.reasons.values())
    lines += [f"no score for {count:,}: {reason}" for reason, count in reasons.most_common(3)]
    if outcome.counted:
        lines.append(f"counted {len(outcome.known):,} architectures in {outcome.seconds:.1f} s, without networks")
    elif outcome.job.data.source == "noise":
        lines.append("images: random noise; give --data for scores on your images")
    if outcome.fresh:
        pace = outcome.fresh / outcome.seconds
        lines.append(f"scored {outcome.fresh:,} architectures in {duration(outcome.seconds)}, {pace:.1f} a second")
    return "\n".join([*lines, f"table: {output}"])
