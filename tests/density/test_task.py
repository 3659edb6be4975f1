import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pytest

from assay import catalog
from assay.core.comparison import compare
from assay.core.run import Run
from assay.data.fetch import FetchError
from assay.data.table import ContractError
from assay.density import datasets
from assay.density.bernoulli import BernoulliModel
from assay.density.contract import BinaryData
from assay.density.likelihood import bits_per_dimension, log_likelihood, sigmoid, smoothed_log_odds
from assay.density.pictures import png, sheet
from assay.density.task import task


def decoded(file):
    """The grey values of a PNG without filters, read chunk by chunk."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(file):
        (size,) = struct.unpack(">I", file[at : at + 4])
        kind, content = file[at + 4 : at + 8], file[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", file[at + 8 + size : at + 12 + size])
        assert checksum == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 0)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:]


@dataclass(frozen=True, kw_only=True)
class Coins:
    """A user's own method: fair coins, with no more than log_prob."""

    bias: float = 0.0

    def fit(self, data, *, run):
        return self

    def log_prob(self, x):
        return log_likelihood(np.full(x.shape, self.bias), x)


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

    def test_without_scikit_learn_the_message_says_what_to_do(self, monkeypatch):
        monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(FetchError, match="pip install scikit-learn"):
            task.load("digits")

    def test_too_few_rows(self):
        with pytest.raises(ContractError, match="expected at least 4 rows"):
            task.load(np.zeros((3, 2)))

    def test_what_is_loaded_passes(self):
        data = BinaryData(np.zeros((5, 2), np.uint8))
        assert task.load(data) is data


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

    def test_is_in_the_catalog(self):
        assert catalog.task("density") is task


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    methods = ["bernoulli", "fvsbn", "made", Coins]
    runs = tmp_path_factory.mktemp("runs")
    return compare("density", scale="smoke", seeds=2, methods=methods, progress=False, runs=runs)


class TestBoard:
    def test_every_method_finished(self, board):
        assert {row.name: row.status for row in board.rows} == dict.fromkeys(
            [row.name for row in board.rows], "ok"
        )
        assert len(board.rows) == 4
        assert board.ranking[-1].values("bits per dimension") == pytest.approx((1.0, 1.0))

    def test_pictures_show_the_models_that_can_draw(self, board):
        samples, completions = board.figures
        assert "bits of the data were made by threshold" in samples.caption
        assert "bernoulli" in samples.caption
        grey = decoded(samples.image)
        assert set(np.unique(grey)) <= {0, 128, 255}
        scale = 640 // (16 * 8)
        assert grey.shape == ((3 * 2 * 9 - 1) * scale, (16 * 9 - 1) * scale)
        assert completions.title == "In-painting"
        assert decoded(completions.image).shape[1] == (8 * 9 - 1) * (640 // 64)

    def test_completions_keep_the_upper_half(self, board):
        scale = 640 // 64
        grey = decoded(board.figures[1].image)[::scale, ::scale]
        first = grey[:4]
        for row in range(1, 7):
            assert np.array_equal(grey[row * 9 : row * 9 + 4], first)

    def test_without_pictures_there_are_none(self, tmp_path):
        x = np.random.default_rng(0).integers(0, 2, (40, 3))
        plain = compare("density", x, methods=["bernoulli"], seeds=1, progress=False, runs=tmp_path)
        assert plain.figures == ()
        assert isinstance(plain.best, BernoulliModel)


class TestPictures:
    def test_png_is_read_back(self):
        grey = np.random.default_rng(0).integers(0, 256, (5, 7)).astype(np.uint8)
        assert np.array_equal(decoded(png(grey)), grey)

    def test_sheet(self):
        tiles = np.arange(2 * 3 * 1 * 2, dtype=np.uint8).reshape(2, 3, 1, 2)
        expected = [[0, 1, 128, 2, 3, 128, 4, 5], [128] * 8, [6, 7, 128, 8, 9, 128, 10, 11]]
        assert sheet(tiles).tolist() == expected
        assert sheet(tiles, scale=2).shape == (6, 16)
