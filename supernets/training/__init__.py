"""How supernets are trained."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from supernets.training.checkpoint import final_optimizer_state
    from supernets.training.config import TrainConfig
    from supernets.training.distributed import Processes, processes
    from supernets.training.examples import TrainingData
    from supernets.training.few_shot import train_few_shot
    from supernets.training.loop import LoopConfig, Run, train_steps
    from supernets.training.phases import Phase, progressive_shrinking
    from supernets.training.schedule import Stretch
    from supernets.training.split_config import SplitConfig
    from supernets.training.steps.step import Moment, Step
    from supernets.training.steps.supernet import SupernetStep
    from supernets.training.supernet_training import train

__all__ = [
    "LoopConfig",
    "Moment",
    "Phase",
    "Processes",
    "Run",
    "SplitConfig",
    "Step",
    "Stretch",
    "SupernetStep",
    "TrainConfig",
    "TrainingData",
    "final_optimizer_state",
    "processes",
    "progressive_shrinking",
    "train",
    "train_few_shot",
    "train_steps",
]

__getattr__ = lazy(__name__, __file__)
