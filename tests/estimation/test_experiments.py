import inspect
import json
import math

import pytest

from assay.estimation import experiments


def test_a_measure_is_the_same_for_the_same_seed_and_another_for_another():
    one, again, other = (json.dumps(experiments.flips(seed, "smoke")) for seed in (0, 0, 1))
    assert one == again != other


def test_quantities_are_what_they_are_called():
    flips = experiments.flips(0, "default")
    assert flips["1.05 / sqrt(200)"] == pytest.approx(0.0742, abs=1e-4)
    assert flips["error of 20 flips"] == pytest.approx(math.sqrt(1 / 20), rel=0.1)
    sizes = experiments.batch_sizes(0, "default")
    assert [sizes[f"m = {m}"] for m in (1, 5, 50)] == pytest.approx([1.491, 0.667, 0.211], rel=0.1)
    assert sizes["m = 5 / m = 50"] == pytest.approx(sizes["m = 5"] / sizes["m = 50"])
    assert experiments.projection(0, "smoke")["1.1"] == 1.1


PUBLIC = [
    name
    for name, value in vars(experiments).items()
    if inspect.isfunction(value) and value.__module__ == experiments.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_experiment_names_finite_numbers(name):
    found = getattr(experiments, name)(0, "smoke")
    assert found
    assert all(math.isfinite(value) for value in found.values())


def test_averages_of_ten_times_the_samples_err_about_as_theory_says():
    """At smoke scale 1,000 samples, by twenty runs: only that the ratio is of the right order."""
    found = experiments.averaging_in_the_limit(0, "smoke")
    assert found["1.25"] == 1.25
    assert 0.5 < found["average, c = 1"] < 3
    assert found["a tenth of them, c = 0.3"] > found["average, c = 0.3"]
