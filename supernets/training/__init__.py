"""How supernets are trained."""

from supernets.training.checkpoint import final_optimizer_state
from supernets.training.config import TrainConfig
from supernets.training.distributed import Processes, processes
from supernets.training.loop import TrainingImages, train
from supernets.training.phases import Phase, phases, progressive_shrinking

__all__ = [
    "Phase",
    "Processes",
    "TrainConfig",
    "TrainingImages",
    "final_optimizer_state",
    "phases",
    "processes",
    "progressive_shrinking",
    "train",
]
