import json

import numpy as np
import pytest

from assay.estimation.estimate import Estimate
from assay.estimation.schedules import harmonic, power

PLAIN = Estimate(samples=np.array([0, 1, 7]), trace=np.array([[0.0, 0.0], [1 / 3, 2.0], [np.pi, 1e-300]]))
FULL = Estimate(
    samples=np.array([0, 50]),
    trace=np.arange(8.0).reshape(2, 2, 2),
    schedule=power(0.5, 0.7),
    batch_size=5,
    averaged=True,
    standard_error=np.full((2, 2), 0.1),
    notes=("sum a_k is finite",),
)


@pytest.mark.parametrize("estimate", [PLAIN, FULL])
def test_it_is_written_and_read_exactly(estimate, tmp_path):
    estimate.save(tmp_path / "model")
    again = Estimate.load(tmp_path / "model")
    for name in ("samples", "trace", "standard_error"):
        assert np.array_equal(getattr(again, name), getattr(estimate, name)), name
    for name in ("schedule", "batch_size", "averaged", "notes"):
        assert getattr(again, name) == getattr(estimate, name)
    assert again.samples.dtype == np.int64
    assert np.array_equal(again.predict(), estimate.values)


def test_the_prediction_is_the_last_estimate_of_every_run():
    assert np.array_equal(PLAIN.predict(), [np.pi, 1e-300])
    assert np.array_equal(FULL.predict("anything"), [[4.0, 5.0], [6.0, 7.0]])


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        "{",
        '{"format": "assay-solution", "version": 1}',
        json.dumps({"format": "assay-estimate", "version": 2}),
        json.dumps({"format": "assay-estimate", "version": 1, "samples": [0]}),
    ],
)
def test_what_is_no_estimate_is_named(damage, tmp_path):
    (tmp_path / "estimate.json").write_text(damage)
    with pytest.raises(ValueError, match="expected an estimate written by assay"):
        Estimate.load(tmp_path)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="expected an estimate"):
        Estimate.load(tmp_path)


def test_a_schedule_survives(tmp_path):
    Estimate(samples=np.array([0]), trace=np.zeros((1, 1)), schedule=harmonic(2)).save(tmp_path)
    assert Estimate.load(tmp_path).schedule == harmonic(2)
