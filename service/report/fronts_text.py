"""Fronts in words and numbers, for the report and the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from nas.benchmarks.front_comparison import FrontComparison
from service.job.certainty_keys import CERTAINTY, LETTERS, TEST, TEST_INTERVAL
from service.job.folder import finite
from service.report.fronts import Front
from service.report.quantities import Axis, test_axis
from service.report.text import duration, shape_text, written_text

_GRID = 3  # dimensions of an example that is seen as a whole, such as an image
_CONDITIONS = ("device", "backend", "precision", "batch_size", "threads", "input_shape")


def value_text(member: Mapping[str, Any], axis: Axis, *, bare: bool = False) -> str:
    """Return a value with its interval, and with its name unless `bare`."""
    text = axis.sure(member["values"].get(axis.name), (member.get("intervals") or {}).get(axis.name))
    if bare or text == "-":
        return text
    if axis.unit and axis.scale == 1.0:
        return f"{text} {axis.unit} {axis.noun}"
    return f"{axis.noun} {text}{f' {axis.unit}' if axis.unit else ''}"


def tested_text(front: Front, member: Mapping[str, Any]) -> str:
    """Return the metric of the task on the test split, with its interval where that is known."""
    return test_axis(front.task).sure(member.get(TEST), member.get(TEST_INTERVAL))


def lettered(text: str, member: Mapping[str, Any], name: str) -> str:
    """Return a number followed by the letters of members that may be equal in it."""
    letters = (member.get(LETTERS) or {}).get(name)
    return f"{text} {letters}" if letters else text


def letters_lines(front: Mapping[str, Any], examples: str) -> list[str]:
    """Return one or two sentences that explain the letters behind numbers; nothing where there are none.

    Args:
        front: Content of a `front.json` in the terms of this version.
        examples: Name of the examples of the data, in the plural.
    """
    members = front.get("members", [])
    names = {name for member in members for name in member.get(LETTERS) or {}}
    if not names:
        return []
    by = (front.get(CERTAINTY) or {}).get("compared_by") or {}
    paired = any(by.get(name) == "same examples" for name in names)
    lines = ["Numbers of a column that share a letter cannot be told apart (95 % for all pairs together)"]
    lines[0] += f"; quality is compared on the same {examples}." if paired else "."
    if len(members) > 1 and all("a" in (member.get(LETTERS) or {}).get(TEST, "") for member in members):
        lines.append(f"The {len(members)} networks cannot be told apart on the test {examples}.")
    return lines


def searched_sentences(front: Front, result: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the space, the data, the training and the search of one job."""
    examples = front.task.examples
    job, space = front.job, front.content.get("space") or {}
    data, train, search = (job.get(part) or {} for part in ("data", "train", "search"))
    count = space.get("architectures")
    name = space.get("name") or (job.get("space") or {}).get("name") or "unnamed"
    of = f" of {_large(count)} architectures" if count else ""
    what = data.get("dataset") or data.get("path") or data.get("source") or f"unnamed {examples}"
    sentences = [f"the search space {name}{of}, on the {examples} {what}."]
    if train.get("epochs"):
        sentences.append(f"The supernet was trained for {train['epochs']:g} passes over the training {examples}.")
    searcher = f" by {search['searcher']}" if search.get("searcher") else ""
    if tried:
        failed = sum(row["status"] != "ok" for row in tried)
        beside = f", of which {failed:,} broke a limit or failed" if failed else ""
        sentences.append(
            f"{len(tried):,} candidates were tried{searcher}{beside}; {len(front.members)} are on the front."
        )
    if limits := search.get("constraints"):
        sentences.append(f"Hard limits: {', '.join(f'{name} {text}' for name, text in limits.items())}.")
    if (seconds := finite(result.get("seconds"))) is not None:
        sentences.append(f"All of it took {duration(seconds)}.")
    return sentences


def _large(count: int) -> str:
    return f"{count:,}" if count < 10_000_000 else f"about {count:.2g}"


def condition_lines(fronts: Sequence[Front]) -> list[str]:
    """Return the conditions under which costs were measured; one line for all fronts that share them."""
    lines: dict[str, list[str]] = {}
    for front in fronts:
        if front.conditions:
            lines.setdefault(conditions_text(front.conditions, front.task.examples), []).append(front.name)
    return [line if len(lines) == 1 else f"{', '.join(names)}: {line}" for line, names in lines.items()]


def conditions_text(conditions: Mapping[str, Any], examples: str) -> str:
    """Return the conditions of a measurement in one line, the well-known ones first."""
    names = [name for name in (*_CONDITIONS, *conditions) if conditions.get(name) not in (None, "", [], {})]
    return ", ".join(_condition(name, conditions[name], examples) for name in dict.fromkeys(names))


def _condition(name: str, value: Any, examples: str) -> str:
    if name in ("device", "backend", "precision", "simulated"):
        return str(value)
    if name == "input_shape":
        is_grid = len(value) == _GRID and all(isinstance(size, int) for size in value)
        return f"{examples if is_grid else 'inputs'} of {shape_text(value)}"
    if name == "decode":
        return written_text(value)
    if name == "threads":
        return f"{value} thread{'s' if value != 1 else ''}"
    return f"{name.replace('_size', '').replace('_', ' ')} {value}"


def verdict(found: FrontComparison) -> str:
    """Return a sentence that says which front is ahead."""
    names = list(found.hypervolume)
    for name in names:
        others = [other for other in names if other != name]
        if others and all(found.coverage[name, other].share == 1 for other in others):
            sure = all(found.coverage[name, other].beyond_error == 1 for other in others)
            equal = all(found.coverage[other, name].share == 1 for other in others)
            if equal:
                return "The fronts are equal: each has everything that the others have."
            error = "" if sure else ", though not by more than the measuring error everywhere"
            return f"{name} equals or beats everything on the other fronts{error}."
    best = max(names, key=lambda name: found.hypervolume[name])
    share = 100 * found.hypervolume[best]
    return f"None is ahead everywhere; {best} reaches furthest as a whole ({share:.1f} % of the common box)."
