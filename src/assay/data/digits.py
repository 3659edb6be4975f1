"""Handwritten digits with their labels, 8 x 8 pixels, from scikit-learn.

Nothing of them is part of this library: they are the test set of "Optical Recognition of Handwritten Digits"
(E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, 1998, CC BY 4.0).
"""

import gzip
import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np

from assay.data.fetch import FetchError
from assay.data.labelled import LabelledImages

_SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 pictures of shape (8, 8) with grey values from 0 to 16, and the digit that each shows.

    Raises:
        FetchError: scikit-learn is not installed, or its file is another.
    """
    found = importlib.util.find_spec("sklearn")  # Only asks where it is: its import is slow.
    if found is None or not found.submodule_search_locations:
        raise FetchError(
            "the 8x8 digits come with scikit-learn, which is not installed: `pip install scikit-learn`, "
            "or take other data"
        )
    path = Path(found.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    content = path.read_bytes() if path.exists() else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SHA256:
        raise FetchError(f"{path}: expected the digits with the SHA-256 {_SHA256}, got {digest}")
    table = np.loadtxt(io.BytesIO(gzip.decompress(content)), np.int64, delimiter=",")
    return table[:, :64].astype(np.uint8).reshape(-1, 8, 8), table[:, 64]


def digits() -> LabelledImages:
    """The same as labelled images; their 17 grey values are spread over 0 to 255.

    Raises:
        FetchError: scikit-learn is not installed, or its file is another.
    """
    grey, labels = read_digits()
    return LabelledImages(
        images=np.rint(grey * (255 / 16)).astype(np.uint8),
        labels=labels,
        classes=tuple(str(digit) for digit in range(10)),
        name="digits",
        notes=("CC BY 4.0, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository",),
    )
