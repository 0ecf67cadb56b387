"""Training many architectures at once: supernets, what they train on and how."""

from supernets.calibrate import calibrate, require_calibrated
from supernets.samplers import Fair, LearnedSampler, PathAdaptive, Sampler, Sandwich, Shift, Sorted, Uniform
from supernets.supernet import Supernet
from supernets.training import Phase, Processes, TrainConfig, phases, processes, progressive_shrinking, train
from supernets.transforms import sort_channels

__all__ = [
    "Fair",
    "LearnedSampler",
    "PathAdaptive",
    "Phase",
    "Processes",
    "Sampler",
    "Sandwich",
    "Shift",
    "Sorted",
    "Supernet",
    "TrainConfig",
    "Uniform",
    "calibrate",
    "phases",
    "processes",
    "progressive_shrinking",
    "require_calibrated",
    "sort_channels",
    "train",
]
