"""The section of the page on the data of a job: the number of examples, their form, and what may spoil the results."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from service.job.damage import DamagedFile
from service.job.folder import read_json
from service.job.front_file import DATA_FILE
from service.report.markup import table, text

_SPLITS = ("train", "validation", "test")
_MOST_GROUPS = 50


def data_section(folder: Path) -> Iterator[str]:
    """Yield the facts of the data of a job; nothing where it left no description.

    Args:
        folder: Folder of the job.
    """
    try:
        content = read_json(folder / DATA_FILE)
        if content is not None:
            yield from _described(content)
    except (DamagedFile, KeyError, TypeError, ValueError, AttributeError) as error:
        yield f"<p class='mark'>The description of the data cannot be shown: {text(error)}</p>"


def _described(content: Mapping[str, Any]) -> list[str]:
    sizes, examples = content["sizes"], content["examples"]
    shown = [f"<p><b>{text(content['name'])}</b>: {sum(sizes.values()):,} {text(examples)}.</p>"]
    shown += [f"<p class='mark'>{text(warning)}</p>" for warning in content.get("warnings", ())]
    shown.append(_counts(content))
    facts = [f"<li>{text(title)}: {text(said)}</li>" for title, said in content.get("about", {}).items()]
    facts += [f"<li>{text(remark)}</li>" for remark in content.get("remarks", ())]
    wanted = ("duplicates:", "resolution:")
    facts += [f"<li>{text(line)}</li>" for line in content.get("lines", ()) if line.startswith(wanted)]
    return [*shown, f"<ul>{''.join(facts)}</ul>" if facts else ""]


def _counts(content: Mapping[str, Any]) -> str:
    """Return a table of the examples of each split, by group where there are groups."""
    sizes, by_group = content["sizes"], content.get("by_class") or {}
    splits = [split for split in _SPLITS if split in sizes]
    groups = list(dict.fromkeys(name for counts in by_group.values() for name in counts))
    rows = [[name, *(f"{by_group.get(split, {}).get(name, 0):,}" for split in splits)] for name in groups]
    total = ["all", *(f"{sizes[split]:,}" for split in splits)]
    counted = table(["", *splits], [*rows[:_MOST_GROUPS], total])
    left_out = len(rows) - _MOST_GROUPS
    return counted + (f"<p class='quiet'>and {left_out} more groups</p>" if left_out > 0 else "")
