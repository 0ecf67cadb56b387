"""What a tested front leaves to be looked at."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image

from nas.data import load_data
from service.job.building import build_space
from service.job.folder import read_json
from service.job.loading import job_of
from service.job.looks_file import read_anatomy, read_mistakes
from service.job.outcomes_file import write_outcomes
from service.job.preparation import saved_job
from service.report.job_report import best_by_quality
from service.run.batches import EvaluationBatches
from service.run.looks import keep_looks
from supernets import Task
from supernets.tasks import Classification, Outcomes
from tests.service.trained_job import trained_job


def test_networks_are_drawn_and_the_surest_mistakes_of_the_best_are_kept(tmp_path):
    folder = trained_job(tmp_path / "job")
    job = job_of(saved_job(folder))
    data, space, task = load_data(job.data, device=torch.device("cpu")), build_space(job), Classification(10)
    batches = EvaluationBatches(load=lambda: data, inputs=task.inputs)
    labels = torch.cat([labels for _, labels in data.test.sequential(200)]).numpy()
    predicted, confidence = labels.copy(), np.full(len(labels), 0.5, np.float32)
    predicted[[4, 7]], confidence[[4, 7]] = (labels[[4, 7]] + 1) % 10, (0.6, 0.9)
    columns = {"target": labels, "predicted": predicted, "confidence": confidence}
    best = best_by_quality(read_json(folder / "front.json"))["key"]
    write_outcomes(folder, best, "test", Outcomes(np.where(labels == predicted, 100.0, 0.0), columns))

    keep_looks(folder, space, task, batches)
    found = read_mistakes(folder, best)
    assert [one.text for one in found] == [
        f"{labels[7]}, taken for {predicted[7]} (90 %)",
        f"{labels[4]}, taken for {predicted[4]} (60 %)",
    ]
    assert all(one.name.startswith("image ") for one in found)
    picture = np.asarray(Image.open(BytesIO(found[0].picture)))
    assert (picture == data.test.images[7, ..., 0].numpy()).all()
    for member in read_json(folder / "front.json")["members"]:
        pieces = read_anatomy(folder, member["key"]).pieces
        total = sum(piece.costs.get("params", 0) * piece.repeats for piece in pieces)
        assert total == space.costs([space.architecture(member["architecture"])])["params"][0]


def test_a_task_that_keeps_nothing_of_examples_leaves_no_mistakes(tmp_path):
    folder = trained_job(tmp_path / "job", members=1)
    job = job_of(saved_job(folder))
    data = load_data(job.data, device=torch.device("cpu"))
    task = Classification(10)
    keep_looks(folder, build_space(job), task, EvaluationBatches(load=lambda: data, inputs=task.inputs))
    assert not list((folder / "front").glob("*.mistakes.json"))
    assert Task.mistakes(task, Outcomes(np.zeros(3))) == ()
