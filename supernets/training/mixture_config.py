"""The settings of a training of several supernets, each for the architectures that suit it."""

from dataclasses import dataclass

from search_spaces.limits import check_fields, check_most

_MOST = {"members": 64, "sharpness": 1e6}


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Settings of a balanced mixture of supernets.

    Args:
        members: Number of supernets. One is trained in each step, so each learns from a part of the epochs.
        share: Part of the training examples that say which supernet suits an architecture; the weights learn from the
            others. Every batch holds this part of both.
        memory: Weight of earlier accuracies in the running average of each pair of architecture and supernet.
        sharpness: Inverse temperature of the assignment at the end. It is 1 at the beginning and rises linearly.
    """

    members: int = 4
    share: float = 0.5
    memory: float = 0.9
    sharpness: float = 100.0

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits: list[tuple[str, bool, str]] = [
            ("members", self.members >= 1, "at least 1"),
            ("share", 0 < self.share < 1, "between 0 and 1"),
            ("memory", 0 <= self.memory < 1, "from 0 to below 1"),
            ("sharpness", self.sharpness >= 1, "at least 1"),
        ]
        check_fields(self, limits)
