"""Training many architectures at once: supernets, what they train on and how."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from supernets.calibration import calibrate, require_calibrated
    from supernets.experts import with_experts
    from supernets.experts_config import ExpertsConfig
    from supernets.loading import load_supernet
    from supernets.mixture import Mixture
    from supernets.samplers import Fair, PathAdaptive, Sampler, Sandwich, Shift, Sorted, Uniform
    from supernets.supernet import Supernet, left_as_it_was
    from supernets.tasks import Classification, Metric, Task
    from supernets.ticket import Ticket
    from supernets.training.config import TrainConfig
    from supernets.training.distributed import Processes, processes
    from supernets.training.few_shot import train_few_shot
    from supernets.training.loop import LoopConfig, Run, train_steps
    from supernets.training.mixture_config import MixtureConfig
    from supernets.training.phases import Phase, phases, progressive_shrinking
    from supernets.training.schedule import Stretch
    from supernets.training.split_config import SplitConfig
    from supernets.training.steps.step import Moment, Step
    from supernets.training.supernet_training import train
    from supernets.training.ticket_config import TicketConfig
    from supernets.transforms import Partition, sort_channels, split
    from supernets.transforms.take_ticket import take_ticket

__all__ = [
    "Classification",
    "ExpertsConfig",
    "Fair",
    "LoopConfig",
    "Metric",
    "Mixture",
    "MixtureConfig",
    "Moment",
    "Partition",
    "PathAdaptive",
    "Phase",
    "Processes",
    "Run",
    "Sampler",
    "Sandwich",
    "Shift",
    "Sorted",
    "SplitConfig",
    "Step",
    "Stretch",
    "Supernet",
    "Task",
    "Ticket",
    "TicketConfig",
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
    "take_ticket",
    "train",
    "train_few_shot",
    "train_steps",
    "with_experts",
]

__getattr__ = lazy(__name__, __file__)
