import numpy as np
import pytest

from assay.data.fetch import FetchError
from assay.density import datasets
from assay.density.datasets import PICTURES, load_grey


@pytest.mark.parametrize(
    ("name", "rows", "shape"),
    [("digits", 1797, (8, 8)), ("mnist-5k", 5000, (28, 28)), ("mnist", 10_000, (28, 28))],
)
def test_are_grey_values_between_0_and_1(name, rows, shape):
    try:
        grey, picture = load_grey(name)
    except FetchError as error:
        pytest.skip(str(error))
    assert picture == shape
    assert grey.shape == (rows, shape[0] * shape[1])
    assert grey.dtype == np.float32
    assert (grey.min(), grey.max()) == (0, 1)
    assert len(np.unique(grey)) > 2  # Grey, and not yet bits.


def test_names_are_those_of_the_task():
    assert set(PICTURES) == {"digits", "mnist", "mnist-5k"}
    with pytest.raises(KeyError):
        load_grey("cifar")


def test_what_was_read_once_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    reads = []

    def read():
        reads.append(1)
        return np.arange(6, dtype=np.float32).reshape(2, 3)

    one, two = (datasets._cached("three", read) for _ in range(2))
    assert np.array_equal(one, two)
    assert len(reads) == 1
    assert not list(tmp_path.rglob("*.new"))
