"""Small spaces of networks for text: the width of one hidden layer."""

from dataclasses import dataclass

from torch import Tensor, nn

from search_spaces import Decision, Space
from search_spaces.elastic import ElasticLinear, Size
from search_spaces.inputs import Input
from supernets.tasks.token_ids import PADDING

FEATURES = 16
WIDTHS = (4, 8, 32)


@dataclass
class Context:
    """What sources are about [B, F]."""

    of: Tensor

    def select(self, rows: Tensor) -> "Context":
        return Context(self.of[rows])


class Scores(nn.Module):
    """Features [..., F] -> scores [..., V], through a hidden layer of elastic width."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        width = Size("width", {one: one for one in WIDTHS})
        self.hidden = nn.Sequential(ElasticLinear(FEATURES, width), nn.ReLU(), ElasticLinear(width, FEATURES))
        self.scores = nn.Linear(FEATURES, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x + self.hidden(x))


class TinyTranslator(nn.Module):
    """Scores of the next token from the last one and the mean of the source."""

    def __init__(self, source_vocabulary: int, target_vocabulary: int) -> None:
        super().__init__()
        self.source, self.target = (nn.Embedding(n, FEATURES) for n in (source_vocabulary, target_vocabulary))
        self.head = Scores(target_vocabulary)

    def encode(self, source: Tensor) -> Context:
        there = (source != PADDING)[..., None].float()
        return Context((self.source(source) * there).sum(1) / there.sum(1))

    def decode(self, tokens: Tensor, state: Context) -> Tensor:
        return self.head(self.target(tokens) + state.of)

    def forward(self, source: Tensor, written: Tensor) -> Tensor:
        return self.head(self.target(written) + self.encode(source).of[:, None])


class TinyReader(nn.Module):
    """Scores at each place from the token there and the mean of the row."""

    def __init__(self, vocabulary: int, masked: bool) -> None:
        super().__init__()
        self.tokens, self.head, self.masked = nn.Embedding(vocabulary, FEATURES), Scores(vocabulary), masked

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens)
        return self.head(x + x.mean(1, keepdim=True) if self.masked else x)


def translators(*, source_vocabulary: int = 320, target_vocabulary: int = 320) -> Space:
    """Return translators of three widths."""
    inputs = tuple(Input((8,), dtype="int64", values=n) for n in (source_vocabulary, target_vocabulary))
    return _space("translators", inputs, lambda: TinyTranslator(source_vocabulary, target_vocabulary))


def readers(*, vocabulary: int = 320, masked: float = 0.0) -> Space:
    """Return networks of three widths that read one language."""
    inputs = (Input((8,), dtype="int64", values=vocabulary),)
    return _space("readers", inputs, lambda: TinyReader(vocabulary, masked > 0))


def _space(name: str, inputs: tuple[Input, ...], build) -> Space:  # type: ignore[no-untyped-def]
    return Space(name=name, decisions=(Decision("width", WIDTHS),), inputs=inputs, build=build)
