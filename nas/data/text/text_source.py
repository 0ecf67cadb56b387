"""A source of text: facts about it, its vocabulary, and its way from lines to splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.data.config import DataConfig, InvalidData, InvalidExamples
from nas.data.data import Data
from nas.data.duplicates import Listing, digest_of
from nas.data.kept_split import KeptSplit
from nas.data.members import Division, members_of_rows
from nas.data.splits import Positions, split_positions
from nas.data.text.forms import Form
from nas.data.text.lines import Lines, read_part, without_empty
from nas.data.text.tokens import TOKENIZER, Tokens, check_vocabulary
from search_spaces.errors import FieldError
from supernets.tasks.token_ids import SPECIAL

if TYPE_CHECKING:
    import torch

    from nas.data.text.rows import Rows

MEANING = "logits: one unnormalised score for each token of the vocabulary, at each place of a row"


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """Lines of text as a `nas.data.data.DataSource`.

    Args:
        config: Fractions of the splits that are held out, and whether lines may be left out.
        name: Name of the data, for people.
        languages: Name of each column, for people.
        parts: `train`, and `validation` and `test` where they are published -> their lines.
        form: What batches are made of.
        vocabulary: Number of tokens.
        longest: Most tokens of a row, its end included.
        vocabulary_facts: Names under which spaces get the number of tokens.
        left_out: One line for each example that was left out while files were read.
        positions: The three splits, where they were made before.
        kept: The file of the vocabulary that networks were trained with, if they were.
    """

    config: DataConfig
    name: str
    languages: tuple[str, ...]
    parts: Mapping[str, Lines]
    form: Form
    vocabulary: int
    longest: int
    vocabulary_facts: tuple[str, ...]
    left_out: Sequence[str] = ()
    positions: Positions | None = None
    kept: str | None = None
    _made: dict[str, Tokens] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_vocabulary(self.vocabulary)
        if not 2 <= self.longest <= 10**5:
            raise FieldError("options.longest", f"must be from 2 to 100,000 tokens, got {self.longest:,}")
        lacking = ("validation" not in self.parts) + ("test" not in self.parts)
        if len(self.parts["train"]) < 1 + lacking:
            raise InvalidData(f"{self.name}: at least {1 + lacking} training lines are needed")

    @property
    def task(self) -> str:
        """Name of the task that networks are trained for unless a job says otherwise."""
        return self.form.task

    @property
    def facts(self) -> Mapping[str, Any]:
        """Size of the vocabulary, longest row, and what turns tokens into text."""
        return {**self._plain_facts, "texts": self.texts}

    @property
    def _plain_facts(self) -> Mapping[str, Any]:
        counts = dict.fromkeys(self.vocabulary_facts, self.vocabulary)
        return {**counts, "longest": self.longest, **self.form.facts()}

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Number of examples of each split."""
        return {name: len(positions) for name, positions in self._positions(0).items()}

    def texts(self, row: Iterable[int]) -> str:
        """Return the text of a row of tokens."""
        return self.tokens.text(row)

    @property
    def tokens(self) -> Tokens:
        """The vocabulary: the kept one, or that of the training lines."""
        if "tokens" not in self._made:
            self._made["tokens"] = self._trained() if self.kept is None else Tokens.from_json(self.kept)
        return self._made["tokens"]

    def _trained(self) -> Tokens:
        """Return the vocabulary of the training split alone."""
        train, chosen = self.parts["train"], self._positions(0)["train"]
        texts = chain.from_iterable((column[i] for i in np.sort(chosen)) for column in train.columns)
        return Tokens.trained(texts, self.vocabulary)

    # ---- splits -----------------------------------------------------------------------------------------------------

    def division(self, seed: int = 0) -> Division:
        """Return what the examples of each part are recognised by, and their split."""
        members = {
            name: members_of_rows(np.zeros(len(part), np.int64), part.content) for name, part in self.parts.items()
        }
        return Division(classes=(), parts=members, positions=self._positions(seed), examples=self.examples)

    @property
    def examples(self) -> str:
        """What one example is called, in the plural."""
        return "sentence pairs" if len(self.languages) > 1 else "lines"

    def with_split(self, kept: KeptSplit, positions: Positions) -> TextSource:
        """Return the same lines with other splits and the vocabulary of networks that were made for them.

        Raises:
            FieldError: The networks have a vocabulary of another size, or shorter rows.
        """
        for option, fact, value in (
            ("vocabulary", self.vocabulary_facts[0], self.vocabulary),
            ("longest", "longest", self.longest),
        ):
            if kept.facts.get(fact, value) != value:
                networks = f"{kept.facts[fact]:,}, as the networks of this job were made with"
                raise FieldError(f"options.{option}", f"must be {networks}, got {value:,}")
        return replace(self, positions=positions, kept=kept.files.get(TOKENIZER), _made={})

    def _positions(self, seed: int) -> Positions:
        if self.positions is not None:
            return self.positions
        given = {name: len(part) for name, part in self.parts.items()}
        return split_positions(
            np.zeros(given["train"], np.int64),
            validation=given.get("validation"),
            test=given.get("test"),
            fractions=(self.config.validation_fraction, self.config.test_fraction),
            seed=seed,
        )

    # ---- loading ----------------------------------------------------------------------------------------------------

    def load(self, device: torch.device, seed: int = 0) -> Data:
        """Return the three splits as tokens.

        Raises:
            InvalidExamples: Lines are longer than allowed, and the configuration does not allow to leave them out.
            InvalidData: A split has no line left, or the library for tokens is missing.
        """
        from nas.data.text.text_data import TextData  # torch is needed only from here on

        encoded = {name: tuple(map(self.tokens.encode, part.columns)) for name, part in self.parts.items()}
        kept, told = self._that_fit(encoded)
        digest = hashlib.sha256(self.tokens.to_json().encode())
        splits: dict[str, Any] = {}
        listings, rows = {}, {}
        for name, positions in self._positions(seed).items():
            part = name if name in self.parts else "train"
            chosen = self._in_order(name, encoded[part], positions[np.isin(positions, kept[part])])
            rows[name] = tuple(column.select(chosen) for column in encoded[part])
            digest.update(name.encode() + chosen.tobytes() + b"".join(column.ids.tobytes() for column in rows[name]))
            splits[name] = TextData(rows[name], self.form, device)
            listings[name] = _listing(self.parts[part], chosen)
        return Data(
            name=self.name,
            fingerprint=digest.hexdigest()[:16],
            task=self.task,
            facts=self._plain_facts,
            preprocessing=self._preprocessing(),
            targets={"meaning": MEANING},
            remarks=self._remarks(),
            left_out=[*self.left_out, *told],
            about=self._about(rows["train"]),
            listings=listings,
            files={TOKENIZER: self.tokens.to_json()},
            **splits,
        )

    def check(self) -> None:
        """Refuse lines that are too long.

        Raises:
            InvalidExamples: There are such lines, and the configuration does not allow to leave them out.
        """
        if self.config.on_error == "skip":
            return
        suspects = {name: part.without(self._surely_fit(part)) for name, part in self.parts.items()}
        suspects = {name: part for name, part in suspects.items() if len(part)}
        if suspects:
            encoded = {name: tuple(map(self.tokens.encode, part.columns)) for name, part in suspects.items()}
            replace(self, parts={**self.parts, **suspects}, _made=self._made)._that_fit(encoded)

    def _surely_fit(self, part: Lines) -> list[int]:
        """Return the examples that are short enough in any vocabulary: a token has a byte or more."""
        longest = [max(len(line.encode()) for line in lines) for lines in zip(*part.columns)]
        return [i for i, count in enumerate(longest) if count + 2 <= self.longest]  # a first space, and the end

    def _that_fit(self, encoded: Mapping[str, tuple[Rows, ...]]) -> tuple[dict[str, np.ndarray], list[str]]:
        """Return the examples of each part that are short enough, and a sentence for each of the others."""
        told, kept = [], {}
        for name, columns in encoded.items():
            lengths = np.array([column.lengths for column in columns])
            kept[name] = np.flatnonzero(lengths.max(axis=0) <= self.longest)
            for i in np.flatnonzero(lengths.max(axis=0) > self.longest):
                column = int(lengths[:, i].argmax())
                told.append(f"{self.parts[name].name(int(i), column)}: {lengths[column, i]:,} tokens")
        if told and self.config.on_error == "refuse":
            some = "1 example has" if len(told) == 1 else f"{len(told):,} examples have"
            count = f"{some} a line of more than {self.longest:,} tokens"
            ways = "shorten them, raise data.options.longest, or set data.on_error to skip"
            raise InvalidExamples(f"{self.name}: {count}; {ways}", told)
        return kept, told

    def _in_order(self, split: str, columns: tuple[Rows, ...], positions: np.ndarray) -> np.ndarray:
        """Return the examples of a split from the shortest to the longest."""
        from nas.data.text.text_data import length_order

        if not len(positions):
            raise InvalidData(f"{self.name}: no line of the {split} split is short enough")
        positions = np.sort(positions)
        return positions[length_order([column.select(positions) for column in columns])]

    def _preprocessing(self) -> dict[str, Any]:
        special = dict(zip(("padding", "begin", "end", "mask"), range(len(SPECIAL))))
        return {"tokens": "byte-level byte pairs", "file": TOKENIZER, "longest": self.longest, "special": special}

    def _remarks(self) -> list[str]:
        unused = self.vocabulary - len(self.tokens)
        if unused <= 0:
            return []
        told = f"the training lines give {len(self.tokens):,} tokens, {unused:,} of the vocabulary are never used"
        return [f"{told}: set data.options.vocabulary to {len(self.tokens):,}"]

    def _about(self, train: tuple[Rows, ...]) -> dict[str, str]:
        means = ", ".join(
            f"{language} {rows.lengths.mean():.1f} a line, at most {rows.lengths.max():,}"
            for language, rows in zip(self.languages, train)
        )
        return {"tokens": f"a vocabulary of {self.vocabulary:,} for {' and '.join(self.languages)}; {means}"}


def _listing(part: Lines, chosen: np.ndarray) -> Listing:
    """Return what the chosen examples are recognised by."""

    def digest() -> np.ndarray:
        return np.array([digest_of(part.content(int(i))) for i in chosen], np.uint64)

    return Listing(digest, lambda position: part.name(int(chosen[position])))


@dataclass(frozen=True, kw_only=True)
class Found:
    """Lines as they were read.

    Attributes:
        parts: Name of a part -> its lines.
        left_out: A sentence for each empty line.
    """

    parts: Mapping[str, Lines]
    left_out: Sequence[str]


def read_files(files: Mapping[str, tuple[Path, ...]], *, skip: bool) -> Found:
    """Return the lines of each part.

    Args:
        files: Name of a part -> its files.
        skip: Whether empty lines are left out.

    Raises:
        InvalidData: A file cannot be used, or two of them differ in their number of lines.
        InvalidExamples: There are empty lines, which may not be left out.
    """
    read = {name: read_part(*paths) for name, paths in files.items()}
    kept, left_out = {}, []
    for name, part in read.items():
        kept[name], told = without_empty(part, skip=skip)
        left_out += told
    return Found(parts=kept, left_out=left_out)
