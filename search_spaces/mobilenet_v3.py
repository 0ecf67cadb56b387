"""The published name of the MobileNetV3 spaces."""

from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3, small_mobilenet_v3

__all__ = ["ofa_mobilenet_v3", "small_mobilenet_v3"]
