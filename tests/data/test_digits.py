import gzip
import hashlib

import numpy as np
import pytest

from assay.data import digits as module
from assay.data.digits import digits, read_digits
from assay.data.fetch import FetchError


def test_are_scikit_learns():
    expected = pytest.importorskip("sklearn.datasets").load_digits()
    grey, labels = read_digits()
    assert np.array_equal(grey, expected.images)
    assert np.array_equal(labels, expected.target)
    data = digits()
    assert data.images.shape == (1797, 8, 8)
    assert np.array_equal(data.images, np.rint(expected.images * (255 / 16)))
    assert np.array_equal(data.labels, expected.target)
    assert data.classes == tuple("0123456789")


def test_without_scikit_learn_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FetchError, match="pip install scikit-learn"):
        digits()


def test_other_digits_than_those_known_are_refused(monkeypatch, tmp_path):
    folder = tmp_path / "datasets" / "data"
    folder.mkdir(parents=True)
    content = gzip.compress(b"0," * 64 + b"0\n")
    (folder / "digits.csv.gz").write_bytes(content)
    found = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: found)
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(FetchError, match=rf"digits\.csv\.gz: expected .*SHA-256.*{digest}"):
        read_digits()
