"""Other sizes of image: those at which the graph is the same, with the literals that differ."""

import pytest
import torch
from torch import Tensor, nn

from search_spaces.tracing import BATCH, TraceError, trace


class Windows(nn.Module):
    """Attention-like windows of 4 pixels, whose number is a literal of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        batch, channels, height, width = x.shape
        x = x.view(batch, channels, height // 4, 4, width // 4, 4).mean((3, 5))
        return self.head(x.flatten(2).transpose(1, 2).mean(1))


class Fixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


def test_literals_that_follow_the_side_are_kept():
    traced = trace(Windows(), (torch.zeros(1, 3, 16, 16),), sides=(8, 12, 16))
    assert list(traced.literals) == [8, 12, 16]
    assert traced.literals[16] == {}
    (node,) = traced.literals[8]
    assert traced.literals[8][node][1] == [BATCH, 4, 2, 4, 2, 4]


def test_a_network_of_one_size_has_no_other_sides():
    assert list(trace(Fixed(), (torch.zeros(1, 3, 8, 8),), sides=(4,)).literals) == [8]
    assert trace(nn.Linear(3, 2), (torch.zeros(1, 3),), sides=(4,)).literals == {}


def test_a_network_that_cannot_be_exported_says_so_in_one_line():
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(TraceError, match="cannot be exported as a graph: ") as failure:
        trace(Branches(), (torch.zeros(1, 3),))
    assert "\n" not in str(failure.value)


def test_a_size_that_would_be_taken_for_the_batch_is_refused():
    with pytest.raises(TraceError, match=r"0\.weight has the shape"):
        trace(nn.Sequential(nn.Linear(3, 2 * BATCH), nn.Linear(2 * BATCH, 2)), (torch.zeros(1, 3),))
