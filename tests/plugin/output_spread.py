"""A proxy: how different the outputs of a fresh network are over a batch."""

from dataclasses import dataclass

from proxies import Passes, Proxy, Score


@dataclass(frozen=True, kw_only=True)
class OutputSpread(Proxy):
    """Standard deviation of the outputs times `scale`."""

    scale: float = 1.0

    def __call__(self, passes: Passes) -> Score:
        return Score(self.scale * float(passes.ordinary.output.std()))
