"""The networks of NAS-Bench-Macro."""

from collections.abc import Mapping

from torch import Tensor, nn


class NASBenchMacroNetwork(nn.Module):
    """Stem, layers, head; images [B, C, H, W] -> logits [B, classes]."""

    def __init__(
        self, stem: nn.Module, layers: Mapping[str, nn.Module], head: nn.Module, classifier: nn.Module
    ) -> None:
        super().__init__()
        self.stem = stem
        self.layers = nn.Sequential()
        for name, layer in layers.items():
            self.layers.add_module(name, layer)
        self.head, self.classifier = head, classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.head(self.layers(self.stem(x))).mean((2, 3)))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive feature maps: stem and all layers but plain skips."""
        return [self.stem, *(layer for layer in self.layers if not isinstance(layer, nn.Identity))]
