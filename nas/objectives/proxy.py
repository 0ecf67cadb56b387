"""A zero-cost proxy as an objective: a score of the untrained network."""

from nas.objectives.objective import Objective, Role
from nas.scoring import RememberedScores
from search_spaces import Architecture
from supernets.estimate import Estimate


class ProxyScore(Objective):
    """The score of one proxy; several objectives share the passes.

    Args:
        name: Name of the proxy.
        scores: Computes the scores; shared by the objectives of one search.
    """

    unit = "score"
    role: Role = "quality"
    serial = True  # all scores are kept in one file

    def __init__(self, name: str, scores: RememberedScores) -> None:
        self.name, self.scores = name, scores
        self.maximise = scores.scorer.proxies[name].maximise

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        """Return the score; raise ValueError with the reasons where the proxy has none for this architecture."""
        scored = self.scores(architecture)
        if self.name not in scored.values:
            raise ValueError(f"{self.name} has no score: {'; '.join(scored.reasons.values())}")
        return Estimate(scored.values[self.name])
