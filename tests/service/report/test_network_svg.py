"""Pictures of networks: nothing overlaps, nothing is cut off, nothing of them runs."""

from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from search_spaces.anatomy import Anatomy, Piece, anatomy
from search_spaces.graph import Graph
from service import catalogue
from service.report.network_svg import network_svg
from tests.conformance.test_spaces import OPTIONS
from tests.plugin.elastic_mlp import elastic_mlp

SVG = "{http://www.w3.org/2000/svg}"
LETTER = 0.54  # of the size of the letters: the mean width of one


def drawn(found: Anatomy) -> ElementTree.Element:
    return ElementTree.fromstring(network_svg(found))


def boxes_of_texts(part: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """Left, right, top and bottom of each text of a part, by a mean width of letters."""
    boxes = []
    for one in part.iter(f"{SVG}text"):
        size, x, y = float(one.get("font-size", 12)), float(one.get("x")), float(one.get("y"))
        width = LETTER * size * len(one.text or "")
        left = x - width / 2 if one.get("text-anchor") == "middle" else x
        boxes.append((left, left + width, y - 0.75 * size, y + 0.2 * size))
    return boxes


@pytest.mark.parametrize("name", [*catalogue.SPACES, "elastic_mlp"])
def test_texts_of_every_space_lie_inside_and_beside_each_other(name):
    space = elastic_mlp() if name == "elastic_mlp" else catalogue.resolve("space", name)(**OPTIONS.get(name, {}))
    for seed in range(2):
        picture = drawn(anatomy(space, space.sample(np.random.default_rng(seed))))
        width = float(picture.get("width"))
        for part in picture.findall(f"{SVG}g"):
            boxes = boxes_of_texts(part)
            assert all(left >= 0 and right <= width for left, right, _, _ in boxes)
            for a, b in combinations(boxes, 2):
                assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2], (a, b)


def test_skipped_places_are_dashed_and_wider_inputs_are_wider():
    pieces = (
        Piece(block="stem 3-8", shape=(3, 8, 8)),
        Piece(place="stage1.block1", choices={"kernel": 5}, block="conv 16-16 k5", shape=(16, 8, 8), repeats=2),
        Piece(place="stage1.block2", skipped=True),
    )
    picture = drawn(Anatomy(pieces=pieces))
    boxes = list(picture.iter(f"{SVG}rect"))[1:]
    assert [box.get("stroke-dasharray") is not None for box in boxes] == [False, False, True]
    assert float(boxes[0].get("width")) < float(boxes[1].get("width"))
    texts = [one.text for one in picture.iter(f"{SVG}text")]
    assert texts == [
        *("stem 3-8", "on 3 x 8 x 8", "stage1.block1: kernel 5", "conv 16-16 k5 2 times on 16 x 8 x 8"),
        "stage1.block2: skipped",
    ]


def test_edges_that_give_nothing_are_dashed():
    graph = Graph(name="cell", nodes=("in", "out"), edges=((0, 1, "conv"),), unused=((0, 1, "none"),))
    lines = [line for line in drawn(Anatomy(graphs=(graph,))).iter(f"{SVG}line") if line.get("stroke-width")]
    assert [line.get("stroke-dasharray") for line in lines] == [None, "4 3"]


def test_names_are_text_and_cannot_run():
    evil = "<script>alert(1)</script>\" onload='x"
    found = Anatomy(
        pieces=(Piece(place=evil, block=evil, choices={evil: evil}),),
        graphs=(Graph(name=evil, nodes=(evil, evil), edges=((0, 1, evil),)),),
    )
    picture = drawn(found)
    assert {element.tag.removeprefix(SVG) for element in picture.iter()} <= {
        *("svg", "g", "rect", "line", "text", "title", "circle", "path")
    }
    assert not any(name.startswith("on") for element in picture.iter() for name in element.attrib)


def test_network_of_nothing_is_an_empty_picture():
    assert drawn(Anatomy()).get("width") == "1"
