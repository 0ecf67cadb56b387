"""Pictures of a tested front: the structure of its networks, and the mistakes of the best one."""

from pathlib import Path

from search_spaces import Space
from search_spaces.anatomy import anatomy
from service.job.front_file import read_front_file
from service.job.looks_file import Shown, has_anatomy, write_anatomy, write_mistakes
from service.job.outcomes_file import read_outcomes
from service.report.job_report import best_by_quality
from service.run.batches import EvaluationBatches
from supernets import Task

_MOST_MISTAKES = 12
_SIDE = 96  # pixels of a picture


def keep_looks(folder: Path, space: Space, task: Task, batches: EvaluationBatches) -> None:
    """Write what is looked at of the members of a front into the folder of the job, while space and data are at hand.

    Args:
        folder: Folder of a job whose front is tested.
        space: That it searched.
        task: Task that judges networks.
        batches: Batches of the data.
    """
    front = read_front_file(folder)
    if front is None or not front["members"]:
        return
    for member in front["members"]:
        if not has_anatomy(folder, member["key"]):
            write_anatomy(folder, member["key"], anatomy(space, member["architecture"]))
    best = best_by_quality(front)["key"]
    outcomes = read_outcomes(folder, best, "test")
    if outcomes is None:
        return
    mistakes = task.mistakes(outcomes, batches.names(), most=_MOST_MISTAKES)
    if mistakes:
        shown = [(*batches.looked_up(one.example, _SIDE), one.text) for one in mistakes]
        write_mistakes(folder, best, [Shown(name, text, picture) for name, picture, text in shown])
