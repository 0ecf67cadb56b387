"""Measuring on hardware."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from nas.hardware.config import Conditions, LatencyConfig
    from nas.hardware.latency import Meter, conditions, measure, measure_latency
    from nas.hardware.measurement import Measurement, MeasurementFailed
    from nas.hardware.remote import DeviceUnreachable

__all__ = [
    "Conditions",
    "DeviceUnreachable",
    "LatencyConfig",
    "Measurement",
    "MeasurementFailed",
    "Meter",
    "conditions",
    "measure",
    "measure_latency",
]

__getattr__ = lazy(__name__, __file__)
