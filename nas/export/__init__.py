"""Trained networks in the formats that people deploy; every file is run and compared before it counts."""

from nas.export.deployable import Deployable, describe
from nas.export.exported_program import write_exported_program
from nas.export.image_inputs import preprocess
from nas.export.litert import write_litert
from nas.export.onnx import write_onnx
from nas.export.onnx_from_image import write_onnx_from_image
from nas.export.openvino_ir import write_openvino
from nas.export.quantised import write_int8
from nas.export.safetensors_card import load_network, restored, write_safetensors
from nas.export.two_halves import load_halves, write_halves, write_halves_onnx

__all__ = [
    "Deployable",
    "describe",
    "load_halves",
    "load_network",
    "preprocess",
    "restored",
    "write_exported_program",
    "write_halves",
    "write_halves_onnx",
    "write_int8",
    "write_litert",
    "write_onnx",
    "write_onnx_from_image",
    "write_openvino",
    "write_safetensors",
]
