"""Training many architectures at once: supernets, what they train on and how."""

from supernets.calibrate import calibrate, require_calibrated
from supernets.samplers import Fair, LearnedSampler, PathAdaptive, Sampler, Sandwich, Shift, Sorted, Uniform
from supernets.supernet import Supernet, left_as_it_was
from supernets.training import (
    Phase,
    Processes,
    SplitConfig,
    TrainConfig,
    phases,
    processes,
    progressive_shrinking,
    train,
    train_few_shot,
)
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
