"""Elastic span: how many of the last layers of an encoder a layer of the decoder reads.

Paper: Wang et al., HAT, arXiv 2005.14187, section 3.1 (arbitrary encoder-decoder attention).
Differs: nothing known. A mixture of spans mixes what is read under each.
"""

from __future__ import annotations

from torch import nn

from search_spaces.architecture import Setting, Weight
from search_spaces.elastic.layer import Elastic
from search_spaces.elastic.mixing import refuse_mixtures
from search_spaces.sizes import AnySize, Mixture, largest, mixtures, resolve
from search_spaces.transformer import Span


class ElasticSpan(Elastic):
    """The part of what encoder layers gave that is read; their outputs stand one behind the other, the last first.

    Args:
        span: Number of layers that are read.
        most: Number of layers that there are.
    """

    def __init__(self, span: AnySize, most: int) -> None:
        super().__init__()
        self.span, self.most = span, most
        self.active_span = largest(span)
        self._mixed: dict[str, Mixture] = {}

    def activate(self, setting: Setting) -> None:
        span = resolve(self.span, setting)
        if span is not None:
            self.active_span, self._mixed = largest(span), mixtures(span=span)

    def parts(self, length: int) -> list[tuple[slice, Weight | None]]:
        """Return the places that are read of so many, and the weight of what is read there; None for one alone."""
        spans: dict[int, Weight | None] = {self.active_span: None}
        if self._mixed:
            spans = dict(self._mixed["span"].weights)
        return [(slice(length // self.most * span), weight) for span, weight in spans.items()]

    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        return Span(self.active_span, self.most).train(self.training)
