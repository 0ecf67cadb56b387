"""Records of networks that were trained further, whichever version wrote them."""

import json

from service.run.stages.retrain import Retrain


def test_records_of_an_earlier_version_are_read_in_the_terms_of_this_one(tmp_path):
    members = [{"key": key, "architecture": {}, "values": {}} for key in ("a", "later")]
    (tmp_path / "front.json").write_text(json.dumps({"members": members}))
    place = tmp_path / "retrain" / "a"
    place.mkdir(parents=True)
    (place / "result.json").write_text(json.dumps({"key": "a", "inherited_accuracy": 80.0, "retrained_accuracy": 90.0}))
    assert Retrain().records(tmp_path) == [{"key": "a", "inherited_quality": 80.0, "retrained_quality": 90.0}]
