"""How supernets are trained."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from supernets.training.checkpoint import final_optimizer_state
    from supernets.training.config import TrainConfig
    from supernets.training.distributed import Processes, processes
    from supernets.training.few_shot import train_few_shot
    from supernets.training.images import TrainingImages
    from supernets.training.loop import train
    from supernets.training.phases import MakeSampler, Phase, progressive_shrinking
    from supernets.training.split_config import SplitConfig

__all__ = [
    "MakeSampler",
    "Phase",
    "Processes",
    "SplitConfig",
    "TrainConfig",
    "TrainingImages",
    "final_optimizer_state",
    "processes",
    "progressive_shrinking",
    "train",
    "train_few_shot",
]

__getattr__ = lazy(__name__, __file__)
