"""A vocabulary of tokens that is trained once on text, and kept: byte-level byte-pair encoding by `tokenizers`.

Paper: byte pairs, Sennrich et al., arXiv 1508.07909; of bytes, Radford et al., "Language models are unsupervised
multitask learners" (2019).
Differs: words are those of the regular expression of GPT-2; a space is written before the first word, too. The text of
a row is its line again, byte by byte, whatever characters stand there: there are no unknown ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.data.config import InvalidData
from nas.data.text.rows import Rows
from search_spaces.errors import FieldError
from supernets.tasks.token_ids import END, SPECIAL

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"
_AT_ONCE = 10_000  # lines: the library keeps far more than the tokens of each
LEAST = len(SPECIAL) + 256
_INSTALL = "needs the package tokenizers: pip install 'espalier-nas[text]'"


class Tokens:
    """A vocabulary.

    Args:
        tokenizer: What `tokenizers` has made of training text, or read.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.encode_special_tokens = True  # a line may hold the text "<mask>"
        self._tokenizer = tokenizer

    @classmethod
    def trained(cls, texts: Iterable[str], vocabulary: int) -> Tokens:
        """Return the vocabulary of training text; equal texts give equal vocabularies.

        Args:
            texts: Lines of text.
            vocabulary: Number of tokens; little text gives fewer.
        """
        _require()
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @classmethod
    def from_json(cls, text: str) -> Tokens:
        """Return the vocabulary that `to_json` gave.

        Raises:
            InvalidData: The text is something else.
        """
        _require()
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing narrower
            raise InvalidData(f"{TOKENIZER}: not a vocabulary of tokenizers: {error}") from error
        if [tokenizer.id_to_token(number) for number in range(len(SPECIAL))] != list(SPECIAL):
            raise InvalidData(f"{TOKENIZER}: the first tokens must be {', '.join(SPECIAL)}")
        return cls(tokenizer)

    def to_json(self) -> str:
        """Return the file that `tokenizers.Tokenizer.from_file` reads."""
        return json.dumps(json.loads(self._tokenizer.to_str()), ensure_ascii=False, indent=1) + "\n"

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> Rows:
        """Return the tokens of each line, and the end behind them."""
        rows = []
        for begin in range(0, len(texts), _AT_ONCE):
            piece = list(texts[begin : begin + _AT_ONCE])
            rows += [[*one.ids, END] for one in self._tokenizer.encode_batch(piece, add_special_tokens=False)]
        return Rows.of(rows)

    def text(self, ids: Iterable[int]) -> str:
        """Return the text of a row, up to its end; tokens that stand for no text are left out."""
        row = np.fromiter(ids, np.int64)
        ends = np.flatnonzero(row == END)
        row = row[: ends[0]] if len(ends) else row
        return self._tokenizer.decode(row[row >= len(SPECIAL)].tolist()).strip()


def check_vocabulary(vocabulary: int) -> None:
    """Refuse a size that no vocabulary can have.

    Raises:
        FieldError: It is too small or too large.
    """
    if not LEAST <= vocabulary <= 10**6:
        all_bytes = f"from {LEAST}, one for each byte and {len(SPECIAL)} more,"
        raise FieldError("options.vocabulary", f"must be {all_bytes} to 1,000,000, got {vocabulary:,}")


def _require() -> None:
    """Refuse to go on without the library.

    Raises:
        InvalidData: It is not installed.
    """
    try:
        import tokenizers  # noqa: F401
    except ImportError as error:
        raise InvalidData(f"text {_INSTALL}") from error
