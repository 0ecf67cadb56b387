"""Training many architectures at once: supernets, what they train on and how."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from supernets.calibration import calibrate, require_calibrated
    from supernets.samplers import Fair, LearnedSampler, PathAdaptive, Sampler, Sandwich, Shift, Sorted, Uniform
    from supernets.supernet import Supernet, left_as_it_was
    from supernets.training.config import TrainConfig
    from supernets.training.distributed import Processes, processes
    from supernets.training.few_shot import train_few_shot
    from supernets.training.loop import train
    from supernets.training.phases import Phase, phases, progressive_shrinking
    from supernets.training.split_config import SplitConfig
    from supernets.transforms import Partition, load_supernet, sort_channels, split

__all__ = [
    "Fair",
    "LearnedSampler",
    "Partition",
    "PathAdaptive",
    "Phase",
    "Processes",
    "Sampler",
    "Sandwich",
    "Shift",
    "Sorted",
    "SplitConfig",
    "Supernet",
    "TrainConfig",
    "Uniform",
    "calibrate",
    "left_as_it_was",
    "load_supernet",
    "phases",
    "processes",
    "progressive_shrinking",
    "require_calibrated",
    "sort_channels",
    "split",
    "train",
    "train_few_shot",
]

__getattr__ = lazy(__name__, __file__)
