import contextlib

import numpy as np
import pytest

from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.clip import CLIP
from assay.image_text.dfn import DFN, chosen, pair_scores

pytest.importorskip("tokenizers")


@pytest.mark.parametrize(("fraction", "count"), [(0, 0), (0.2, 2), (0.25, 3), (0.5, 5), (1, 10)])
def test_exactly_the_best_fraction_is_kept(fraction, count):
    scores = np.array([0.3, 0.9, 0.3, 0.1, 0.3, 0.8, 0.3, 0.2, 0.0, 0.3])
    keys = [f"key {9 - i}" for i in range(10)]
    found = chosen(scores, fraction, keys)
    assert len(found) == count
    assert (np.diff(found) > 0).all()
    if 0 < count < 10:
        assert scores[found].min() >= np.delete(scores, found).max()


def test_equal_scores_are_settled_by_their_names_wherever_they_stand():
    scores, keys = np.zeros(6), list("fbdace")
    assert sorted(keys[i] for i in chosen(scores, 0.5, keys)) == ["a", "b", "c"]
    order = np.array([3, 1, 5, 0, 4, 2])
    again = chosen(scores[order], 0.5, [keys[i] for i in order])
    assert sorted(keys[order[i]] for i in again) == ["a", "b", "c"]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"a fraction in \[0, 1\], got 1.5"):
        chosen(np.zeros(2), 1.5, ["a", "b"])
    with pytest.raises(ValueError, match="a key for each of 2 scores, got 1"):
        chosen(np.zeros(2), 0.5, ["a"])
    with pytest.raises(ValueError, match=r"expected keep in \(0, 1\], got 0"):
        DFN(keep=0)


def noisy(pairs):
    """The pairs as they are, twice, and with the texts of others; `clean` says what the filter may see."""
    texts = [list(pairs.texts(i, "en")) for i in range(24)]
    wrong = texts[7:] + texts[:7]
    pictures = list(pairs.images(size=16))
    clean = [True] * 24 + [False] * 48
    return Pairs.of(
        pictures * 3,
        texts + texts + wrong,
        columns={"clean": clean, "true": [1] * 48 + [0] * 24},
    )


def test_the_filter_keeps_what_belongs_together(pairs, small):
    data = noisy(pairs)
    method = DFN(**small, filter_examples=960)
    run = Run(seed=2)
    clean = method.known_clean(data, run)
    assert clean.sum() == 24
    pool = data.take(np.flatnonzero(~clean))
    judge = method.student(method.filter_examples).fit(data.take(np.flatnonzero(clean)), run=run)
    kept = method.selected(judge, pool)
    assert len(kept) == 24
    assert np.asarray(pool.take(kept).column("true")).mean() > 0.85
    order = np.random.default_rng(0).permutation(len(pool))
    again = order[method.selected(judge, pool.take(order))]
    assert sorted(again.tolist()) == kept.tolist()  # However the pool is ordered or divided.


def test_a_pairs_score_is_the_mean_cosine_of_its_texts(pairs, small, run):
    model = CLIP(**{**small, "examples": 24}).fit(pairs, run=run)
    found = pair_scores(model, pairs)
    for i in (0, 5, 20):
        wanted = model.scores(list(pairs.images([i], 16)), list(pairs.texts(i))).mean()
        assert found[i] == pytest.approx(wanted, abs=1e-5)
    assert np.allclose(pair_scores(model, pairs, ["en"])[12:], found[12:], atol=1e-6)


def test_fits_a_filter_and_a_model(pairs, small):
    model = DFN(**small, filter_examples=120).fit(noisy(pairs), run=Run())
    assert model.facts == {"clean pairs": 24, "pool": 48, "kept": 24}
    assert model.scores(pairs, ["red bar"]).shape == (24, 1)


def test_without_a_column_a_random_share_counts_as_clean(pairs, small):
    clean = DFN(**small, clean=0.5).known_clean(pairs, Run(seed=1))
    assert 4 < clean.sum() < 20
    assert np.array_equal(clean, DFN(**small, clean=0.5).known_clean(pairs, Run(seed=1)))


def test_leaves_the_folder_of_the_model_to_the_trial(pairs, small, tmp_path):
    with contextlib.closing(Run(folder=tmp_path)) as run:
        DFN(**small, filter_examples=24).fit(noisy(pairs), run=run)
    assert not (tmp_path / "model").exists()
