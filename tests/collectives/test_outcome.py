import dataclasses

import numpy as np

from assay.collectives.outcome import Outcome

OUTCOME = Outcome(digest="ab", error=0.0, identical=True, seconds=1.0, bytes_sent=3)


def test_outcomes_are_equal_when_their_sums_are():
    slower = dataclasses.replace(OUTCOME, seconds=2.0, bytes_sent=4)
    assert slower == OUTCOME
    assert np.array_equal(slower, OUTCOME)
    for change in ({"digest": "cd"}, {"error": 0.1}, {"identical": False}):
        assert dataclasses.replace(OUTCOME, **change) != OUTCOME
