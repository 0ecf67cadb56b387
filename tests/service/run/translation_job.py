"""The fields of a small job of translation, for tests."""

from pathlib import Path
from typing import Any


def translation_fields(name: str, pairs: Path, space: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Return a job on files of pairs, with a space of `small_hat`; sections replace fields of the same name in others.

    Args:
        name: Its name.
        pairs: Folder of the files.
        space: Options of the space.
        sections: Fields of sections that differ.
    """
    options = {"languages": ["en", "de"], "vocabulary": 320, "longest": 64}
    fields: dict[str, Any] = {
        "name": name,
        "device": "cpu",
        "data": {"source": "parallel_text", "path": str(pairs), "options": options},
        "space": {"name": "small_hat", "options": space},
        "task": {"options": {"metric": "perplexity", "beam": 1}},
        "train": {"epochs": 1, "batch_size": 16, "optimizer": "adamw", "lr": 0.001},
        "search": {"searcher": "random", "evaluations": 6, "population": 4},
        "latency": {"repeats": 5, "warmup_s": 0, "min_time_ms": 0},
        "tracking": {"enabled": False},
    }
    return {**fields, **{section: {**fields[section], **given} for section, given in sections.items()}}
