import numpy as np
import pytest

from assay.collectives import metrics


@pytest.mark.parametrize(("ranks", "factor"), [(2, 1.0), (4, 1.5), (8, 1.75), (16, 1.875)])
def test_bus_bandwidth_as_nccl_tests_defines_it(ranks, factor):
    assert metrics.bytes_factor("all_reduce", ranks) == factor
    assert metrics.bus_bandwidth("all_reduce", 10**9, 0.5, ranks) == 2e9 * factor
    for operation in ("reduce_scatter", "all_gather"):
        assert metrics.bus_bandwidth(operation, 10**9, 0.5, ranks) == 2e9 * factor / 2
    for operation in ("broadcast", "reduce"):
        assert metrics.bus_bandwidth(operation, 10**9, 0.5, ranks) == 2e9
    assert metrics.algorithm_bandwidth(10**9, 0.5) == 2e9


def test_numeric_error_is_relative_to_the_largest():
    assert metrics.numeric_error(np.array([1.0, -4.0]), np.array([1.5, -5.0])) == 0.2
    assert metrics.numeric_error(np.zeros(2), np.zeros(2)) == 0.0
    assert metrics.numeric_error(np.zeros(0), np.zeros(0)) == 0.0


def test_overlap():
    exposed = metrics.exposed_communication(1.25, 1.0)
    assert exposed == 0.25
    assert metrics.overlap_fraction(exposed, [0.5, 0.5]) == 0.75
    assert metrics.overlap_fraction(1.0, [0.5, 0.5]) == 0.0


def test_scaling_efficiency():
    assert metrics.scaling_efficiency(360.0, 100.0, 4) == 0.9
