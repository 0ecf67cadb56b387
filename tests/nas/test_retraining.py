"""Fine-tuning a subnet from its inherited weights."""

import torch

from nas.retraining import retrain
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from supernets import Supernet, TrainConfig
from tests.supernets.helpers import Images


def test_only_the_copy_is_trained_and_it_learns():
    space = small_mobilenet_v3(image_size=8, channels=1, classes=4, stage_widths=(8, 16), strides=(1, 2))
    torch.manual_seed(0)
    supernet = Supernet(space)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    images = Images()
    config = TrainConfig(epochs=12, batch_size=16, lr=0.05)
    tuned = retrain(supernet, space.smallest(), images, config, seed=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    assert tuned.active == space.smallest()
    accuracy = (tuned.train()(images.images).argmax(1) == images.labels).float().mean()
    untrained = (supernet.train()(images.images).argmax(1) == images.labels).float().mean()
    assert accuracy > max(0.8, untrained + 0.2)
