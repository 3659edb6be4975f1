import math

import pytest

from assay.collectives.claims import claims
from assay.collectives.hosts import NoHosts

CLAIMS = {claim.name: claim for claim in claims}


def test_have_names_sources_and_different_predictions():
    assert len(CLAIMS) == len(claims) >= 5
    for claim in claims:
        assert claim.name.startswith("collectives/")
        assert len(set(claim.predictions)) == len(claim.predictions) > 0


@pytest.mark.parametrize("name", CLAIMS)
def test_can_be_measured_and_have_what_they_predict(name):
    claim = CLAIMS[name]
    try:
        values = claim.measure(0, "smoke")
    except NoHosts as error:
        pytest.skip(str(error))
    for prediction in claim.predictions:
        assert {prediction.greater, prediction.smaller} - {None} <= set(values)
    assert all(math.isfinite(value) for value in values.values())
