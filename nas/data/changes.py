"""Changes of data since their split was made: every example is recognised by its name and its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nas.data.kept_split import KeptMembers, KeptSplit, content_fingerprint
from nas.data.members import Division, Members, as_text
from nas.data.splits import Positions

_NAMED = 3
_LEFT_OUT = "left out, because their content is in another split"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Data as they are now, compared with a split that was kept.

    Attributes:
        before: The split.
        now: The data.
        digests: Digests of the examples now, by part.
        positions: The kept split of the data now: members that are left stay where they were, and new ones are trained
            on.
        differences: Kind of difference -> names of the examples; empty where the content is the same.
        obstacle: Why the networks of the job no longer fit the data; empty where they fit.
    """

    before: KeptSplit
    now: Division
    digests: Mapping[str, np.ndarray]
    positions: Positions
    differences: Mapping[str, Sequence[str]] = field(default_factory=dict)
    obstacle: str = ""

    @property
    def same(self) -> bool:
        """Whether the content is what it was."""
        return not (self.differences or self.obstacle)

    def describe(self) -> str:
        """Return both counts, both fingerprints and what differs, in one line."""
        parts = {name: (digests, self.now.parts[name].labels) for name, digests in self.digests.items()}
        fingerprint = content_fingerprint(self.now.classes, parts)
        total = sum(len(part.labels) for part in self.now.parts.values())
        called = self.now.examples
        counts = f"{self.before.total} {called} (fingerprint {self.before.content()}) when the split was made"
        told = [self.obstacle] if self.obstacle else []
        told += [f"{len(names)} {what} ({_some(names)})" for what, names in self.differences.items()]
        return f"{counts}, {total} (fingerprint {fingerprint}) now: {'; '.join(told)}"


def changes(before: KeptSplit, now: Division) -> Changes:
    """Return how data have changed since their split was made.

    An example is recognised by its name and content, else by its content, else by its name.
    """
    found = {name: _Part.of(name, before, part, now.classes) for name, part in now.parts.items()}
    told: dict[str, list[str]] = {}
    held_out = [kept.digests for name, kept in before.splits.items() if name != "train"]
    everywhere = np.concatenate([*(kept.digests for kept in before.splits.values()), np.empty(0, np.uint64)])
    positions: dict[str, np.ndarray] = {}
    for name, part in found.items():
        # No held-out example may be trained on, and no trained one may be held out.
        known = np.concatenate([*held_out, np.empty(0, np.uint64)]) if name == "train" else everywhere
        added = part.added
        leak = np.isin(part.digests[added], known) if len(added) else np.zeros(0, bool)
        positions |= part.positions(added[~leak])
        for what, names in part.differences(leak).items():
            told.setdefault(what, []).extend(names)
    for kept in before.splits.values():
        if kept.part not in found:
            told.setdefault("removed", []).extend(f"{kept.part}: {i}" for i in kept.index.tolist())
    return Changes(
        before=before,
        now=now,
        digests={name: part.digests for name, part in found.items()},
        positions={name: positions[name] for name in before.splits if name in positions},
        differences={what: names for what, names in told.items() if names},
        obstacle=_obstacle(before, now, positions),
    )


