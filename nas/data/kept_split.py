"""The split of a data set as a file: the split of every example, by its name and its content."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from nas.data.members import Division

_REVISION = 1
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class KeptMembers:
    """The examples of one split, in its order.

    Args:
        part: The part of the data that they are taken from.
        index: Their positions in that part, int64 [N].
        labels: Class of each, int64 [N].
        digests: Digests of their content, uint64 [N].
        names: Paths below the folder of the part, if they are files.
        stamps: Size and time of the last change of each file, int64 [N, 2].
    """

    part: str
    index: np.ndarray
    labels: np.ndarray
    digests: np.ndarray
    names: tuple[str, ...] | None = None
    stamps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, kw_only=True)
class KeptSplit:
    """A split that was made once and stays valid.

    Args:
        classes: Names, in the order of their labels.
        splits: Members of each split; none for data whose examples cannot be told apart.
        fingerprint: Fingerprint of the data as they were loaded, see `nas.data.Data`.
        facts: Facts that networks were built for, see `nas.data.DataSource`.
        preprocessing: See `nas.data.Data`; the weights depend on it.
        read_whole: Whether large files were read whole for their digests.
        sizes: Examples of each split.
        files: See `nas.data.Data`; the weights depend on them, too.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, KeptMembers]
    fingerprint: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    read_whole: bool = True
    sizes: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Examples of all splits."""
        return sum(self.sizes.values())

    def content(self) -> str:
        """Return the fingerprint of what the examples are, however they are split or called."""
        parts: dict[str, list[KeptMembers]] = {}
        for kept in self.splits.values():
            parts.setdefault(kept.part, []).append(kept)
        joined = {
            name: (np.concatenate([one.digests for one in found]), np.concatenate([one.labels for one in found]))
            for name, found in parts.items()
        }
        return content_fingerprint(self.classes, joined)

    def to_bytes(self) -> bytes:
        """Return the content of the file: an npz without pickles."""
        arrays: dict[str, np.ndarray] = {}
        described: dict[str, Any] = {
            "revision": _REVISION,
            "classes": self.classes,
            "fingerprint": self.fingerprint,
            "facts": plain_facts(self.facts),
            "preprocessing": dict(self.preprocessing),
            "read_whole": self.read_whole,
            "sizes": dict(self.sizes),
            "parts": {name: kept.part for name, kept in self.splits.items()},
            **({"files": dict(self.files)} if self.files else {}),
        }
        arrays["about"] = _as_bytes(json.dumps(described))
        for name, kept in self.splits.items():
            arrays[f"{name}.index"] = kept.index
            arrays[f"{name}.label"] = kept.labels.astype(np.int32)
            arrays[f"{name}.digest"] = kept.digests
            if kept.names is not None:
                arrays[f"{name}.name"] = _as_bytes("\0".join(kept.names))
            if kept.stamps is not None:
                arrays[f"{name}.stamp"] = kept.stamps
        with io.BytesIO() as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
            return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> KeptSplit:
        """Return what `to_bytes` was made of.

        Raises:
            ValueError: The content is damaged.
        """
        if not content.startswith(b"PK"):
            raise ValueError("it is empty" if not content else "it is not an npz file")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            about = json.loads(_as_text(arrays["about"]))
            splits = {name: _members(arrays, name, part) for name, part in about["parts"].items()}
            return cls(
                classes=tuple(about["classes"]),
                splits=splits,
                files=about.get("files", {}),
                **{name: about[name] for name in ("fingerprint", "facts", "preprocessing", "read_whole", "sizes")},
            )
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def _members(arrays: Mapping[str, np.ndarray], name: str, part: str) -> KeptMembers:
    index, labels, digests = (arrays[f"{name}.{column}"] for column in ("index", "label", "digest"))
    names = tuple(_as_text(arrays[f"{name}.name"]).split("\0")) if f"{name}.name" in arrays else None
    stamps = arrays.get(f"{name}.stamp")
    if {len(index)} != {len(column) for column in (labels, digests, names, stamps, index) if column is not None}:
        raise ValueError(f"the columns of {name} differ in length")
    return KeptMembers(
        part=part, index=index, labels=labels.astype(np.int64), digests=digests, names=names, stamps=stamps
    )


def _as_bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)


def _as_text(array: np.ndarray) -> str:
    return array.tobytes().decode("utf-8", "surrogateescape")


def content_fingerprint(classes: tuple[str, ...], parts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Return 16 hexadecimal digits of digests and labels, in any order.

    Args:
        classes: Names, in the order of their labels.
        parts: Name of a part -> digests and labels of its examples.
    """
    made = sha256(repr(classes).encode())
    for name in sorted(parts):
        digests, labels = parts[name]
        order = np.lexsort((labels, digests))
        made.update(name.encode() + digests[order].tobytes() + labels[order].astype(np.int64).tobytes())
    return made.hexdigest()[:16]


def kept_split(
    division: Division,
    *,
    fingerprint: str,
    facts: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    files: Mapping[str, str] | None = None,
    digests: Mapping[str, np.ndarray] | None = None,
    read_whole: bool | None = None,
) -> KeptSplit:
    """Return the split of a data set, to be kept.

    Args:
        division: The examples and their split.
        fingerprint: Fingerprint of the data as they were loaded.
        facts: Facts that networks are built for; those that JSON cannot hold are left out.
        preprocessing: Preparation of raw values.
        files: Name -> text of what was made from the data.
        digests: Digests of the examples of each part, where they are known already.
        read_whole: Whether large files were read whole for these digests.
    """
    if read_whole is None:
        read_whole = all(part.read_whole for part in division.parts.values())
    if digests is None:
        digests = {name: part.digest(np.arange(len(part.labels)), read_whole) for name, part in division.parts.items()}
    splits = {}
    for name, index in division.positions.items():
        part = division.part_of(name)
        members = division.parts[part]
        names = members.names
        splits[name] = KeptMembers(
            part=part,
            index=index,
            labels=members.labels[index],
            digests=digests[part][index],
            names=None if names is None else tuple(names[i] for i in index.tolist()),
            stamps=None if members.stamps is None else members.stamps[index],
        )
    return KeptSplit(
        classes=division.classes,
        splits=splits,
        fingerprint=fingerprint,
        facts=facts,
        preprocessing=preprocessing,
        read_whole=read_whole,
        sizes={name: len(index) for name, index in division.positions.items()},
        files=files or {},
    )


def plain_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that JSON can hold."""
    return {name: value for name, value in facts.items() if isinstance(value, bool | int | float | str)}
