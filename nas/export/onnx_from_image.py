"""ONNX with the preprocessing inside: it takes bytes of an image of any size and gives what applications read.

The graph resizes, crops and scales as training does. An image comes in upright, over white and with 8 bits a channel:
the reader of the file handles what a file format, a camera or EXIF says about it (`card.json` lists this).

Differs: Pillow rounds to bytes between its two passes of a resize. ONNX Runtime may run the passes in the other order,
so single pixels differ by one level, and by more in noise that clips.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from nas.data.images.preprocessing import Preprocessing
from nas.export.deployable import TOLERANCE, Deployable
from nas.export.image_inputs import preprocess
from nas.export.onnx import forget_sources, runtime
from nas.hardware.examples import batch_of
from nas.hardware.onnx_model import onnx_bytes
from supernets.tasks import Task

IMAGE = "image"
RESIZED_TOLERANCE = 0.05
"""Of the output for an image that was resized, relative to the largest output: some pixels differ by a level."""
_SHAPES = ((1.0, 1.0), (1.5, 1.2), (0.7, 0.9), (2.5, 3.0))  # heights and widths that are checked, in sides of the input
_SMOOTH = 4


def write_onnx_from_image(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write the network with its preprocessing as ONNX, run the file and compare it with both done by Python.

    The input `image` is bytes [batch, height, width, channels]; the output is what `Task.prediction` gives.

    Raises:
        ImportError: The exporter is not installed.
        ValueError: The inputs of the network are not images, or the file gives another output than the network.
    """
    import onnx
    import onnxruntime

    preprocessing = preprocess(deployable.card)
    network = Predicting(deployable.network, deployable.task)
    content = onnx_bytes(network, batch_of(deployable.examples, 2), dynamic_batch=True)
    model = onnx.load_model_from_string(content)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    before = onnx.parser.parse_model(graph_text(preprocessing, opset, model.ir_version))
    before = onnx.compose.add_prefix(before, "preprocess_", rename_inputs=False)
    merged = onnx.compose.merge_models(before, model, io_map=[("preprocess_input", "input")])
    forget_sources(merged)
    onnx.helper.set_model_props(merged, {"card": json.dumps(deployable.card)})
    onnx.checker.check_model(merged)
    path.write_bytes(merged.SerializeToString())
    return {
        "opset": opset,
        "input": {"name": IMAGE, "shape": ["batch", "height", "width", preprocessing.channels], "dtype": "uint8"},
        "output": deployable.task.predicts if deployable.task is not None else Task.predicts,
        "checked_with": f"onnxruntime {onnxruntime.__version__}",
        **_agreement(path, network, preprocessing),
    }


class Predicting(nn.Module):
    """A network followed by what its task makes of its output for applications."""

    def __init__(self, network: nn.Module, task: Task | None) -> None:
        super().__init__()
        self.network, self.task = network, task
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        output = self.network(image)
        return output if self.task is None else self.task.prediction(output)


def graph_text(preprocessing: Preprocessing, opset: int, ir_version: int) -> str:
    """Return the preprocessing in the text form of ONNX: bytes [batch, height, width, C] -> [batch, C, S, S]."""
    size, channels, shorter = preprocessing.image_size, preprocessing.channels, preprocessing.decoding.shorter_side
    mean, std = (", ".join(map(repr, values)) for values in (preprocessing.mean, preprocessing.std))
    return f"""<ir_version: {ir_version}, opset_import: ["" : {opset}]>
preprocess (uint8[batch, height, width, {channels}] {IMAGE}) => (float[batch, {channels}, {size}, {size}] input)
<int64[2] crop = {{{size}, {size}}}, int64[2] least_sides = {{{shorter}, {shorter}}}, double shorter = {{{shorter}.0}},
 int64[2] two = {{2, 2}}, int64[2] axes = {{2, 3}}, float levels = {{255.0}},
 float[1, {channels}, 1, 1] mean = {{{mean}}}, float[1, {channels}, 1, 1] std = {{{std}}}>
{{
  planes = Transpose <perm = [0, 3, 1, 2]> ({IMAGE})
  head = Shape <start = 0, end = 2> (planes)
  sides = Shape <start = 2, end = 4> (planes)
  sides_exact = Cast <to = 11> (sides)
  shortest = ReduceMin <keepdims = 0> (sides_exact)
  factor = Div (shorter, shortest)
  scaled = Mul (sides_exact, factor)
  rounded = Round (scaled)
  rounded_whole = Cast <to = 7> (rounded)
  resized_sides = Max (rounded_whole, least_sides)
  fits = Equal (sides, crop)
  fits_number = Cast <to = 7> (fits)
  fits_both = ReduceMin <keepdims = 0> (fits_number)
  fits_already = Cast <to = 9> (fits_both)
  target = Where (fits_already, sides, resized_sides)
  sizes = Concat <axis = 0> (head, target)
  resized = Resize <mode = "cubic", cubic_coeff_a = -0.5, antialias = 1, exclude_outside = 1> (planes, , , sizes)
  free = Sub (target, crop)
  begin = Div (free, two)
  end = Add (begin, crop)
  middle = Slice (resized, begin, end, axes)
  pixels = Cast <to = 1> (middle)
  share = Div (pixels, levels)
  centred = Sub (share, mean)
  input = Div (centred, std)
}}"""


def _agreement(path: Path, network: nn.Module, preprocessing: Preprocessing) -> dict[str, Any]:
    """Return how far the output of the file is from that of Python, for images of several sizes.

    Raises:
        ValueError: They differ by more than the tolerance.
    """
    run, found = runtime(path), []
    for number, (height, width) in enumerate(_SHAPES):
        sides = (max(2, round(height * preprocessing.image_size)), max(2, round(width * preprocessing.image_size)))
        pixels = _pattern(sides, preprocessing.channels, seed=number)
        image = Image.fromarray(pixels if preprocessing.channels > 1 else pixels[..., 0])
        with torch.inference_mode():
            expected = network(preprocessing(image)[None])
        difference = (run(torch.from_numpy(pixels)[None]) - expected).abs().nan_to_num(nan=torch.inf).max()
        found.append(float(difference) / max(float(expected.abs().max()), torch.finfo(torch.float32).tiny))
    exact, resized = found[0], max(found[1:])
    if not (exact <= TOLERANCE and resized <= RESIZED_TOLERANCE):
        raise ValueError(f"its output differs from that of the network by {exact:.2g}, after a resize by {resized:.2g}")
    return {"tolerance": TOLERANCE, "relative_difference": exact, "relative_difference_resized": resized}


def _pattern(sides: tuple[int, int], channels: int, seed: int) -> np.ndarray:
    """Return an image of smooth colours with some noise, bytes [height, width, channels]."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 226, (_SMOOTH, _SMOOTH, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize((sides[1], sides[0]), Image.Resampling.BICUBIC), np.float64)[..., :channels]
    return (smooth + rng.normal(0, 8, smooth.shape)).round().clip(0, 255).astype(np.uint8)
