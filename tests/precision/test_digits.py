import numpy as np
import pytest

from assay.data.fetch import FetchError
from assay.precision import digits as module
from assay.precision.digits import digits


def test_are_scikit_learns():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    data, expected = digits(), load_digits()
    assert data.images.shape == (1797, 8, 8)
    assert np.array_equal(data.images, np.rint(expected.images * (255 / 16)))
    assert np.array_equal(data.labels, expected.target)
    assert data.classes == tuple("0123456789")


def test_without_scikit_learn_or_with_another_file_the_message_says_so(monkeypatch):
    monkeypatch.setattr(module, "_SHA256", "0" * 64)
    with pytest.raises(FetchError, match=r"digits\.csv\.gz: expected the digits with the SHA-256 0000"):
        digits()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FetchError, match="pip install scikit-learn"):
        digits()
