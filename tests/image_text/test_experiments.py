import numpy as np
import pytest

from assay.data.fetch import FetchError
from assay.image_text import experiments
from assay.image_text.experiments import Bench

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def bench():
    try:
        return Bench(0, "smoke")
    except FetchError as error:
        pytest.skip(str(error))


def test_is_tested_on_a_vendor_of_the_training_side_that_is_not_trained_on(bench):
    trained, shown = set(bench.train.column("vendor")), set(bench.shown.column("vendor"))
    assert shown == {"emojione"}
    assert not trained & {"emojione", "emojione1", "twemoji", "openmoji"}


def test_features_are_computed_once_and_texts_may_be_others(bench, monkeypatch):
    method = bench.lit(examples=64)
    first = bench.locked(method)
    assert 0 <= bench.recall(first) <= bench.recall(first, 10) <= 1
    monkeypatch.setattr(experiments.LiT, "states", lambda *a, **k: pytest.fail("computed again"))
    rows = np.array([0, 3, 5, 7])
    noisy = experiments._with_texts_of(bench.train.take(rows), bench.train.take(rows[::-1]))
    model = bench.locked(method, rows, noisy)
    assert len(model.gallery) <= 4


def test_texts_of_others_come_with_their_groups(bench):
    few, others = bench.train.take([0, 1, 2]), bench.train.take([4, 4, 1])
    noisy = experiments._with_texts_of(few, others)
    assert [noisy.texts(i) for i in range(3)] == [others.texts(i) for i in range(3)]
    assert noisy.groups.tolist() == others.groups.tolist()
    assert np.array_equal(noisy.images(size=16), few.images(size=16))
    assert list(noisy.column("vendor")) == list(few.column("vendor"))


def test_a_seed_decides_what_is_measured(bench):
    assert experiments.bias_at_the_start(1, "smoke") == experiments.bias_at_the_start(1, "smoke")
