"""Devices by name for the roofline model: peak fp32 arithmetic and memory traffic from the makers' data sheets.

No data sheet has the time to start a layer: 5 microseconds is a common figure for launching a kernel on a GPU.
"""

from nas.hardware.roofline import AnalyticDevice


def v100() -> AnalyticDevice:
    """Return the peaks of NVIDIA V100 SXM2: 15.7 TFLOP/s, 900 GB/s (Tesla V100 data sheet)."""
    return AnalyticDevice(tflops=15.7, bandwidth_gb_s=900)


def a100() -> AnalyticDevice:
    """Return the peaks of NVIDIA A100 SXM 80 GB: 19.5 TFLOP/s, 2039 GB/s (A100 data sheet); without TF32."""
    return AnalyticDevice(tflops=19.5, bandwidth_gb_s=2039)


def h100() -> AnalyticDevice:
    """Return the peaks of NVIDIA H100 SXM: 67 TFLOP/s, 3350 GB/s (H100 data sheet)."""
    return AnalyticDevice(tflops=67, bandwidth_gb_s=3350)


def h200() -> AnalyticDevice:
    """Return the peaks of NVIDIA H200 SXM: 67 TFLOP/s, 4800 GB/s (H200 data sheet)."""
    return AnalyticDevice(tflops=67, bandwidth_gb_s=4800)


def jetson_agx_orin() -> AnalyticDevice:
    """Return the peaks of NVIDIA Jetson AGX Orin 64 GB: 5.3 TFLOP/s, 204.8 GB/s (Jetson AGX Orin technical brief)."""
    return AnalyticDevice(tflops=5.3, bandwidth_gb_s=204.8)
