import pytest

from assay.core.claim import claims
from assay.data.fetch import FetchError
from assay.density.task import task

DENSITY = claims(["density"])


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
