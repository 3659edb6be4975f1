import numpy as np
import pytest
from random_densities import Coins

from assay.core.run import Run
from assay.density.contract import BinaryData
from assay.density.likelihood import bits_per_dimension, log_likelihood, sigmoid, smoothed_log_odds
from assay.density.task import task


class TestMetrics:
    def test_are_sums_over_bits_and_means_over_rows(self):
        data = BinaryData(np.array([[0, 1], [1, 1]], np.uint8))
        outputs = task.predict(Coins(bias=1.0), data, Run())
        p = 1 / (1 + np.exp(-1))
        nll = -(np.log(1 - p) + 3 * np.log(p)) / 2
        scores = task.score(outputs, data)
        assert scores["NLL"] == pytest.approx(nll, abs=1e-12)
        assert scores["bits per dimension"] == pytest.approx(nll / (2 * np.log(2)), abs=1e-12)
        assert [metric.name for metric in task.metrics(data)] == list(scores)

    def test_fair_coins_have_one_bit_per_dimension(self):
        assert bits_per_dimension(Coins().log_prob(np.zeros((3, 17))), 17) == pytest.approx(1, abs=1e-14)

    def test_log_likelihood_of_large_logits(self):
        z, x = np.array([[800.0, -800.0, 800.0]]), np.array([[1, 0, 0]])
        assert log_likelihood(z, x) == pytest.approx([-800.0], abs=1e-12)

    def test_sigmoid(self):
        a = np.array([-1000.0, -2.0, 0.0, 3.0, 1000.0])
        assert sigmoid(a) == pytest.approx([0, 1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-3)), 1], abs=1e-15)
        assert sigmoid(a, out=a) is a

    def test_smoothed_log_odds(self):
        x = np.array([[1, 0], [1, 0], [0, 0]])
        assert smoothed_log_odds(x) == pytest.approx([np.log(3 / 2), np.log(1 / 4)], abs=1e-15)
