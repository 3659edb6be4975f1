"""The data contract of the collectives wing: how many ranks sum an array of how many bytes of which type."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.core.files import write_json
from assay.data.table import ContractError

ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "uint8": 1}
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_BLOCK = 2**16  # Values repeat after so many, so that a large array costs a copy and not a draw.


def parse_size(size: int | str) -> int:
    """Bytes in 4096, "4096", "64M", "64MB" or "64MiB"; a K, M or G is a power of 1,024, as nccl-tests has it.

    Raises:
        ContractError: the text has another form.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?\s*", str(size).lower())
    if match is None:
        raise ContractError(f"bytes: expected an amount such as 4096, 64K or 64M, got {size!r}")
    return int(float(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An array to be summed over ranks.

    Args:
        ranks: how many processes.
        bytes: of the array on each rank.
        dtype: of its elements.
    """

    ranks: int = 2
    bytes: int = 2**24
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not isinstance(self.ranks, int) or self.ranks < 2:
            raise ContractError(f"ranks: expected at least 2, got {self.ranks!r}")
        if self.dtype not in ITEM_BYTES:
            raise ContractError(f"dtype: expected one of {', '.join(ITEM_BYTES)}, got {self.dtype!r}")
        if self.bytes < ITEM_BYTES[self.dtype] or self.bytes % ITEM_BYTES[self.dtype]:
            raise ContractError(
                f"bytes: expected a positive multiple of {ITEM_BYTES[self.dtype]}, the size of a "
                f"{self.dtype}, got {self.bytes}"
            )

    @property
    def length(self) -> int:
        """Elements of the array."""
        return self.bytes // ITEM_BYTES[self.dtype]

    @property
    def name(self) -> str:
        """Such as "64 MiB of float32 on 4 ranks"."""
        size, unit = float(self.bytes), "bytes"
        for larger in ("KiB", "MiB", "GiB"):
            if size >= 1024:
                size, unit = size / 1024, larger
        return f"{size:g} {unit} of {self.dtype} on {self.ranks} ranks"

    def block(self, rank: int, seed: int) -> NDArray[Any]:
        """The values of a rank, which repeat to fill its array: normal, or from 0 to 8 for integers."""
        rng = np.random.default_rng([seed, rank])
        length = min(self.length, _BLOCK)
        if "int" in self.dtype:
            return rng.integers(0, 9, length)
        return rng.standard_normal(length)

    def fingerprint(self) -> str:
        """SHA-256 of the fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self) | {"elements": self.length}

    def save(self, folder: Path) -> None:
        """Writes problem.json."""
        write_json(folder / "problem.json", asdict(self))

    @classmethod
    def open(cls, folder: Path) -> "Problem":
        """The problem that `save` wrote."""
        return cls(**json.loads((folder / "problem.json").read_text("utf-8")))
