"""Exported translators run without torch and without this package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nas.data.text.tokens import Tokens
from nas.export import load_network
from service.export.export_members import ExportRequest, export
from service.job.folder import read_json
from service.job.loading import job_of
from service.job.preparation import prepare_folder
from service.run.run import run
from supernets.tasks.beam import Beam
from supernets.tasks.beam_search import beam_search
from tests.nas.data.text import corpus
from tests.service.run.translation_job import translation_fields

pytest.importorskip("tokenizers", reason="needs the extra `text`")
pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")

SCRIPT = Path(__file__).parents[3] / "examples" / "text" / "translate.py"
SMALL = {"embeds": [16], "hidden": [16, 32], "heads": [1], "width": 16, "encoder_layers": 1, "depths": [1, 2]}
LINES = ["a man runs in the house.", "two", "the dog sits of the blue grass in the tree, 日本 ﬂ."]
ALONE = """
import runpy, sys
for name in ("torch", "nas", "supernets", "search_spaces", "service"):
    sys.modules[name] = None  # importing them fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("translators")
    path = corpus.folder(place / "pairs", {"train": 120, "val": 12, "test": 12})
    search = {"evaluations": 2, "population": 2, "objectives": ["quality", "macs"]}
    job = job_of(translation_fields("translators", path, SMALL, train={"epochs": 4, "lr": 0.01}, search=search))
    folder = prepare_folder(job, place / "job")
    run(folder, job, lambda event: None)
    key = (read_json(folder / "front.json") or {})["members"][0]["key"]
    request = ExportRequest(folder=folder, job=job, members=[key], formats=["onnx", "safetensors"], weights="auto")
    (made,) = export(request, lambda event: None)
    assert not made.failed
    return made.place


@pytest.mark.integration
def test_a_translator_is_run_by_onnxruntime_and_tokenizers_alone(exported):
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(SCRIPT), str(exported), *LINES], capture_output=True, text=True, check=True
    )
    tokens = Tokens.from_json((exported / "tokenizer.json").read_text())
    network = load_network(exported / "card.json").eval()
    rows = tokens.encode(LINES)
    source = torch.from_numpy(rows.padded(torch.arange(len(LINES)).numpy()))
    expected = [tokens.text(row) for row in beam_search(network, source, Beam(size=1, longest=64))]
    assert done.stdout.split("\n") == [*expected, ""]
    assert len(set(expected)) == 3


def test_the_card_of_a_translator_says_what_tokens_are(exported):
    card = json.loads((exported / "card.json").read_text())
    assert [one["shape"] for one in card["inputs"]] == [["batch", "source_length"], ["batch", "target_length"]]
    assert "tokenizer.json" in json.dumps(card)
    assert (exported / "tokenizer.json").is_file()
