from pathlib import Path

import pytest

from assay.core.claim import Record, claims
from assay.data.fetch import FetchError
from assay.density.task import task

DENSITY = claims(["density"])
RECORDS = Path(__file__).parents[2] / "claims" / "records"


def test_are_found_by_the_catalog():
    assert len(DENSITY) >= 4
    assert all(name.startswith("density/") for name in DENSITY)


@pytest.mark.parametrize("name", DENSITY)
def test_can_be_measured_and_have_what_they_predict(name):
    try:
        task.load("mnist-5k", scale="smoke")
    except FetchError as error:
        pytest.skip(str(error))
    claim = DENSITY[name]
    values = claim.measure(0, "smoke")
    for prediction in claim.predictions:
        assert {prediction.greater, prediction.smaller} <= set(values)
    assert all(-784 < value < 0 for value in values.values())
    assert claim.measure(0, "smoke") == values


@pytest.mark.parametrize("name", DENSITY)
def test_the_record_is_of_the_claim_as_it_stands(name):
    record, claim = Record.read(RECORDS / f"{name}.json"), DENSITY[name]
    for field in ("statement", "source", "shrunk", "finding"):
        assert getattr(record, field) == getattr(claim, field), field
    assert [p["prediction"] for p in record.predictions] == [str(p) for p in claim.predictions]
    assert [p["verdict"] for p in record.predictions] == [p.verdict(record.values) for p in claim.predictions]
    assert record.verdict == "supported" or record.finding
