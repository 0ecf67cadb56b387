"""What the terminal and MLflow say of the groups of a split."""

from service.job.front_file import task_of
from service.job.outcomes_file import write_breakdowns
from service.report.breakdown_text import breakdown_lines
from service.tracking.format import member_metrics
from supernets.tasks import Breakdown


def lines_of(folder, **parts) -> list[str]:
    write_breakdowns(folder, "abc", {"test": Breakdown(**parts)})
    return list(breakdown_lines(folder, "abc"))


def test_numbers_and_few_groups_are_all_shown(tmp_path):
    groups = {"accuracy": {"cat": 97.22, "dog": 71.0}}
    found = lines_of(tmp_path, numbers={"balanced_accuracy": (84.111, "%")}, groups=groups, grouped_by="class")
    assert found == ["abc on test: balanced accuracy 84.11 %", "accuracy by class: cat 97.2, dog 71"]


def test_of_many_groups_the_lowest_are_shown(tmp_path):
    groups = {"accuracy": {f"class {i}": float(100 - i) for i in range(40)}}
    (line,) = lines_of(tmp_path, groups=groups, grouped_by="class")
    assert line.startswith("accuracy by class: lowest class 39 61, class 38 62, ")
    assert line.endswith("; highest class 0 100; of 40")


def test_jobs_without_outcomes_and_damaged_files_end_no_report(tmp_path):
    assert list(breakdown_lines(tmp_path, "abc")) == []
    (tmp_path / "front").mkdir()
    (tmp_path / "front" / "abc.breakdown.json").write_text("{")
    (line,) = breakdown_lines(tmp_path, "abc")
    assert "damaged breakdown" in line


def test_members_have_the_numbers_as_metrics_in_mlflow():
    member = {
        "values": {"accuracy": 90.0},
        "test_quality": 88.0,
        "test_numbers": {"balanced_accuracy": [84.0, "%"]},
        "test_groups": {"accuracy": {"cat": 97.0, "dog": 71.0}},
    }
    assert member_metrics(member, task_of({})) == {
        "accuracy": 90.0,
        "test_accuracy": 88.0,
        "test_balanced_accuracy": 84.0,
        "test_accuracy/cat": 97.0,
        "test_accuracy/dog": 71.0,
    }
