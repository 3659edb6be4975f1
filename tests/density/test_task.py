import numpy as np
import pytest
from random_densities import Coins

from assay import catalog
from assay.core.run import Run
from assay.data.fetch import FetchError
from assay.data.table import ContractError
from assay.density.contract import BinaryData
from assay.density.task import task


class TestLoad:
    def test_digits(self):
        data = task.load()
        assert (data.x.shape, data.picture) == ((1797, 64), (8, 8))
        assert data.name == "digits-threshold-0.5"
        sklearn = pytest.importorskip("sklearn.datasets")
        assert np.array_equal(data.x, sklearn.load_digits().data >= 8)

    def test_smoke_is_smaller_and_the_users_data_are_whole(self):
        assert len(task.load(scale="smoke")) == 400
        x = np.zeros((1000, 3))
        assert len(task.load(x, scale="smoke")) == 1000

    @pytest.mark.parametrize(("name", "rows"), [("mnist", 10_000), ("mnist-5k", 5000)])
    def test_mnist(self, name, rows):
        try:
            data = task.load(name, binarise="fixed")
        except FetchError as error:
            pytest.skip(str(error))
        assert (data.x.shape, data.picture) == ((rows, 784), (28, 28))
        assert data.name == f"{name}-fixed-0"
        assert 0.12 < data.x.mean() < 0.14
        assert data.x.reshape(-1, 28, 28)[:, :2].mean() < 0.01  # The digits stand in the middle.

    def test_too_few_rows(self):
        with pytest.raises(ContractError, match="expected at least 4 rows"):
            task.load(np.zeros((3, 2)))

    def test_what_is_loaded_passes(self):
        data = BinaryData(np.zeros((5, 2), np.uint8))
        assert task.load(data) is data


class TestTrials:
    def test_split_is_disjoint_complete_and_by_seed(self):
        x = (np.arange(100)[:, None] >> np.arange(7) & 1).astype(np.uint8)
        train, test = task.split(BinaryData(x), 0)
        assert (len(train), len(test)) == (75, 25)
        assert len(np.unique(np.concatenate([train.x, test.x]), axis=0)) == 100
        assert np.array_equal(task.split(BinaryData(x), 0)[1].x, test.x)
        assert not np.array_equal(task.split(BinaryData(x), 1)[1].x, test.x)

    def test_curve_ends_near_the_score(self):
        data = task.load(scale="smoke")
        train, test = task.split(data, 0)
        model = task.fit(task.method("fvsbn", data, {"max_epochs": 8}), train, Run())
        curve = task.curve(model, test)
        assert [epoch for epoch, _ in curve] == [1, 2, 3, 4, 5, 6, 7, 8]
        score = task.score(task.predict(model, test, Run()), test)["NLL"]
        assert any(value == pytest.approx(score, abs=1e-9) for _, value in curve)
        assert task.curve_axis() == "epoch"
        assert task.curve(Coins(), test) == []

    def test_smoke_scale_is_small(self):
        data = task.load(scale="smoke")
        assert task.method("made", data, {}, "smoke").hidden == 16
        assert task.method("made", data, {"hidden": 30}, "smoke").hidden == 30
        assert task.method("mixture", data, {}, "smoke").num_components == 5

    def test_digits_cost_what_they_are_known_to(self):
        """Independent bits about 0.568 bits a pixel, MADE about 0.39; every other method is in between."""
        data = task.load("digits")
        train, test = task.split(data, 0)
        found = {}
        for name in ("bernoulli", "mixture", "fvsbn", "made"):
            model = task.fit(task.method(name, data, {}), train, Run())
            found[name] = task.score(task.predict(model, test, Run()), test)["bits per dimension"]
        assert found["bernoulli"] == pytest.approx(0.568, abs=0.01)
        assert found["made"] == pytest.approx(0.39, abs=0.01)
        assert found["made"] < found["fvsbn"] < found["bernoulli"]
        assert found["made"] < found["mixture"] < found["bernoulli"]

    @pytest.mark.parametrize("name", task.methods)
    def test_a_trained_models_samples_are_as_likely_as_the_test_rows(self, name):
        """On rows of a distribution that every family holds: 20,000 samples, four standard errors."""
        p = np.array([0.9, 0.2, 0.5, 0.7])
        draws = np.random.default_rng(0).random((24_000, 4)) < p
        train, test = (BinaryData(part.astype(np.uint8)) for part in np.split(draws, [4000]))
        settings = {"mixture": {"num_components": 2}, "made": {"hidden": 16}, "eonade": {"hidden": 8}}
        model = task.fit(task.method(name, train, settings.get(name, {})), train, Run())
        own = -model.log_prob(model.sample(20_000, np.random.default_rng(1)))
        theirs = -model.log_prob(test.x)
        error = np.hypot(own.std() / np.sqrt(len(own)), theirs.std() / np.sqrt(len(theirs)))
        # The shares of ones in the training rows are off by their own chance, too.
        shares = np.abs(train.x.mean(axis=0) - test.x.mean(axis=0)) @ np.abs(np.log(p / (1 - p)))
        assert abs(own.mean() - theirs.mean()) < 4 * error + shares

    def test_is_in_the_catalog(self):
        assert catalog.task("density") is task
