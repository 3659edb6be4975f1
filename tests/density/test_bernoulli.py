import numpy as np
import pytest
from random_densities import two_prototypes

from assay.core.run import Run
from assay.density.bernoulli import Bernoulli
from assay.density.contract import BinaryData, binarised


class TestBernoulli:
    def test_counts(self):
        x = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]], np.uint8)
        model = Bernoulli().fit(BinaryData(x), run=Run())
        p = 1 / (1 + np.exp(-model.weights["b"]))
        assert p == pytest.approx([4 / 5, 1 / 5, 3 / 5], abs=1e-12)
        expected = [np.log(4 / 5) + np.log(4 / 5) + np.log(q) for q in (3 / 5, 2 / 5, 3 / 5)]
        assert model.log_prob(x) == pytest.approx(expected, abs=1e-12)

    def test_stochastic_bits_count_by_their_probability(self):
        grey = np.array([[0.2, 1.0], [0.4, 0.0]])
        model = Bernoulli().fit(binarised(grey, "stochastic", name="g"), run=Run())
        assert 1 / (1 + np.exp(-model.weights["b"])) == pytest.approx([1.6 / 4, 2 / 4], abs=1e-6)

    def test_is_the_nearest_product_to_the_data(self):
        """Maximum likelihood is the least Kullback-Leibler divergence: moving any coin makes it worse."""
        data = two_prototypes(5000)
        model = Bernoulli().fit(data, run=Run())
        best = model.log_prob(data.x).mean()
        for d in range(5):
            for change in (-0.2, 0.2):
                b = np.array(model.weights["b"])
                b[d] += change
                assert type(model)(weights={"b": b}).log_prob(data.x).mean() < best
