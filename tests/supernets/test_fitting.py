"""Networks that run large batches in parts where memory is short."""

import pytest
import torch
from torch import Tensor, nn

from supernets.fitting import divided_where_needed, examples_that_fit


class Small(nn.Module):
    """A network that has memory for so many examples at once."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.sizes = room, list[int]()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.sizes.append(len(x))
        return x + y


def test_a_batch_that_does_not_fit_runs_in_parts_and_later_ones_at_once_in_such_parts() -> None:
    network = Small(6).eval()
    x, y = torch.randn(21, 2), torch.randn(21, 2)
    with divided_where_needed(network):
        for _ in range(2):
            assert torch.equal(network(x, y), x + y)
        assert torch.equal(network(x[:4], y[:4]), (x + y)[:4])
    assert network.sizes == [6, 6, 6, 3] * 2 + [4]
    with pytest.raises(torch.OutOfMemoryError):
        network(x, y)


def test_batches_of_networks_that_learn_or_calibrate_stay_whole() -> None:
    network = Small(2).train()
    with divided_where_needed(network), pytest.raises(torch.OutOfMemoryError):
        network(torch.ones(4), torch.ones(4))


def test_one_example_that_does_not_fit_is_an_error() -> None:
    network = Small(0).eval()
    with divided_where_needed(network), pytest.raises(torch.OutOfMemoryError):
        network(torch.ones(4), torch.ones(4))
    assert "forward" not in vars(network)


class Wide(nn.Module):
    """A network that needs 256 MiB for each example."""

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, None].expand(-1, 2**26) * 2)[:, :3].clone()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_larger_than_the_card_runs_in_parts_on_cuda() -> None:
    device = torch.device("cuda")
    x = torch.arange(2000.0, device=device)
    network = Wide().eval()
    with torch.no_grad(), divided_where_needed(network):
        assert torch.equal(network(x), (2 * x)[:, None].expand(-1, 3))
    few, many = examples_that_fit(2**22, device), examples_that_fit(2**12, device)
    assert 1 <= few < many <= 10_000
