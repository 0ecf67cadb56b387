"""Supernet -> supernet."""

from supernets.transforms.sort_channels import sort_channels

__all__ = ["sort_channels"]
