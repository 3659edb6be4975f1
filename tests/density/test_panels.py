import numpy as np
import pytest

from assay.density.fvsbn import before
from assay.density.panels import back_product, joined, panels, product, slopes, split, whole


def staircase(rows, columns, seed=0):
    """A mask in which columns see the rows up to a height of their own, both in random order."""
    rng = np.random.default_rng(seed)
    heights = rng.integers(0, rows + 1, columns)
    return (rng.permutation(rows)[:, None] < heights) & np.ones((rows, columns), bool)


SHAPES = [(1, 1), (1, 9), (9, 1), (5, 3), (12, 30), (40, 17)]


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
class TestPanels:
    def test_cover_what_is_kept_and_have_every_column_once(self, rows, columns, seed):
        kept = staircase(rows, columns, seed)
        placed = panels("W", kept)
        covered, seen = np.zeros(kept.shape, int), np.zeros(columns, int)
        for panel in placed:
            covered[np.ix_(np.arange(rows)[panel.rows], np.arange(columns)[panel.columns])] += 1
            seen[panel.columns] += 1
        assert (covered[kept] == 1).all()
        assert covered.max() <= 1
        assert (seen == 1).all()

    def test_products_are_those_of_the_masked_matrix(self, rows, columns, seed):
        rng = np.random.default_rng(seed)
        kept = staircase(rows, columns, seed)
        W = rng.normal(size=kept.shape) * kept
        x, error = rng.normal(size=(4, rows)), rng.normal(size=(4, columns))
        for placed in (panels("W", kept), whole("W")):
            plan = {"W": placed}
            parts = split({"W": W}, plan)
            assert product(x, parts, placed) == pytest.approx(x @ W, abs=1e-12)
            assert back_product(error, parts, placed, rows) == pytest.approx(error @ W.T, abs=1e-12)
            slope = joined(slopes(x, error, placed), plan, {"W": np.zeros_like(W)})["W"]
            assert slope * kept == pytest.approx((x.T @ error) * kept, abs=1e-12)

    def test_are_split_off_and_joined_again(self, rows, columns, seed):
        rng = np.random.default_rng(seed)
        kept = staircase(rows, columns, seed)
        given = {"W": rng.normal(size=kept.shape), "b": rng.normal(size=3)}
        before_ = {name: a.copy() for name, a in given.items()}
        plan = {"W": panels("W", kept)}
        parts = split(given, plan)
        for name in parts:
            parts[name] = parts[name] + 1
        again = joined(parts, plan, given)
        assert set(again) == {"W", "b"}
        assert np.array_equal(again["b"], given["b"] + 1)
        assert (again["W"][kept] == given["W"][kept] + 1).all()
        assert all(np.array_equal(a, before_[name]) for name, a in given.items())


def test_a_triangle_is_covered_with_little_more_than_its_half():
    kept = before(np.arange(120))
    placed = panels("W", kept)
    parts = split({"W": kept.astype(float)}, {"W": placed})
    assert sum(part.size for part in parts.values()) < 0.6 * kept.size
    assert all(isinstance(panel.rows, slice) and isinstance(panel.columns, slice) for panel in placed)


def test_a_mask_without_a_staircase_stays_whole():
    assert panels("W", np.random.default_rng(0).random((50, 40)) < 0.9) == whole("W")
    assert panels("W", np.ones((1, 1), bool)) == whole("W")


def test_a_mask_that_keeps_nothing_gives_zeros():
    placed = panels("W", np.zeros((5, 4), bool))
    parts = split({"W": np.ones((5, 4))}, {"W": placed})
    assert (product(np.ones((2, 5)), parts, placed) == 0).all()
    assert (back_product(np.ones((2, 4)), parts, placed, 5) == 0).all()
