"""The networks of ProxylessNAS."""

from collections.abc import Sequence

from torch import Tensor, nn

_NORM_EPS = 1e-3


class ProxylessNetwork(nn.Module):
    """Stem, first block, stages, head; images [B, C, H, W] -> logits [B, classes]."""

    def __init__(
        self,
        stem: nn.Module,
        first: nn.Module,
        stages: Sequence[Sequence[nn.Module]],
        head: tuple[nn.Module, nn.Module],
        dropout: float,
    ) -> None:
        super().__init__()
        self.stem, self.first = stem, first
        self.stages = nn.Sequential(*(nn.Sequential(*layers) for layers in stages))
        self.head, classifier = head
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = _NORM_EPS

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.stages(self.first(self.stem(x))))
        return self.classifier(self.dropout(x.mean((2, 3))))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive feature maps: stem and the blocks that are not a skip."""
        stages = (stage for stage in self.stages if isinstance(stage, nn.Sequential))
        return [self.stem, self.first, *(b for stage in stages for b in stage if not isinstance(b, nn.Identity))]
