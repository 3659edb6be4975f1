"""The data contract of the density wing: rows of 0 and 1, and how they were made from grey values."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from assay.core.files import write_json
from assay.data.table import ContractError, Table

Binarisation = Literal["threshold", "fixed", "stochastic"]
"""`threshold`: 1 where the grey value is at least a threshold. `fixed`: every bit drawn once, with the grey
value as its probability. `stochastic`: drawn so anew in every epoch of training, and once for testing."""

Bits = NDArray[np.uint8]

_BINARISE = f"; of grey values bits are made by binarise, one of {', '.join(get_args(Binarisation))}"
_FIXED_SEED = 0  # Of `fixed` and of the test bits of `stochastic`: the same for every run and method.


@dataclass(frozen=True, eq=False)
class BinaryData:
    """Binary vectors.

    Args:
        x: 0 and 1, of shape (rows, variables).
        name: what the user calls them, with the binarisation.
        names: of the variables.
        picture: height and width if the variables are the pixels of a picture, row by row.
        binarisation: in words.
        grey: for stochastic binarisation, the probability of a 1, of the shape of `x`.
    """

    x: Bits
    name: str = "data"
    names: tuple[str, ...] = ()
    picture: tuple[int, int] | None = None
    binarisation: str = "none: the values are 0 and 1"
    grey: NDArray[np.float32] | None = None

    @property
    def num_variables(self) -> int:
        """How many bits a row has."""
        return self.x.shape[1]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: NDArray[Any]) -> "BinaryData":
        """Only these rows."""
        return replace(self, x=self.x[rows], grey=None if self.grey is None else self.grey[rows])

    def drawn(self, rng: np.random.Generator) -> Bits:
        """The bits for one epoch of training: `x`, or a new draw from the grey values."""
        return self.x if self.grey is None else _draw(self.grey, rng)

    def fingerprint(self) -> str:
        """SHA-256 of everything but the name."""
        digest = hashlib.sha256(json.dumps([self.x.shape, self.names, self.picture]).encode())
        digest.update(np.ascontiguousarray(self.x).tobytes())
        if self.grey is not None:
            digest.update(np.ascontiguousarray(self.grey).tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Sizes, binarisation, share of ones."""
        return {
            "rows": len(self),
            "variables": self.num_variables,
            "picture": None if self.picture is None else list(self.picture),
            "binarisation": self.binarisation,
            "ones": round(float(self.x.mean()), 4),
            "note": f"binarisation: {self.binarisation}",
        }

    def save(self, folder: Path) -> None:
        """Writes the data into an empty folder; `open` reads it back."""
        from safetensors.numpy import save_file

        arrays: dict[str, NDArray[Any]] = {"x": np.ascontiguousarray(self.x)}
        if self.grey is not None:
            arrays["grey"] = np.ascontiguousarray(self.grey)
        save_file(arrays, folder / "data.safetensors")
        facts = {"name": self.name, "names": self.names, "picture": self.picture}
        write_json(folder / "data.json", facts | {"binarisation": self.binarisation})

    @classmethod
    def open(cls, folder: Path) -> "BinaryData":
        """The data that `save` wrote."""
        from safetensors.numpy import load_file

        facts = json.loads((folder / "data.json").read_text("utf-8"))
        arrays = load_file(folder / "data.safetensors")
        return cls(
            arrays["x"],
            facts["name"],
            tuple(facts["names"]),
            None if facts["picture"] is None else tuple(facts["picture"]),
            facts["binarisation"],
            arrays.get("grey"),
        )


def bits(
    values: Any,
    *,
    names: Sequence[str] = (),
    where: str = "data",
    variables: int | None = None,
    advice: str = "",
) -> Bits:
    """`values` as uint8 of shape (rows, variables).

    Args:
        values: a matrix of 0 and 1.
        names: of the columns, for the message.
        where: what the user calls the values.
        variables: how many columns there must be.
        advice: what to do about a value that is not 0 or 1.

    Raises:
        ContractError: a value is not 0 or 1 (the message names row and column, both from 1), the shape is
            another, or there is nothing in it.
    """
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise ContractError(f"{where}: expected rows of 0 and 1, got an array of shape {array.shape}")
    if variables is not None and array.shape[1] != variables:
        raise ContractError(f"{where}: expected {variables} columns, got {array.shape[1]}")
    if array.dtype.kind not in "buif":
        raise ContractError(f"{where}: expected 0 and 1, got values of type {array.dtype}")
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        name = f"{names[column]!r}" if len(names) else str(column + 1)
        value = array[row, column].item()
        got = "a missing value" if value != value else repr(value)
        raise ContractError(f"{where}: row {row + 1}, column {name}: expected 0 or 1, got {got}{advice}")
    return array.astype(np.uint8)


