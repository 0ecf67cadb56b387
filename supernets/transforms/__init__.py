"""Supernet -> supernet."""

from supernets.transforms.gradient_matching import (
    Cut,
    best_cut,
    compared_parameters,
    cut_of,
    distances,
    eligible,
    parameters_of,
)
from supernets.transforms.grouping import partition
from supernets.transforms.sort_channels import sort_channels
from supernets.transforms.split import Part, Partition, split

__all__ = [
    "Cut",
    "Part",
    "Partition",
    "best_cut",
    "compared_parameters",
    "cut_of",
    "distances",
    "eligible",
    "parameters_of",
    "partition",
    "sort_channels",
    "split",
]
