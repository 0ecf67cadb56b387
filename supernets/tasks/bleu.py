"""BLEU of a corpus from the counts of its sentences, as `sacrebleu` computes it.

Paper: Papineni et al., ACL 2002; Post, arXiv 1804.08771: tokens of 13a, case counts, one reference.
Differs: nothing known.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU

_ORDER = 4
INSTALL = "needs the package sacrebleu: pip install 'espalier-nas[text]'"


def is_installed() -> bool:
    """Return whether `sacrebleu` is there."""
    return find_spec("sacrebleu") is not None


def sentence_counts(outputs: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Return what BLEU counts in each sentence, int64 [N, 10].

    The columns are the n-grams that are right, for n of 1 to 4; all n-grams; the words of the output; the words of the
    reference.
    """
    bleu = _bleu()
    rows = []
    for output, reference in zip(outputs, references, strict=True):
        one = bleu.sentence_score(output, [reference])
        rows.append([*one.counts, *one.totals, one.sys_len, one.ref_len])
    return np.array(rows, np.int64).reshape(-1, 2 * _ORDER + 2)


def bleu_of(counts: np.ndarray) -> float:
    """Return the BLEU of sentences from their counts [N, 10]."""
    right, all_, words, wanted = _parts(counts.sum(0))
    score = _bleu().compute_bleu(right.tolist(), all_.tolist(), words, wanted, smooth_method="exp")
    return float(score.score)


def bleu_scores(counts: np.ndarray) -> np.ndarray:
    """Return scores, float64 [N], whose mean is the BLEU of sentences with these counts [N, 10].

    BLEU is no mean over sentences. Scores are its linear expansion at the counts of the corpus: N times the gradient,
    along the distance of the counts of a sentence from their mean. Intervals and differences of two networks that
    follow from such scores are those of the delta method.
    """
    whole = counts.sum(0)
    right, all_, words, wanted = _parts(whole)
    with np.errstate(divide="ignore"):
        slope = np.concatenate([np.where(right > 0, 1 / right, 0.0), np.where(all_ > 0, -1 / all_, 0.0)]) / _ORDER
    brevity = [wanted / words**2, -1 / words] if 0 < words < wanted else [0.0, 0.0]
    value = bleu_of(counts)
    away = counts - whole / len(counts)
    return value + value * len(counts) * (away @ np.concatenate([slope, brevity]))


def _parts(whole: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return the right n-grams, all n-grams, and the words of outputs and references."""
    return whole[:_ORDER], whole[_ORDER : 2 * _ORDER], int(whole[-2]), int(whole[-1])


def _bleu() -> BLEU:
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True)
