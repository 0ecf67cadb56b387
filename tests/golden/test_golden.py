"""Numbers with a source, one at least for every space; a catalogue entry without one fails."""

import pytest

from search_spaces import Space
from service import catalogue

ALLOCATIONS = 15_552
# name -> (options, count, params and MACs of the largest, of the smallest, source)
SPACES = {
    "ofa_mobilenet_v3": (
        {},
        21_758_655_492_572_485_851,
        (7_664_760, 566_170_656),
        (3_410_792, 121_278_672),
        "Once-for-All, arXiv 1908.09791: 2.18e19 architectures, 7.6648M / 566.1707M and 3.4108M / 121.2787M at 224 px",
    ),
    "small_mobilenet_v3": (
        {},
        (9 + 9**2 + 9**3) ** 3,
        (448_506, 14_916_608),
        (79_442, 2_664_448),
        "own: counted by hooks on the built network (tests/search_spaces/test_mobilenet_v3.py); guards refactorings",
    ),
    "nasbench201": (
        {},
        15_625,
        (1_531_546, 220_119_680),
        (73_306, 7_783_040),
        "NAS-Bench-201, arXiv 2001.00326: 5^6 cells; its table has these parameters; its 220.1197M and 7.7831M MACs "
        "count the classifier's biases (+10)",
    ),
    "darts": (
        {},
        (1 * 3 * 6 * 10 * 7**8) ** 2,
        (5_144_086, 817_833_600),
        (1_370_134, 227_272_320),
        "DARTS, arXiv 1806.09055: 1.0768e18 pairs of cells; extremes: ours, by the formulas that give DARTS_V2's "
        "3,349,342 params (tests/search_spaces/test_darts.py)",
    ),
    "nasbench101": (
        {},
        423_624,
        (49_979_274, 7_335_187_456),
        (227_274, 37_098_496),
        "NAS-Bench-101, arXiv 1902.09635: 423,624 cells; greatest and least params of its table; MACs: ours",
    ),
    "nasbench_macro": (
        {},
        6_561,
        (2_932_586, 105_660_928),
        (387_882, 7_713_280),
        "NAS-Bench-Macro, arXiv 2103.11922: 3^8 architectures; params and flops of 22222222 and 00000000 in its table",
    ),
    "proxyless": (
        {},
        6**6 * 7**15,
        (5_103_336, 606_590_720),
        (2_154_984, 102_528_896),
        "ProxylessNAS, arXiv 1812.00332: six blocks in 21 layers, a skip in 15; extremes: ours, by the formulas that "
        "give the released networks' params (tests/search_spaces/test_proxyless.py)",
    ),
    "timm": (
        {"model": "resnet18", "resolutions": (224,)},
        4**8 * 2**4,
        (11_689_512, 1_814_073_344),
        (438_456, 77_800_448),
        "ResNet-18, arXiv 1512.03385: 1.8 GMACs, 11,689,512 params in torchvision; smallest: ours, counted by hooks "
        "on the extracted network (tests/search_spaces/traced_spaces)",
    ),
    "pooling": (
        {},
        36,
        (270_906, 149_340_800),
        (270_906, 18_596_480),
        "Balanced Mixture of SuperNets, AutoML-Conf 2023: C(9, 2) positions, 270,906 params wherever they are; MACs: "
        "ours, counted by hooks (tests/search_spaces/families/test_pooling.py)",
    ),
    "hr_multibranch": (
        {},
        (1 + 33**3) ** 6 * (1 + 65**3) ** 3,
        (118_106, 14_484_736),
        (10_394, 654_592),
        "own: nine blocks of three paths, each without paths or with 0 to 32 or 64 channels; costs counted by hooks on "
        "the built networks (tests/search_spaces/families/test_hr_multibranch.py)",
    ),
    "autoformer": (
        {},
        1_056_964_608,
        (10_517_272, 2_541_425_024),
        (5_366_056, 1_345_368_576),
        "AutoFormer, arXiv 2107.00651: choices of its released supernet-T; params by the formula that gives the three "
        "published subnets, 1.3 GMACs of the smallest likewise (tests/search_spaces/families/test_autoformer.py)",
    ),
    "small_autoformer": (
        {},
        3 * sum(9**depth for depth in (4, 5, 6)),
        (2_728_138, 192_584_064),
        (334_378, 25_954_752),
        "own: counted by torch on the built networks (tests/conformance/test_spaces.py); guards refactorings",
    ),
    "hat": (
        {},
        417_846_678_672_384,
        (112_844_032, 3_016_089_600),
        (49_325_568, 982_548_480),
        "HAT, arXiv 2005.14187: choices of its released space0; params by the formula that gives those of the released "
        "networks (tests/search_spaces/families/test_hat.py); vectors of 2 x 32,768 tokens included",
    ),
    "small_hat": (
        {},
        3 * 6**3 * 3 * sum(36**depth for depth in (1, 2, 3)),
        (8_344_384, 110_526_464),
        (2_858_176, 29_327_360),
        "own: counted by torch on the built networks (tests/conformance/test_spaces.py); guards refactorings",
    ),
    "language": (
        {},
        3 * sum(9**depth for depth in (2, 3, 4, 5, 6)),
        (6_901_760, 448_790_528),
        (1_280_768, 81_788_928),
        "own: counted by torch on the built networks (tests/conformance/test_spaces.py); guards refactorings",
    ),
    "bert": (
        {},
        7**12,
        (123_656_448, 16_061_497_344),
        (36_238_656, 4_627_169_280),
        "SuperShaper, arXiv 2110.04711, and Mixture-of-Supernets, ACL 2024: 7 widths in 12 layers; costs: ours, "
        "written out in tests/search_spaces/families/test_bert.py",
    ),
    "small_bert": (
        {},
        4**4,
        (3_341_504, 216_268_800),
        (1_971_776, 124_256_256),
        "own: counted by torch on the built networks (tests/conformance/test_spaces.py); guards refactorings",
    ),
    "split": (
        {},
        2 * 4 * 6 * 4 + 2,
        (448_506, 14_916_608),
        (340_874, 3_498_496),
        "own: the largest is that of small_mobilenet_v3, the rest counted on the built networks "
        "(tests/conformance/test_spaces.py); guards refactorings",
    ),
    "conv_macro": (
        {},
        3**8,
        (7_725_450, 431_104_640),
        (3_228_954, 35_062_400),
        "TangleNAS, AutoML-Conf 2024: 3^8 architectures; costs counted by hand from its layers, see its own test",
    ),
    "nasbench_graph": (
        {},
        26_206,
        (3_464_199, 814_566_400),
        (436_743, 194_802_688),
        "NAS-Bench-Graph, arXiv 2206.09166: its tables have 26,206 rows, and parameters as our networks have, see "
        "tests/search_spaces/families/test_nasbench_graph.py; multiply-accumulates: ours",
    ),
    "gnn": (
        {},
        9408 * 1344,
        (7_922_560, 16_902_240_256),
        (5_760, 416_704),
        "GraphNAS, released code: 7 * 4 * 8 * 6 * 7 = 9,408 for a layer and 1,344 for the last one, whose width is the "
        "number of classes; costs: ours, written out in tests/search_spaces/families/test_gnn.py",
    ),
    "joined": (
        {},
        6_562 * 6_561 // 2 * ALLOCATIONS,
        (2 * 2_932_586, 2 * 105_660_928),
        (2 * 387_882, 2 * 7_713_280),
        "NASAIC, arXiv 2002.04116, with two networks of NAS-Bench-Macro: unordered pairs of them, and of "
        "sub-accelerators within 4,096 PEs and 64 GB/s (tests/search_spaces/families/test_joined.py)",
    ),
}


@pytest.mark.parametrize("name", catalogue.SPACES)
def test_space_has_golden_numbers(name):
    assert name in SPACES, f"{name} has no golden number: add one with its source"
    options, count, largest, smallest, source = SPACES[name]
    space: Space = catalogue.resolve("space", name)(**options)
    costs = space.costs([space.largest(), space.smallest()])
    assert source
    assert space.count() == count
    assert list(zip(costs["params"].tolist(), costs["macs"].tolist())) == [largest, smallest]
