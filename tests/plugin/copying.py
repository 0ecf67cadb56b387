"""A task of sequences: numbers are copied, from two inputs, and judged by the share of positions that are right.

The source, the task and the space lie together, as they may in a module of a user.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.data import DataConfig
from nas.data.tensors import TensorSource
from search_spaces import Decision, Space
from search_spaces.elastic import ElasticDepth, ElasticLinear, Size
from search_spaces.inputs import Input
from search_spaces.places import Block, Place
from supernets.calibration import require_calibrated
from supernets.estimate import Estimate
from supernets.tasks import Batch, Metric, Task

WIDTH = 16


def sequences(config: DataConfig, *, count: int = 300, length: int = 6, tokens: int = 8) -> TensorSource:
    """Return random sequences with the positions of their tokens; what is to be learned is the sequence itself."""
    text = torch.randint(0, tokens, (count, length), generator=torch.Generator().manual_seed(0))
    return TensorSource(
        config=config,
        name="sequences",
        task="tests.plugin.copying:Copying",
        facts={"tokens": tokens, "length": length},
        train=(text, torch.arange(length).expand(count, length).contiguous(), text.clone()),
    )


class Copying(Task):
    """Batches of tokens [B, L], positions [B, L] and the tokens to give [B, L]; networks give scores [B, L, tokens]."""

    metric = Metric("token_accuracy", "%", maximise=True, low=0.0, high=100.0)
    examples = "sequences"

    def loss(
        self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        target = batch[-1] if teacher is None else teacher.softmax(-1).transpose(1, 2)
        losses = F.cross_entropy(output.transpose(1, 2), target, reduction="none").mean(1)
        return (losses if weights is None else losses * weights).mean()

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        require_calibrated(model)
        model.eval()
        right = torch.cat([(model(*self.inputs(b)).argmax(-1) == b[-1]).float().flatten() for b in batches])
        return Estimate(100.0 * float(right.mean()))


class Copier(nn.Module):
    """Tokens and positions [B, L] -> scores [B, L, tokens]."""

    def __init__(self, tokens: int, length: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(tokens, WIDTH), nn.Embedding(length, WIDTH)
        layers = (
            nn.Sequential(
                ElasticLinear(WIDTH, (width := Size(f"layer{i}.width", {w: w for w in widths}))),
                nn.ReLU(),
                ElasticLinear(width, WIDTH),
            )
            for i in range(1, max(depths) + 1)
        )
        self.layers = ElasticDepth(layers, Size("depth", {d: d for d in depths}))
        self.scores = nn.Linear(WIDTH, tokens)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.scores(self.layers(self.token(tokens) + self.position(positions)))


def copiers(*, tokens: int = 8, length: int = 6, widths: tuple[int, ...] = (2, 4, 16)) -> Space:
    """Return the space of copiers with one or two hidden layers.

    Args:
        tokens: Distinct tokens.
        length: Of a sequence.
        widths: Choices of the units of a hidden layer, ascending.
    """
    depths = (1, 2)

    def hidden(layer: int, depth: int, width: int) -> Block | None:
        if layer > depth:
            return None
        costs = {"params": 2 * WIDTH * width + width + WIDTH, "macs": 2 * WIDTH * width * length}
        build = lambda: nn.Sequential(nn.Linear(WIDTH, width), nn.ReLU(), nn.Linear(width, WIDTH))  # noqa: E731
        return Block(f"hidden {width}", (length, WIDTH), build, lambda: costs)

    def ends() -> Block:
        """The layer of scores; the two tables of embeddings, which multiply nothing, are counted with it."""
        params = WIDTH * tokens + tokens + (tokens + length) * WIDTH
        costs = {"params": params, "macs": WIDTH * tokens * length}
        return Block("ends", (length, WIDTH), lambda: nn.Linear(WIDTH, tokens), lambda: costs)

    return Space(
        name="copiers",
        decisions=(
            Decision("depth", depths),
            Decision("layer1.width", widths),
            Decision("layer2.width", widths, "depth", (2,)),
        ),
        inputs=(Input((length,), "int64", values=tokens), Input((length,), "int64", values=length)),
        build=lambda: Copier(tokens, length, tuple(widths), depths),
        places=lambda: [
            Place(("depth", "layer1.width"), lambda depth, width: hidden(1, depth, width)),
            Place(("depth", "layer2.width"), lambda depth, width: hidden(2, depth, width)),
            Place((), ends),
        ],
    )
