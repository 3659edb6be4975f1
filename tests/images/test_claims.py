"""The claims can be measured, and their records are of the claims as they stand."""

from pathlib import Path

import pytest

from assay.core.claim import Record
from assay.data.fetch import FetchError
from assay.images.claims import claims
from assay.images.task import task

CLAIMS = {claim.name: claim for claim in claims}
RECORDS = Path(__file__).parents[2] / "claims" / "records"


def test_have_names_of_their_task_and_a_source():
    assert len(CLAIMS) == len(claims) >= 3
    for claim in claims:
        assert claim.name.startswith("images/")
        assert "arXiv" in claim.source
        assert claim.shrunk
        assert claim.seeds >= 3


@pytest.mark.parametrize("name", CLAIMS)
def test_can_be_measured_and_have_what_they_predict(name):
    try:
        task.load("fashion-mnist", scale="smoke")
        task.load("emoji", scale="smoke")
    except FetchError as error:
        pytest.skip(str(error))
    claim = CLAIMS[name]
    values = claim.measure(0, "smoke")
    for prediction in claim.predictions:
        assert {prediction.greater, prediction.smaller} <= set(values)
    assert all(-30 < value <= 1 for value in values.values())


@pytest.mark.parametrize("name", CLAIMS)
def test_the_record_is_of_the_claim_as_it_stands(name):
    record, claim = Record.read(RECORDS / f"{name}.json"), CLAIMS[name]
    for field in ("statement", "source", "shrunk", "finding"):
        assert getattr(record, field) == getattr(claim, field), field
    assert [p["prediction"] for p in record.predictions] == [str(p) for p in claim.predictions]
    assert [p["verdict"] for p in record.predictions] == [p.verdict(record.values) for p in claim.predictions]
    assert record.verdict == "supported" or record.finding
