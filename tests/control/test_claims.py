"""The claims whose outcome does not wait for large scales; every wing's are measured in one place."""

import pytest

from assay.core.claim import claims

EXACT = ("control/truncation-is-in-between", "control/episodes-must-be-long-enough")


@pytest.mark.parametrize("name", EXACT)
def test_holds_at_smoke_scale_too(name):
    claim = claims([name])[name]
    values = claim.measure(3, "smoke")
    for prediction in claim.predictions:
        assert prediction.verdict({k: [v, v] for k, v in values.items()}) == "supported"
