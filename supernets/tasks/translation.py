"""Translation: a target for each source, judged by BLEU or perplexity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from search_spaces.errors import FieldError
from supernets.estimate import Estimate
from supernets.tasks import bleu
from supernets.tasks.beam import Beam
from supernets.tasks.outcomes import Breakdown, Mistake, Outcomes, Table
from supernets.tasks.task import Batch, Metric
from supernets.tasks.token_task import PERPLEXITY, Texts, TokenTask, mean_loss, perplexity, perplexity_scores

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

METRICS = {"bleu": Metric("bleu", "", maximise=True, low=0.0, high=100.0), "perplexity": PERPLEXITY}
_SAMPLES = 10
_LONG = 200
_TEXTS = ("source", "reference", "translation")


@dataclass(frozen=True, kw_only=True, init=False)
class Translation(TokenTask):
    """Batches of sources [B, S], targets from their beginning on [B, T] and targets to their end [B, T]; networks give
    logits [B, T, V].

    Args:
        label_smoothing: Part of the target that is spread over all tokens in training.
        metric: Metric that networks are judged by: `bleu`, of the text that beam search gives, or `perplexity` of the
            references, which is quicker and tells similar networks apart better. Tested networks have both.
        beam: Targets that beam search keeps at each step; 1 for the most likely token at each step.
        length_penalty: Power of the length that the logarithm of the probability of a target is divided by.
        longest: Most tokens of a target that is written, its end included.
        texts: Gives the text of a row of tokens; the data say it. None for perplexity alone.
    """

    metric: Metric
    beam: Beam

    examples, judging = "sentence pairs", ("metric", "beam", "length_penalty")
    predicts = "one unnormalised score for each token that may come next in the target"

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        metric: Literal["bleu", "perplexity"] = "bleu",
        beam: int = 4,
        length_penalty: float = 1.0,
        longest: int = 256,
        texts: Texts | None = None,
    ) -> None:
        if metric not in METRICS:
            raise FieldError("metric", f"must be one of {', '.join(METRICS)}, got {metric!r}")
        if metric == "bleu" and texts is None:
            raise FieldError("metric", "must be perplexity, since these data have no text to compare, got 'bleu'")
        if texts is not None and not bleu.is_installed():
            raise FieldError("metric", f"{metric!r} {bleu.INSTALL}")
        settings = Beam(size=beam, length_penalty=length_penalty, longest=longest)
        fields = {"label_smoothing": label_smoothing, "texts": texts, "metric": METRICS[metric], "beam": settings}
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    def plain(self) -> Translation:
        """Return the same without label smoothing."""
        return self._with(label_smoothing=0.0)

    def quick(self) -> Translation:
        """Return the same judged by perplexity, for which nothing has to be written."""
        return self._with(metric="perplexity")

    def _with(self, **changes: Any) -> Translation:
        kept: dict[str, Any] = {
            "label_smoothing": self.label_smoothing,
            "metric": self.metric.name,
            "beam": self.beam.size,
            "length_penalty": self.beam.length_penalty,
            "longest": self.beam.longest,
            "texts": self.texts,
        }
        return Translation(**{**kept, **changes})

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return the BLEU or the perplexity.

        Raises:
            ValueError: The model is not calibrated, or there are no batches.
        """
        if self.metric == PERPLEXITY:
            return super().evaluate(model, batches)
        texts = [text for batch in self._ready(model, batches) for text in self._written(model, batch)]
        counts = bleu.sentence_counts([text[2] for text in texts], [text[1] for text in texts])
        return Estimate(bleu.bleu_of(counts))

    def outcomes(self, model: nn.Module, batches: Iterable[Batch]) -> Outcomes:
        """Return loss, tokens, texts and what BLEU counts in each example, and scores whose mean is the metric.

        Neither metric is a mean over examples, see `TokenTask.outcomes` and `bleu_scores`.

        Raises:
            ValueError: The model is not calibrated, or there are no batches.
        """
        import numpy as np
        import torch

        lost, tokens, texts = [], [], []
        for batch, losses, count in self._judged(model, batches):
            lost.append(losses)
            tokens.append(count)
            texts += self._written(model, batch)
        columns: dict[str, Any] = {
            "loss": torch.cat(lost).cpu().numpy(),
            "tokens": torch.cat(tokens).cpu().numpy().astype(np.int32),
        }
        if not texts:
            return Outcomes(perplexity_scores(columns["loss"], columns["tokens"]), columns)
        columns |= {name: np.array(column) for name, column in zip(_TEXTS, zip(*texts, strict=True), strict=True)}
        columns["counts"] = bleu.sentence_counts(columns["translation"].tolist(), columns["reference"].tolist())
        if self.metric == PERPLEXITY:
            return Outcomes(perplexity_scores(columns["loss"], columns["tokens"]), columns)
        return Outcomes(bleu.bleu_scores(columns["counts"]), columns)

    def _written(self, model: nn.Module, batch: Batch) -> list[tuple[str, str, str]]:
        """Return source, reference and translation of each example of a batch; nothing where data have no text."""
        from supernets.tasks.beam_search import beam_search

        if self.texts is None:
            return []
        written = beam_search(model, batch[0], self.beam)
        rows = zip(batch[0].tolist(), batch[-1].tolist(), written, strict=True)
        return [(self.texts(source), self.texts(target), self.texts(found)) for source, target, found in rows]

    def breakdown(self, outcomes: Outcomes, names: Any = ()) -> Breakdown:
        """Return BLEU, perplexity and loss but for the metric of the task, and some translations.

        They are of examples from the shortest to the longest.
        """
        import numpy as np

        columns = outcomes.columns
        loss = mean_loss(outcomes)
        numbers = {"perplexity": (perplexity(loss, 1), ""), "loss": (loss, "nats per token")}
        tables = {}
        if "counts" in columns:
            numbers = {"bleu": (bleu.bleu_of(columns["counts"]), ""), **numbers}
            chosen = np.unique(np.linspace(0, len(outcomes.scores) - 1, _SAMPLES).round().astype(int))
            tables["translations"] = Table(list(_TEXTS), [[str(columns[name][i]) for name in _TEXTS] for i in chosen])
        numbers.pop(self.metric.name)
        return Breakdown(numbers=numbers, tables=tables)

    def mistakes(self, outcomes: Outcomes, names: Any = (), *, most: int = 12) -> list[Mistake]:
        """Return the examples with the lowest BLEU of a sentence of at least four words, and those of their texts."""
        columns = outcomes.columns
        if "counts" not in columns:
            return super().mistakes(outcomes, names, most=most)
        worst = _worst(columns["counts"])[:most]
        said = '"{source}" became "{translation}", the reference is "{reference}"'
        return [Mistake(int(i), said.format(**{name: _cut(str(columns[name][i])) for name in _TEXTS})) for i in worst]


def _cut(text: str) -> str:
    """Return the beginning of a text that is too long for a message."""
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _worst(counts: np.ndarray) -> np.ndarray:
    """Return the examples with a reference of at least four words in the order of their BLEU, the lowest first."""
    import numpy as np

    right, all_ = counts[:, :4], counts[:, 4:8]
    smooth = np.log((right + 1) / (all_ + 1)).mean(1) + np.minimum(0, 1 - counts[:, 9] / np.maximum(counts[:, 8], 1))
    order = np.argsort(smooth, kind="stable")
    return order[counts[order, 9] >= 4]
