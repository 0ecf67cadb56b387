"""Files that take an image as it is read: the same resize, crop and scale as in training, and probabilities out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data.images.preprocessing import Decoding, Preprocessing
from nas.export import Deployable, preprocess, write_onnx_from_image
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from supernets import Supernet, calibrate
from supernets.tasks import Classification

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
SIZE = 24


@pytest.fixture(scope="module", params=[(3, 0), (3, 28), (1, 0)], ids=["rgb", "margin", "grey"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A network, its preprocessing, and the file."""
    channels, shorter = request.param
    space = small_mobilenet_v3(image_size=SIZE, channels=channels, classes=5, stage_widths=(8, 12), strides=(1, 2))
    torch.manual_seed(0)
    images = torch.randn(32, channels, SIZE, SIZE)
    network = calibrate(Supernet(space).extract(space.largest()), [images])
    preprocessing = Preprocessing(
        decoding=Decoding(image_size=SIZE, channels=channels, shorter_side=shorter),
        mean=(0.4, 0.5, 0.6)[:channels],
        std=(0.2, 0.25, 0.3)[:channels],
    )
    deployable = Deployable(
        network=network,
        space=space,
        architecture=space.largest(),
        examples=(images[:4],),
        card={"input": preprocessing.to_json()},
        task=Classification(5),
    )
    path = tmp_path_factory.mktemp("file") / "model.onnx"
    return network, preprocessing, path, write_onnx_from_image(deployable, path)


def photo(sides: tuple[int, int], channels: int) -> Image.Image:
    """Smooth colours, as photos have them, of this width and height."""
    coarse = np.random.default_rng(1).integers(0, 256, (5, 5, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize(sides, Image.Resampling.BICUBIC)
    return image if channels == 3 else image.convert("L")


@pytest.mark.parametrize("sides", [(SIZE, SIZE), (40, 31), (31, 40), (200, 67), (17, 20), (28, 28)])
def test_the_file_gives_the_probabilities_of_training_s_preprocessing(written, sides):
    import onnxruntime

    network, preprocessing, path, _ = written
    image = photo(sides, preprocessing.channels)
    with torch.inference_mode():
        expected = network(preprocessing(image)[None]).softmax(1)[0].numpy()
    pixels = np.asarray(image).reshape(1, sides[1], sides[0], preprocessing.channels)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": np.concatenate([pixels, pixels])})
    assert found.sum(1) == pytest.approx([1, 1], abs=1e-5)
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert np.abs(found[0] - expected).max() < (1e-5 if sides == (SIZE, SIZE) else 5e-3)


def test_the_record_says_what_goes_in_and_comes_out(written):
    _, preprocessing, _, record = written
    assert record["input"] == {
        "name": "image",
        "shape": ["batch", "height", "width", preprocessing.channels],
        "dtype": "uint8",
    }
    assert record["output"] == "the probability of each class"
    assert record["relative_difference"] < 1e-4
    assert record["relative_difference_resized"] < 0.05


def test_preprocess_reads_a_card_or_its_file(written, tmp_path: Path):
    _, preprocessing, _, _ = written
    card = {"input": {"name": "input", **preprocessing.to_json()}}
    (tmp_path / "card.json").write_text(json.dumps(card))
    image = photo((50, 30), 3)
    for made in (preprocess(card), preprocess(tmp_path / "card.json"), preprocess(str(tmp_path / "card.json"))):
        assert torch.equal(made(image), preprocessing(image))


def test_a_network_on_vectors_has_no_such_file():
    with pytest.raises(ValueError, match="describes no image"):
        preprocess({"inputs": [{"name": "input1"}]})
