"""The data of a job with the split that its folder keeps: it is made once, written before training, and used
for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.data.changes import Changes, changes
from nas.data.data import DividedSource
from nas.data.kept_split import KeptSplit, kept_split
from nas.data.members import Division
from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.building import LookedAt, data_source, look_into
from service.job.folder import write_whole
from service.job.front_file import read_front_file

if TYPE_CHECKING:
    from nas.data import Data, DataSource
    from service.job.job import Job

SPLIT = "split.npz"
_CARDS = "export/*/card.json"


@dataclass(frozen=True, kw_only=True)
class JobData:
    """The data of a job, found but not loaded.

    Attributes:
        folder: Folder of the job.
        source: The data, with the kept split where there is one.
        looked_at: Facts that are known without loading the data.
        place: Name of the data in messages.
        kept: The kept split, if any.
        changes: Changes of the data since then; None where there is no split, or where examples have no identity.
        own: Whether the split lies in the folder of the job itself.
    """

    folder: Path
    source: DataSource
    looked_at: LookedAt
    place: str
    kept: KeptSplit | None = None
    changes: Changes | None = None
    own: bool = False

    def load(self, device: Any) -> Data:
        """Return the data.

        Raises:
            InvalidJob: The data have changed since the job began.
        """
        data = self.source.load(device)
        if self.kept is not None and self.changes is None and data.fingerprint != self.kept.fingerprint:
            raise InvalidJob([_refusal(self.place, _fingerprints(self.kept, data), may_keep=False)])
        if self.kept is None:
            self._check_earlier(data)
        return data

    def keep(self, data: Data) -> str:
        """Write the split into the folder of the job, unless the same split is there already.

        Returns:
            Changes of the data that a person should know; usually none.
        """
        for name, text in data.files.items():
            if not (self.folder / plain_name(name)).exists():
                write_whole(self.folder / name, text)
        if self.own and (self.changes is None or not self._outdated(self.changes)):
            return ""
        write_whole(self.folder / SPLIT, self._split(data).to_bytes())
        if self.changes is None or self.changes.same:
            return ""
        return f"{self.place}: the data have changed: {self.changes.describe()}; every example keeps its split"

    def _split(self, data: Data) -> KeptSplit:
        if self.changes is None or self.kept is None:
            about: dict[str, Any] = {
                "fingerprint": data.fingerprint,
                "facts": data.facts,
                "preprocessing": data.preprocessing,
                "files": data.files,
            }
            if isinstance(self.source, DividedSource):
                return kept_split(self.source.division(), **about)
            return KeptSplit(classes=(), splits={}, sizes=data.sizes, **about)
        now, positions = self.changes.now, self.changes.positions
        division = Division(classes=now.classes, parts=now.parts, positions=positions, examples=now.examples)
        return kept_split(
            division,
            fingerprint=data.fingerprint,
            facts=self.kept.facts,
            preprocessing=self.kept.preprocessing,
            files=self.kept.files,
            digests=self.changes.digests,
            read_whole=self.kept.read_whole,
        )

    def _outdated(self, found: Changes) -> bool:
        """Return whether files have other names, places or times of change than the kept split says."""
        for name, kept in found.before.splits.items():
            part, index = found.now.parts.get(kept.part), found.positions.get(name)
            if part is None or index is None or len(index) != len(kept) or (index != kept.index).any():
                return True
            if part.stamps is not None and (kept.stamps is None or (part.stamps[index] != kept.stamps).any()):
                return True
        return not found.same

    def _check_earlier(self, data: Data) -> None:
        """Refuse data that are not those of a job of an earlier version, which kept no split, as far as it tells."""
        for card in sorted(self.folder.glob(_CARDS)):
            fingerprint = _fingerprint_in(card)
            if fingerprint is not None and fingerprint != data.fingerprint:
                told = f"fingerprint {fingerprint} in {card}, {data.fingerprint} now"
                raise InvalidJob([_refusal(self.place, told, may_keep=False)])


def job_data(job: Job, folder: Path, inputs: Iterable[Path] = ()) -> JobData:
    """Return the data of a job, found but not loaded, split as its networks were trained.

    Args:
        job: Job whose data are found.
        folder: Folder of the job; it need not be there yet.
        inputs: Folders of jobs that it takes its networks from.

    Raises:
        InvalidJob: The data have changed since the job began, or are read otherwise.
        InvalidData: The data are missing, damaged, too small or not of the expected form.
    """
    source = data_source(job.data)
    place = f"data.path: {job.data.path}" if job.data.path else f"data: {job.data.source}"
    looked_at = look_into(job.data, source)
    found = next((at for at in (folder, *inputs) if (at / SPLIT).is_file()), None)
    if found is None:
        for at in (folder, *inputs):
            _check_sizes(at, source, place)
        return JobData(folder=folder, source=source, looked_at=looked_at, place=place)
    kept, own = _read(found / SPLIT), found == folder
    _check_files(kept, found)
    if not (kept.splits and isinstance(source, DividedSource)):
        _check_kept_sizes(kept, source, place)
        return JobData(folder=folder, source=source, looked_at=looked_at, place=place, kept=kept, own=own)
    seen = changes(kept, source.division())
    if not seen.same and (job.data.changed != "keep" or seen.obstacle):
        raise InvalidJob([_refusal(place, seen.describe(), may_keep=not seen.obstacle)])
    try:
        divided = source.with_split(kept, seen.positions)
    except FieldError as error:
        raise InvalidJob([f"data.{error.field}: {error.text}"]) from error
    looked_at = look_into(job.data, divided)
    return JobData(folder=folder, source=divided, looked_at=looked_at, place=place, kept=kept, changes=seen, own=own)


def _read(path: Path) -> KeptSplit:
    try:
        return KeptSplit.from_bytes(path.read_bytes())
    except ValueError as error:
        repair = "put it back, or remove it if the data are those that the job began with"
        raise InvalidJob([f"{path}: damaged ({error}): it says which examples were trained on; {repair}"]) from error


def _check_files(kept: KeptSplit, folder: Path) -> None:
    """Refuse files of the folder that are not those that the networks were trained with."""
    for name, text in kept.files.items():
        path = folder / plain_name(name)
        if path.exists() and path.read_bytes() != text.encode():
            remedy = "remove it, and it is written again as it was, or start a new job"
            raise InvalidJob([f"{path}: not the file that the networks of this job were trained with; {remedy}"])


def plain_name(name: str) -> str:
    """Return the name of a file of a job folder; it comes from a file that may be someone else's.

    Raises:
        InvalidJob: It is more than a name.
    """
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name or "\0" in name:
        raise InvalidJob([f"{SPLIT}: damaged: {name!r} is not the name of a file"])
    return name


def _refusal(place: str, told: str, *, may_keep: bool) -> str:
    """Return the line that refuses changed data."""
    ways = ["bring the data back", "start a new job"]
    if may_keep:
        ways.append("give --set data.changed=keep, by which examples keep their split and new ones are trained on")
    return f"{place}: these are not the data of this job: {told}; {', or '.join(ways)}"


def _fingerprints(kept: KeptSplit, data: Data) -> str:
    return f"fingerprint {kept.fingerprint} when the split was made, {data.fingerprint} now"


def _check_kept_sizes(kept: KeptSplit, source: DataSource, place: str) -> None:
    """Refuse data with other numbers of examples, where these alone are known before the data are loaded."""
    now = dict(source.sizes)
    if dict(kept.sizes) != now:
        raise InvalidJob(
            [_refusal(place, f"{_sizes(kept.sizes)} when the split was made, {_sizes(now)} now", may_keep=False)]
        )


def _check_sizes(folder: Path, source: DataSource, place: str) -> None:
    """Refuse other data than those of a job of an earlier version, which kept no more than numbers of examples."""
    before = (read_front_file(folder) or {}).get("examples")
    if not before:
        return
    now = {name: size for name, size in source.sizes.items() if name in before}
    if now != before:
        told = f"{_sizes(before)} when they were judged, {_sizes(now)} now"
        raise InvalidJob([_refusal(place, told, may_keep=False)])


def _fingerprint_in(card: Path) -> str | None:
    """Return the fingerprint of the data that a card tells; None where it tells none, damaged ones among them."""
    try:
        return json.loads(card.read_bytes())["provenance"]["data"]["fingerprint"]
    except (ValueError, KeyError, TypeError):
        return None


def _sizes(sizes: Any) -> str:
    return ", ".join(f"{size} {name}" for name, size in sizes.items())
