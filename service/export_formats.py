"""The file formats that trained networks are exported in, for the catalogue."""

from service.entries import ExportFormat

_ONNX = ("onnx", "onnxruntime", "onnxscript")
_ONNX_INSTALL = "pip install 'espalier-nas[onnx]'"
EXPORT_FORMATS = {
    "onnx": ExportFormat(
        "nas.export.onnx:write_onnx",
        "ONNX, for ONNX Runtime and most others",
        "model.onnx",
        _ONNX,
        "onnxruntime.InferenceSession('model.onnx').run(None, {{{feed}}}); needs onnxruntime alone",
        _ONNX_INSTALL,
    ),
    "pt2": ExportFormat(
        "nas.export.exported_program:write_exported_program",
        "torch.export, needs torch alone",
        "model.pt2",
        opened_by="torch.export.load('model.pt2').module()({inputs}); needs torch alone",
    ),
    "safetensors": ExportFormat(
        "nas.export.safetensors_card:write_safetensors",
        "weights, to rebuild the torch module",
        "model.safetensors",
        opened_by="nas.export.load_network('card.json') gives the module; needs torch and this package",
    ),
    "halves": ExportFormat(
        "nas.export.two_halves:write_halves",
        "split computing: weights of the halves on device and server",
        "halves.json",
        opened_by="nas.export.load_halves('halves.json') gives both halves; needs torch and this package",
        companions=(".device.safetensors", ".server.safetensors"),
    ),
    "halves_onnx": ExportFormat(
        "nas.export.two_halves:write_halves_onnx",
        "split computing: ONNX of the halves on device and server",
        "halves_onnx.json",
        _ONNX,
        "onnxruntime.InferenceSession('halves_onnx.device.onnx') on the device, 'halves_onnx.server.onnx' on the "
        "server; the manifest says what is sent between them",
        _ONNX_INSTALL,
        companions=(".device.onnx", ".server.onnx"),
    ),
    "int8": ExportFormat(
        "nas.export.quantised:write_int8",
        "ONNX in 8 bits, calibrated on training examples",
        "model.int8.onnx",
        _ONNX,
        "the same, in 8 bits",
        _ONNX_INSTALL,
    ),
    "onnx_from_image": ExportFormat(
        "nas.export.onnx_from_image:write_onnx_from_image",
        "ONNX with the preprocessing inside: bytes of an image in, probabilities out",
        "model.from_image.onnx",
        _ONNX,
        "onnxruntime.InferenceSession('model.from_image.onnx').run(None, {{'image': image}}), where image is uint8 "
        "[batch, height, width, channels] of any size, upright; needs onnxruntime alone",
        _ONNX_INSTALL,
    ),
    "openvino": ExportFormat(
        "nas.export.openvino_ir:write_openvino",
        "OpenVINO, for Intel's processors",
        "model.xml",
        ("openvino", "onnx", "onnxscript"),
        "openvino.Core().compile_model('model.xml')({{{feed}}}); model.bin has to lie beside it",
        install="pip install 'espalier-nas[openvino]'",
        companions=(".bin",),
    ),
    "litert": ExportFormat(
        "nas.export.litert:write_litert",
        "LiteRT (TensorFlow Lite), for telephones and small boards",
        "model.tflite",
        ("litert_torch", "ai_edge_litert"),
        "ai_edge_litert.interpreter.Interpreter('model.tflite'); batches of one",
        install="see the guide, page Export",
    ),
}
