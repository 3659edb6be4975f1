import numpy as np
import pytest
from random_densities import Coins, decoded

from assay.core.comparison import compare
from assay.density.bernoulli import BernoulliModel


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
        assert decoded(completions.image).shape[1] == (16 * 9 - 1) * (640 // 128)

    def test_completions_keep_the_upper_half(self, board):
        scale = 640 // 128
        grey = decoded(board.figures[1].image)[::scale, ::scale]
        first = grey[:4]
        for row in range(1, 7):
            assert np.array_equal(grey[row * 9 : row * 9 + 4], first)

    def test_without_pictures_there_are_none(self, tmp_path):
        x = np.random.default_rng(0).integers(0, 2, (40, 3))
        plain = compare("density", x, methods=["bernoulli"], seeds=1, progress=False, runs=tmp_path)
        assert plain.figures == ()
        assert isinstance(plain.best, BernoulliModel)
