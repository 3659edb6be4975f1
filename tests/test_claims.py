"""What every claim of every task must do; found through the catalog, a new one is tested at once."""

import math
import re
from pathlib import Path

import pytest

from assay import catalog
from assay.core.claim import Record, claims
from assay.data.fetch import FetchError

RECORDS = Path(__file__).parents[1] / "claims" / "records"
TIMED = {"attention", "collectives", "image-text"}
"""Among what they measure are seconds, and no two runs take the same."""


def wing(claim):
    """The task that a claim is about."""
    return claim.name.partition("/")[0]


def loadable():
    """The claims of the tasks whose libraries are installed."""
    found = []
    for task in catalog.CLAIMS:
        try:
            found += claims([task]).values()
        except ImportError:
            continue
    return found


def measured(claim):
    """Its quantities at smoke scale, if the data are to be had and the machine allows it."""
    try:
        return claim.measure(0, "smoke")
    except FetchError as error:
        pytest.skip(str(error))
    except Exception as error:
        if type(error).__name__ == "NoHosts":  # Two hosts as network namespaces need rights.
            pytest.skip(str(error))
        raise


def test_a_task_with_claims_is_a_task():
    assert set(catalog.CLAIMS) <= set(catalog.TASKS)


def test_every_record_is_of_a_claim():
    on_record = {str(path.relative_to(RECORDS).with_suffix("")) for path in RECORDS.rglob("*.json")}
    assert on_record == set(claims())


@pytest.mark.parametrize("claim", loadable(), ids=lambda claim: claim.name)
class TestClaim:
    def test_says_what_is_claimed_where_and_what_was_made_smaller(self, claim):
        assert wing(claim) in catalog.CLAIMS
        assert claim.predictions
        assert len(set(claim.predictions)) == len(claim.predictions)
        assert claim.statement.endswith(".")
        assert claim.shrunk
        assert re.search(r"\b(19[5-9]\d|20[0-2]\d)\b|arXiv:\d{4}\.\d{4,5}", claim.source)
        assert claim.seeds >= 3

    def test_measures_what_it_predicts_about(self, claim):
        values = measured(claim)
        assert all(math.isfinite(value) for value in values.values())
        for prediction in claim.predictions:
            assert {prediction.greater, prediction.smaller} - {None} <= set(values)
            assert all(map(math.isfinite, prediction.differences({k: [v] for k, v in values.items()})))
        assert wing(claim) in TIMED or measured(claim) == values

    def test_the_record_is_of_the_claim_as_it_stands(self, claim):
        record = Record.read(RECORDS / f"{claim.name}.json")
        for field in ("name", "statement", "source", "shrunk", "finding"):
            assert getattr(record, field) == getattr(claim, field), field
        assert [p["prediction"] for p in record.predictions] == [str(p) for p in claim.predictions]
        assert [p["verdict"] for p in record.predictions] == [
            p.verdict(record.values) for p in claim.predictions
        ]
        assert record.verdict == "supported" or record.finding  # What did not hold is explained.
        assert len(record.seeds) >= 3
