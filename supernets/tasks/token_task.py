"""What tasks share whose networks give a score for each token at each place of a row.

Paper: label smoothing, arXiv 1512.00567; soft targets of a teacher, arXiv 1503.02531 at temperature 1.
Differs: the loss is a mean over tokens, not over examples: every token of a batch has the same weight. Places whose
target is padding are not judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_spaces.errors import FieldError
from supernets.estimate import Estimate
from supernets.tasks.outcomes import Breakdown, Mistake, Outcomes
from supernets.tasks.task import Batch, Metric, Task
from supernets.tasks.token_ids import PADDING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

PERPLEXITY = Metric("perplexity", "", maximise=False, low=1.0)
Texts = Callable[[Iterable[int]], str]
"""Gives the text of a row of tokens."""


@dataclass(frozen=True, kw_only=True)
class TokenTask(Task):
    """Batches whose last tensor holds the token [B, T] at each place, padding where none is judged; networks give
    logits [B, T, V].

    Args:
        label_smoothing: Part of the target that is spread over all tokens in training.
        texts: Gives the text of a row of tokens, for reports; the data say it. None for reports without text.
    """

    label_smoothing: float = 0.0
    texts: Texts | None = None

    metric = PERPLEXITY
    examples = "lines"
    predicts = "one unnormalised score for each token at each place"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise FieldError("label_smoothing", f"must be from 0 to below 1, got {self.label_smoothing}")
        if self.texts is not None and not callable(self.texts):
            raise FieldError("texts", f"must be given by the data, got {self.texts!r}")

    def loss(
        self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the cross entropy with the tokens, or with the probabilities of a teacher; the mean over tokens."""
        import torch.nn.functional as F

        targets = batch[-1]
        if weights is None and teacher is None:
            flat, smoothing = output.flatten(0, 1), self.label_smoothing
            return F.cross_entropy(flat, targets.flatten(), ignore_index=PADDING, label_smoothing=smoothing)
        losses = self._token_losses(output, targets, teacher).sum(1)
        return (losses if weights is None else losses * weights).sum() / self.terms(batch)

    def _token_losses(self, output: Tensor, targets: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Return the cross entropy at each place [B, T], 0 where nothing is judged."""
        import torch.nn.functional as F

        if teacher is not None:
            losses = F.cross_entropy(output.flatten(0, 1), teacher.flatten(0, 1).softmax(-1), reduction="none")
            return losses.view_as(targets) * (targets != PADDING)
        options: dict[str, Any] = {"ignore_index": PADDING, "label_smoothing": self.label_smoothing}
        losses = F.cross_entropy(output.flatten(0, 1), targets.flatten(), reduction="none", **options)
        return losses.view_as(targets)

    def terms(self, batch: Batch) -> Tensor:
        """Return the number of tokens that are judged."""
        return (batch[-1] != PADDING).sum()

    def output_errors(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the norm of (softmax(logits) - onehot(tokens)) B / T over the judged places of each example [B].

        B examples of a batch have T tokens. Label smoothing has no part in it.
        """
        targets = batch[-1]
        off = output.detach().softmax(dim=-1)
        off = off.scatter_add(2, targets[..., None], off.new_full((*targets.shape, 1), -1.0))
        off = off.masked_fill((targets == PADDING)[..., None], 0.0)
        return off.flatten(1).norm(dim=1) * (len(output) / self.terms(batch))

    # ---- judging ----------------------------------------------------------------------------------------------------

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return the perplexity.

        Raises:
            ValueError: The model is not calibrated, or there are no batches.
        """
        lost: Any = 0.0
        tokens: Any = 0
        for _, losses, count in self._judged(model, batches):
            lost, tokens = lost + losses.sum(), tokens + count.sum()
        return Estimate(perplexity(float(lost), int(tokens)))

    def outcomes(self, model: nn.Module, batches: Iterable[Batch]) -> Outcomes:
        """Return the loss and the number of tokens of each example, and scores whose mean is the perplexity.

        The perplexity P = exp(L / T) is no mean over examples. Scores are its linear expansion: an example with loss l
        and t tokens, of N examples, has P + N P (l - t L / T) / T. Intervals and differences of two networks that
        follow from such scores are those of the delta method.

        Raises:
            ValueError: The model is not calibrated, or there are no batches.
        """
        import numpy as np
        import torch

        parts, lines = [], []
        for batch, losses, count in self._judged(model, batches):
            parts.append((losses, count))
            lines += self._lines(batch)
        lost, tokens = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
        text = {"text": np.array(lines)} if lines else {}
        return Outcomes(perplexity_scores(lost, tokens), {"loss": lost, "tokens": tokens.astype(np.int32), **text})

    def _lines(self, batch: Batch) -> list[str]:
        """Return the text of each example of a batch; nothing where it cannot be told, which is the default."""
        return []

    def _judged(self, model: nn.Module, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """Yield each batch with the loss of its examples, float64 [B], and their numbers of tokens [B].

        Raises:
            ValueError: The model is not calibrated, or there are no batches.
        """
        import torch

        plain = self.plain()
        assert isinstance(plain, TokenTask)
        for batch in self._ready(model, batches):
            with torch.inference_mode():
                output = model(*self.inputs(batch)).float()
                losses = plain._token_losses(output, batch[-1]).double().sum(1)
            yield batch, losses, (batch[-1] != PADDING).sum(1)

    def _ready(self, model: nn.Module, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches for a model that is in evaluation mode.

        Raises:
            ValueError: The model is not calibrated, or there are no batches.
        """
        from supernets.calibration import require_calibrated

        require_calibrated(model)
        model.eval()
        seen = False
        for batch in batches:
            seen = True
            yield batch
        if not seen:
            raise ValueError(f"a {self.metric.name} needs at least one example, got none")

    def breakdown(self, outcomes: Outcomes, names: Any = ()) -> Breakdown:
        """Return the loss of a token."""
        return Breakdown(numbers={"loss": (float(mean_loss(outcomes)), "nats per token")})

    def mistakes(self, outcomes: Outcomes, names: Any = (), *, most: int = 12) -> list[Mistake]:
        """Return the examples with the highest loss of a token."""
        import numpy as np

        each = outcomes.columns["loss"] / outcomes.columns["tokens"]
        text = outcomes.columns.get("text")
        worst = np.argsort(-each, kind="stable")[:most]
        said = {int(i): f"perplexity {perplexity(float(each[i]), 1):.3g}" for i in worst}
        return [Mistake(i, one if text is None else f'{one}: "{text[i]}"') for i, one in said.items()]


def mean_loss(outcomes: Outcomes) -> float:
    """Return the loss of a token over all examples."""
    return float(outcomes.columns["loss"].sum()) / int(outcomes.columns["tokens"].sum())


def perplexity(lost: float, tokens: int) -> float:
    """Return exp(loss of a token), as far as numbers reach."""
    return max(1.0, math.exp(min(700.0, lost / tokens)))


def perplexity_scores(lost: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Return scores, float64 [N], whose mean is the perplexity, see `TokenTask.outcomes`."""
    whole, count = float(lost.sum()), int(tokens.sum())
    value = perplexity(whole, count)
    return value + len(lost) * value * (lost - tokens * (whole / count)) / count
