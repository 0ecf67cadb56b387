"""What a task tells of a network, as tables of the user interface of MLflow; what its training was followed by."""

import json
from pathlib import Path

from service.job.folder import read_json
from service.job.front_file import Quantity, TaskFacts
from service.job.outcomes_file import write_breakdowns
from service.tracking.format import progress_points
from service.tracking.sync import sync
from supernets.tasks import Breakdown, Table
from tests.service.synthetic_job import complete_job
from tests.service.tracking.test_sync import artifacts_of, client_of, runs_of

ROWS = [["a man", "ein Mann", "eine Frau"], ["two dogs", "zwei Hunde", "zwei Hunde"]]


def test_sample_translations_are_a_table(tmp_path, uri):
    job = complete_job(tmp_path / "job", uri=uri)
    key = read_json(job / "front.json")["members"][0]["key"]
    table = Table(["source", "reference", "translation"], ROWS)
    write_breakdowns(job, key, {"test": Breakdown(tables={"translations": table})})
    assert sync(job, final=True).error is None
    run = runs_of(uri)[1][key]
    assert "translations.json" in artifacts_of(uri, run)
    path = client_of(uri).download_artifacts(run.info.run_id, "translations.json", str(tmp_path))
    assert json.loads(Path(path).read_text()) == {"columns": list(table.columns), "data": ROWS}
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": "translations.json", "type": "table"}]


def test_curves_of_a_validation_are_named_by_the_metric_that_it_says():
    task = TaskFacts(name="translation", metric=Quantity(name="bleu"), examples="sentence pairs")
    event = {"event": "validate", "time": 1.0, "step": 7, "largest": 9.0}
    assert list(progress_points([event], task)) == [("validation/largest_bleu", 9.0, 7, 1000)]
    named = list(progress_points([{**event, "metric": "perplexity"}], task))
    assert named == [("validation/largest_perplexity", 9.0, 7, 1000)]
