"""Published accuracies of all 36 positions of poolings in ResNet-20 on CIFAR-10, the mean of three trainings each.

Source: Javan et al., Balanced Mixture of SuperNets for Learning the CNN Pooling Architecture, AutoML-Conf 2023 (PMLR
v224), table 6. The key is the number of layers at each resolution. They stand in a table that `nas benchmark ranking`
reads, too.
"""

import csv
from pathlib import Path

with (Path(__file__).parents[2] / "benchmarks" / "pooling_truths.csv").open() as _file:
    TRUTHS = {row["config"]: float(row["test_acc"]) for row in csv.DictReader(_file)}
