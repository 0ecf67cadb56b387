"""Weights of a model go into its network by name, with a new head, and those of another network are told apart."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from search_spaces.errors import FieldError
from search_spaces.families.timm_elastic import timm as timm_space
from search_spaces.traced_spaces.sources import OwnModule, TimmModel
from search_spaces.weights.found import FoundWeights
from search_spaces.weights.given import GivenWeights, _shrinkage

MODEL = "test_resnet"
SIZE = {"classes": 3, "channels": 3, "image_size": 32}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the model that was trained for 7 classes."""
    path = tmp_path_factory.mktemp("weights") / "seven.safetensors"
    save_file(timm.create_model(MODEL, num_classes=7).state_dict(), path)
    return path


def of(path: Path, *, model: str = MODEL, head: str = "new", **sizes: int) -> GivenWeights:
    source = TimmModel(model=model, **{**SIZE, **sizes})
    found = GivenWeights.of(source, pretrained=False, checkpoint=str(path), head=head)
    assert isinstance(found, FoundWeights)
    assert isinstance(found, GivenWeights)
    return found


def loaded(weights: GivenWeights) -> tuple[Mapping[str, torch.Tensor], nn.Module]:
    """The state of a network before it takes weights, and the network afterwards."""
    network = weights.source.module()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weights(network)
    return before, network


def test_everything_but_the_head_is_taken(checkpoint: Path) -> None:
    before, network = loaded(of(checkpoint))
    given = timm.models.load_state_dict(str(checkpoint))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, (before if name.startswith("fc.") or "tracked" in name else given)[name]), name


def test_the_logits_of_a_new_head_are_small_whatever_the_family_does() -> None:
    model = timm.create_model("test_efficientnet", num_classes=2)
    assert model.classifier.weight.std() > 0.3
    assert float(model.classifier.weight.std()) * _shrinkage(model.classifier.weight) == pytest.approx(
        (3 * model.classifier.in_features) ** -0.5, rel=1e-3
    )
    assert _shrinkage(torch.full((2, 100), 1e-3) * torch.tensor([[1.0], [-1.0]])) == 1


def test_a_head_is_kept_only_where_its_classes_are_those_of_the_data(checkpoint: Path) -> None:
    _, network = loaded(of(checkpoint, head="kept", classes=7))
    assert torch.equal(network.state_dict()["fc.weight"], timm.models.load_state_dict(str(checkpoint))["fc.weight"])
    with pytest.raises(FieldError, match="head must be new, the weights have 7 classes and the data 3; got 'kept'"):
        of(checkpoint, head="kept").check()


def test_grey_images_get_the_sum_of_the_colours(checkpoint: Path) -> None:
    _, network = loaded(of(checkpoint, channels=1))
    colours = timm.models.load_state_dict(str(checkpoint))["conv1.0.weight"]
    assert torch.allclose(network.state_dict()["conv1.0.weight"], colours.sum(1, keepdim=True), atol=1e-6)


def test_positions_of_a_transformer_follow_the_size_of_the_images(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit", num_classes=3).state_dict(), path := tmp_path / "vit.pth")
    _, network = loaded(of(path, model="test_vit", image_size=96))
    assert network.state_dict()["pos_embed"].shape[1] == 36 + 1
    assert network(torch.zeros(1, 3, 96, 96)).shape == (1, 3)


def test_weights_of_another_network_are_refused_with_the_first_names(checkpoint: Path) -> None:
    with pytest.raises(FieldError) as caught:
        of(checkpoint, model="test_vit", image_size=160).check()
    assert caught.value.field == "checkpoint"
    assert "is not of test_vit: it has no cls_token, " in caught.value.text
    assert "the network has no bn1.bias, " in caught.value.text
    assert "\n" not in caught.value.text


def _own(target: str, offered: Mapping[str, int]) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, offered["classes"]))


def test_a_network_of_ones_own_takes_weights_with_other_classes(tmp_path: Path) -> None:
    torch.save({"model": _own("", {"classes": 7}).state_dict()}, path := tmp_path / "own.pt")
    source = OwnModule(model="mine:net", call=_own, **SIZE)
    weights = GivenWeights(source=source, checkpoint=str(path))
    before, network = loaded(weights)
    assert not torch.equal(before["0.weight"], network.state_dict()["0.weight"])
    assert torch.equal(before["3.weight"], network.state_dict()["3.weight"])
    torch.save(nn.Conv2d(3, 8, 3).state_dict(), path)
    with pytest.raises(FieldError, match=r"mine:net: it has no 0\.weight, 0\.bias; the network has no weight"):
        weights.check()


@pytest.mark.parametrize(
    ("options", "field", "told"),
    [
        ({"head": "kept"}, "head", "must be new where no weights are given"),
        ({"head": "old", "pretrained": True}, "head", "must be new or kept, got 'old'"),
        ({"pretrained": "yes"}, "pretrained", "must be true or false, got 'yes'"),
        ({"checkpoint": 3}, "checkpoint", "must be a file of weights, or null, got 3"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict, field: str, told: str) -> None:
    given = {"pretrained": False, "checkpoint": None, "head": "new", **options}
    with pytest.raises(FieldError) as caught:
        GivenWeights.of(TimmModel(model=MODEL, **SIZE), **given)
    assert (caught.value.field, caught.value.text[: len(told)]) == (field, told)


def test_the_largest_network_of_the_space_is_the_model_with_its_weights(checkpoint: Path) -> None:
    space = timm_space(model=MODEL, classes=7, resolutions=(32,), checkpoint=str(checkpoint), head="kept")
    assert space.restrict({space.decisions[0].name: space.decisions[0].choices[-1:]}).weights is space.weights
    assert space.weights is not None
    network, model = space.build().eval(), timm.create_model(MODEL, num_classes=7).eval()
    space.weights(network)
    model.load_state_dict(timm.models.load_state_dict(str(checkpoint)))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(images), model(images))
