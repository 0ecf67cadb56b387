"""Mistakes that name their field."""

import pickle

import pytest

from search_spaces.errors import FieldError
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3


def test_a_field_error_is_a_sentence_and_keeps_its_field():
    error = FieldError("lr", "must be above 0, got -1")
    assert str(error) == "lr must be above 0, got -1"
    assert (error.field, error.text) == ("lr", "must be above 0, got -1")
    assert isinstance(error, ValueError)


def test_a_field_error_survives_the_way_to_another_process():
    sent = pickle.loads(pickle.dumps(FieldError("lr", "must be above 0")))
    assert (sent.field, sent.text, str(sent)) == ("lr", "must be above 0", "lr must be above 0")


def test_a_family_names_the_field_that_is_wrong():
    with pytest.raises(FieldError, match="kernels must be odd, got") as caught:
        small_mobilenet_v3(kernels=(2, 3))
    assert caught.value.field == "kernels"