def binarised(
    grey: NDArray[Any],
    how: Binarisation,
    *,
    threshold: float = 0.5,
    name: str,
    picture: tuple[int, int] | None = None,
    names: Sequence[str] = (),
) -> BinaryData:
    """Binary vectors from grey values in [0, 1]; the name says how they were made.

    Raises:
        ContractError: a grey value is outside [0, 1], or the threshold outside (0, 1], or `how` is unknown.
    """
    if how not in get_args(Binarisation):
        raise ContractError(f"binarise: expected one of {', '.join(get_args(Binarisation))}, got {how!r}")
    if not 0 < threshold <= 1:
        raise ContractError(f"threshold: expected a number in (0, 1], got {threshold!r}")
    grey = np.asarray(grey, np.float32)
    wrong = ~((grey >= 0) & (grey <= 1))
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ContractError(
            f"{name}: row {row + 1}, column {column + 1}: expected a grey value in [0, 1], "
            f"got {grey[row, column]:g}"
        )
    if how == "threshold":
        x = (grey >= np.float32(threshold)).astype(np.uint8)
        words = f"threshold: 1 where the grey value is at least {threshold:g}"
        return BinaryData(x, f"{name}-threshold-{threshold:g}", tuple(names), picture, words)
    x = _draw(grey, np.random.default_rng(_FIXED_SEED))
    if how == "fixed":
        words = f"fixed: each bit drawn once with the grey value as its probability, seed {_FIXED_SEED}"
        return BinaryData(x, f"{name}-fixed-{_FIXED_SEED}", tuple(names), picture, words)
    words = f"stochastic: bits drawn anew in every epoch of training, test bits once with seed {_FIXED_SEED}"
    return BinaryData(x, f"{name}-stochastic", tuple(names), picture, words, grey)


def read_binary(
    source: Any, *, binarise: Binarisation | None = None, threshold: float = 0.5, name: str | None = None
) -> BinaryData:
    """Binary vectors of a table or of NumPy arrays.

    Args:
        source: a CSV, Parquet or other table file, a .npy file, a .npz file with one array, an array, or a
            frame. An array of three dimensions holds pictures: (rows, height, width).
        binarise: how to make bits from grey values, which are in [0, 1], or in [0, 255] if they are bytes;
            None if they are bits.
        threshold: of the grey value.
        name: what to call the data; None for what the source is called.

    Raises:
        ContractError: a value is not what it must be; the message names row and column.
    """
    values, names, picture, found = _values(source)
    name = name or found
    if binarise is None:
        advice = _BINARISE if _may_be_grey(values) else ""
        return BinaryData(bits(values, names=names, where=name, advice=advice), name, names, picture)
    if values.dtype == np.uint8:
        values = values / np.float32(255)
    return binarised(values, binarise, threshold=threshold, name=name, picture=picture, names=names)


def _may_be_grey(values: NDArray[Any]) -> bool:
    return values.dtype == np.uint8 or (
        values.dtype.kind == "f" and bool(((values >= 0) & (values <= 1)).all())
    )


def _values(source: Any) -> tuple[NDArray[Any], tuple[str, ...], tuple[int, int] | None, str]:
    """Values of shape (rows, variables), names of the columns, the picture's shape, the source's name."""
    name = "data"
    if isinstance(source, (str, Path)) and Path(source).suffix in (".npy", ".npz"):
        source, name = _read_numpy(Path(source)), Path(source).name
    if isinstance(source, np.ndarray):
        if source.ndim == 3:
            height, width = source.shape[1:]
            return source.reshape(len(source), -1), (), (height, width), name
        if source.ndim != 2:
            raise ContractError(f"{name}: expected 2 dimensions, or 3 for pictures, got {source.ndim}")
        return source, (), None, name
    table = Table.of(source)
    for column in table:
        if column.kind == "category" and len(column.categories):
            row = int(np.flatnonzero(column.values >= 0)[0])
            value = column.categories[column.values[row]]
            raise ContractError(
                f"{table.name}: row {row + 1}, column {column.name!r}: expected 0 or 1, got {value!r}"
            )
    return table.to_numpy(), table.names, None, table.name


def _read_numpy(path: Path) -> NDArray[Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ContractError(f"{path}: expected a NumPy array ({error})") from None
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        if len(loaded.files) != 1:
            raise ContractError(f"{path}: expected one array, got {', '.join(loaded.files) or 'none'}")
        return loaded[loaded.files[0]]


def _draw(grey: NDArray[np.float32], rng: np.random.Generator) -> Bits:
    return (rng.random(grey.shape, np.float32) < grey).astype(np.uint8)