def _obstacle(before: KeptSplit, now: Division, positions: Positions) -> str:
    """Return why networks that were made for the split cannot go on with the data; empty where they can."""
    if before.classes != now.classes:
        new = [name for name in now.classes if name not in before.classes]
        gone = [name for name in before.classes if name not in now.classes]
        told = [f"new class {_some(new)}"] if new else []
        told += [f"no class {_some(gone)} any more"] if gone else []
        counts = f"{len(before.classes)} classes then, {len(now.classes)} now"
        return f"{' and '.join(told) or 'classes in another order'} ({counts})"
    parts = {kept.part for kept in before.splits.values()}
    if parts != set(now.parts):
        changed = parts.symmetric_difference(now.parts)
        return f"the {' and '.join(sorted(changed))} part is {'new' if parts < set(now.parts) else 'gone'}"
    empty = [name for name in before.splits if not len(positions.get(name, ()))]
    return f"nothing is left of the {empty[0]} split" if empty else ""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One part of the data: its members then and now, and their pairs.

    Attributes:
        name: Name of the part.
        splits: Kept splits that were taken from it.
        now: Its examples.
        digests: Digests of its examples.
        partners: Position now of each member then, -1 where it is gone, in the order of `splits`.
        changed: Positions now of members whose content or class has changed.
    """

    name: str
    splits: Mapping[str, KeptMembers]
    now: Members
    digests: np.ndarray
    partners: np.ndarray
    changed: np.ndarray

    @classmethod
    def of(cls, name: str, before: KeptSplit, now: Members, classes: tuple[str, ...]) -> _Part:
        splits = {split: kept for split, kept in before.splits.items() if kept.part == name}
        members = list(splits.values())
        then = np.concatenate([*(kept.digests for kept in members), np.empty(0, np.uint64)])
        labels = np.concatenate([*(kept.labels for kept in members), np.empty(0, np.int64)])
        named = _same_name(members, now)
        digests = _digests(members, named, now, whole=before.read_whole)
        labels_now = _labels_then(now.labels, classes, before.classes)
        partners = _partners(then, labels, named, digests, labels_now)
        there = partners >= 0
        same = (then[there] == digests[partners[there]]) & (labels[there] == labels_now[partners[there]])
        changed = np.sort(partners[there][~same])
        return cls(name=name, splits=splits, now=now, digests=digests, partners=partners, changed=changed)

    @property
    def added(self) -> np.ndarray:
        """Positions now of examples that were not there."""
        return _without_partner(len(self.now.labels), self.partners)

    def positions(self, added: np.ndarray) -> Positions:
        """Return the splits taken from this part now; new examples go into the one that is named after the part."""
        ends = np.cumsum([len(kept) for kept in self.splits.values()])[:-1]
        found = {}
        for split, partners in zip(self.splits, np.split(self.partners, ends)):
            left = partners[partners >= 0]
            found[split] = np.concatenate([left, added]) if split == self.name else left
        return found

    def differences(self, leak: np.ndarray) -> dict[str, list[str]]:
        """Return what differs -> names of the examples; `leak` says which of the added ones are left out."""
        gone = np.flatnonzero(self.partners < 0)
        names = [name for kept in self.splits.values() for name in kept.names or map(str, kept.index.tolist())]
        return {
            "added": self._names_now(self.added[~leak]),
            _LEFT_OUT: self._names_now(self.added[leak]),
            "removed": [self._called(names[i]) for i in gone.tolist()],
            "changed": self._names_now(self.changed),
        }

    def _names_now(self, chosen: np.ndarray) -> list[str]:
        return [self._called(self.now.names[i] if self.now.names is not None else str(i)) for i in chosen.tolist()]

    def _called(self, name: str) -> str:
        return name if self.name == "train" else f"{self.name}: {name}"


def _labels_then(labels: np.ndarray, classes: tuple[str, ...], before: tuple[str, ...]) -> np.ndarray:
    """Return labels as the classes were numbered then, -1 for a class that was not there."""
    if classes == before:
        return labels
    known = {name: label for label, name in enumerate(before)}
    return np.array([known.get(name, -1) for name in classes], np.int64)[labels]


def _same_name(members: Sequence[KeptMembers], now: Members) -> np.ndarray:
    """Return the position now of what has the name (or the position) of each member, -1 where there is none."""
    if now.names is not None and all(kept.names is not None for kept in members):
        places = {name: i for i, name in enumerate(now.names)}
        return np.array([places.get(name, -1) for kept in members for name in kept.names or ()], np.int64)
    index = np.concatenate([*(kept.index for kept in members), np.empty(0, np.int64)])
    return np.where(index < len(now.labels), index, -1)


def _digests(members: Sequence[KeptMembers], named: np.ndarray, now: Members, *, whole: bool) -> np.ndarray:
    """Return the digests of the examples now; files that nobody has touched since then are not read again."""
    digests = np.zeros(len(now.labels), np.uint64)
    known = np.zeros(len(now.labels), bool)
    if now.stamps is not None and members and all(kept.stamps is not None for kept in members):
        stamps = np.concatenate([kept.stamps for kept in members if kept.stamps is not None])
        untouched = (named >= 0) & (stamps == now.stamps[named]).all(1)
        digests[named[untouched]] = np.concatenate([kept.digests for kept in members])[untouched]
        known[named[untouched]] = True
    unread = np.flatnonzero(~known)
    if len(unread):
        digests[unread] = now.digest(unread, whole)
    return digests


def _partners(
    then: np.ndarray, labels: np.ndarray, named: np.ndarray, digests: np.ndarray, labels_now: np.ndarray
) -> np.ndarray:
    """Return the position now of each member then: by name and content, else by content, else by name."""
    partners = np.where((named >= 0) & (then == digests[named]), named, -1)
    if (partners >= 0).all():
        return partners
    free = _without_partner(len(digests), partners)
    missing = np.flatnonzero(partners < 0)
    by_content: dict[int, list[int]] = {}
    for i in free[np.isin(digests[free], then[missing])].tolist():
        by_content.setdefault(int(digests[i]), []).append(i)
    for member in missing.tolist():
        alike = by_content.get(int(then[member]), [])
        if alike:
            chosen = next((i for i in alike if labels_now[i] == labels[member]), alike[0])
            alike.remove(chosen)
            partners[member] = chosen
    taken = set(partners[partners >= 0].tolist())
    for member in np.flatnonzero((partners < 0) & (named >= 0)).tolist():
        if int(named[member]) not in taken:
            partners[member] = named[member]
    return partners


def _without_partner(count: int, partners: np.ndarray) -> np.ndarray:
    """Return the positions, of so many, that are nobody's partner."""
    free = np.ones(count, bool)
    free[partners[partners >= 0]] = False
    return np.flatnonzero(free)


def _some(names: Sequence[str]) -> str:
    """Return the first names, whatever bytes they are made of."""
    return ", ".join(map(as_text, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
