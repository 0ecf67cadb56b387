"""Say what is on photos, by an exported network alone: needs onnxruntime, Pillow and numpy, and nothing of Espalier.

    python predict.py model.from_image.onnx photo.jpg ...

The file was made by `nas export DIR --with-preprocessing`. It resizes, crops and scales by itself.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def pixels(path: Path, channels: int) -> np.ndarray:
    """Return the bytes of a photo, upright and over white, [height, width, channels]."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("L" if channels == 1 else "RGB")).reshape(
        image.height, image.width, channels
    )


def main() -> None:
    """Print the most probable class of each photo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    arguments = parser.parse_args()
    session = onnxruntime.InferenceSession(str(arguments.model), providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["card"])
    classes, channels = card["output"]["classes"], session.get_inputs()[0].shape[3]
    for photo in arguments.photos:
        (probabilities,) = session.run(None, {"image": pixels(photo, channels)[None]})
        best = int(probabilities[0].argmax())
        print(f"{photo}: {classes[best]} ({100 * probabilities[0, best]:.0f} %)")


if __name__ == "__main__":
    main()
