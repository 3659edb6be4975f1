from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from assay.data.table import Column, Table


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file and gives back its path."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def people() -> Table:
    """A table with a column of every kind, and a missing value in each."""
    return Table(
        (
            Column("age", "numeric", np.array([31.0, np.nan, 58.5, -4.0])),
            Column("member", "boolean", np.array([1.0, 0.0, np.nan, 1.0])),
            Column("since", "date", np.array([1_577_836_800.0, 1_577_856_600.25, 0.0, np.nan])),
            Column("town", "category", np.array([1, -1, 0, 1], np.int32), ("Köln", "Oslo")),
        ),
        name="people",
    )
