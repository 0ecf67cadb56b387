"""Parts that can be skipped: one input, one output of the same shape, and an identity path between them."""

import torch.nn.functional as F
from torch import Tensor, nn

from tests.search_spaces.tracing.small import proven


class Block(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(into, 5, 3, padding=1), nn.Conv2d(5, out, 1)
        self.short = nn.Identity() if into == out else nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.narrow(F.relu(self.wide(x))) + self.short(x))


class Moved(nn.Module):
    """A block that works with channels last, and one whose identity path mixes positions by mistake."""

    def __init__(self, back: bool) -> None:
        super().__init__()
        self.mix, self.back = nn.Linear(4, 4), back

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1)
        y = y + self.mix(y)
        return y.permute(0, 3, 1, 2) if self.back else y.permute(0, 3, 2, 1)


def test_blocks_are_found_inside_stages_and_a_change_of_width_cannot_be_skipped():
    stages = nn.Sequential(nn.Sequential(Block(4, 4), Block(4, 4)), nn.Sequential(Block(4, 6), Block(6, 6)))
    traced = proven(nn.Sequential(nn.Conv2d(3, 4, 1), stages, nn.Conv2d(6, 2, 1)), 3, 4, 4)
    assert [block.scope for block in traced.blocks] == ["1.0.0", "1.0.1", "1.1.1"]


def test_a_skipped_part_names_what_enters_and_leaves_and_everything_that_only_it_needs():
    traced = proven(nn.Sequential(nn.Conv2d(3, 4, 1), Block(4, 4), nn.Conv2d(4, 2, 1)), 3, 4, 4)
    (block,) = traced.blocks
    nodes = {node.name: node for node in traced.graph.nodes}
    tensors = {str(nodes[name].target) for name in block.nodes if nodes[name].op == "get_attr"}
    assert tensors == {"1.wide.weight", "1.wide.bias", "1.narrow.weight", "1.narrow.bias"}
    assert nodes[block.enters].meta["scope"] == "0"
    assert all(user.meta["scope"] == "2" for user in nodes[block.leaves].users)
    inside = set(block.nodes)
    outside = [user for name in inside - {block.leaves} for user in nodes[name].users if user.name not in inside]
    assert outside == []


def test_a_path_counts_only_if_it_brings_every_element_back_to_its_place():
    def scopes(back: bool) -> list[str]:
        traced = proven(nn.Sequential(nn.Conv2d(3, 4, 1), Moved(back), nn.Conv2d(4, 2, 1)), 3, 4, 4)
        return [block.scope for block in traced.blocks]

    assert scopes(True) == ["1"]
    assert scopes(False) == []


def test_an_activation_alone_is_no_block():
    assert proven(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)), 3, 4, 4).blocks == ()
