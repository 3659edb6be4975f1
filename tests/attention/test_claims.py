"""Every claim runs, at a scale of seconds, and its record is that of the claim as it stands."""

import math
from pathlib import Path

import pytest

from assay.attention.claims import claims
from assay.core import claim as core

BY_NAME = {claim.name: claim for claim in claims}
RECORDS = Path(__file__).parents[2] / "claims" / "records"


@pytest.mark.parametrize("name", BY_NAME)
def test_runs_at_smoke_scale_and_measures_what_it_predicts_about(name):
    claim = BY_NAME[name]
    values = claim.measure(0, "smoke")
    assert all(math.isfinite(value) for value in values.values())
    predicted = {p.greater for p in claim.predictions} | {p.smaller for p in claim.predictions} - {None}
    assert predicted <= set(values)


def test_names_are_unique_and_every_claim_says_where_it_is_from():
    assert len(BY_NAME) == len(claims)
    for claim in claims:
        assert claim.name.startswith("attention/")
        assert claim.statement.endswith(".")
        assert claim.shrunk.endswith(".")
        assert "arXiv:" in claim.source


@pytest.mark.parametrize("name", BY_NAME)
def test_the_record_is_of_the_claim_as_it_stands(name):
    record, claim = core.Record.read(RECORDS / f"{name}.json"), BY_NAME[name]
    for field in ("statement", "source", "shrunk", "finding"):
        assert getattr(record, field) == getattr(claim, field), field
    assert [p["prediction"] for p in record.predictions] == [str(p) for p in claim.predictions]
    assert [p["verdict"] for p in record.predictions] == [p.verdict(record.values) for p in claim.predictions]
    assert record.verdict == "supported" or record.finding  # What did not hold is explained.
    assert len(record.seeds) >= 5
