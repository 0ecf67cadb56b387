"""The recipe that follows a released training, setting by setting."""

from service.job.building import build_space
from service.job.loading import load_job


def test_the_recipe_of_pa_da_is_the_released_training():
    """Arguments of the released train_panda_201.py, and what it does with them."""
    job = load_job("pa_da_nasbench201", ["data.source=noise", "data.path=null"])
    train = job.train
    assert (train.lr, train.lr_end, train.momentum, train.weight_decay) == (0.05, 0.0, 0.9, 2.5e-4)
    assert (train.epochs, train.batch_size, train.largest_norm, train.warmup_fraction) == (250, 256, 5, 0)
    assert (train.label_smoothing, train.nesterov, train.decayed, train.bf16) == (0, False, "all", False)
    assert (train.sampler, train.sampler_options, train.examples, train.example_weights) == (
        "path_adaptive", {}, "importance", False
    )  # fmt: skip
    assert (train.optimizer, train.schedule, train.split, train.ema_decay) == ("sgd", "whole", None, None)
    assert job.space.options == {"width": 16, "cells": 5, "shared_affine": False}
    network = build_space(job).build()
    assert sum(p.numel() for p in network.parameters()) == 1_692_474
