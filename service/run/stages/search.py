"""The stage that searches the supernet."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from service.job.folder import read_json
from service.run.stages.outputs import JOURNAL, SUPERNET
from service.run.stages.stage import Stage

if TYPE_CHECKING:
    from service.run.context import JobContext

_HYPERVOLUME = "search/hypervolume.json"


@dataclass(frozen=True, kw_only=True)
class Search(Stage):
    """The stage `search`: it evaluates architectures that a searcher asks for; the journal remembers them."""

    title: ClassVar = "searching"
    needs: ClassVar = (SUPERNET,)
    leaves: ClassVar = (JOURNAL,)
    result: ClassVar[Literal["before"]] = "before"

    def is_done(self, folder: Path) -> bool:
        journal = folder / JOURNAL
        return (folder / _HYPERVOLUME).exists() and journal.is_file() and journal.stat().st_size > 0

    def run(self, context: "JobContext") -> None:
        from service.run.searching import search_supernet

        context.require_supernet()
        search_supernet(context, context.folder / _HYPERVOLUME)

    def summary(self, folder: Path) -> Mapping[str, Any]:
        curve = (read_json(folder / _HYPERVOLUME) or {}).get("curve")
        return {"hypervolume": curve[-1][1]} if curve else {}
