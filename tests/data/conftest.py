import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from assay.data.emoji import emoji_pairs
from assay.data.fetch import FetchError
from assay.data.pairs import Pairs
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


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """An encoded image of one colour, with a square of another, so that turning it shows."""

    def encode(
        colour: tuple[int, ...] = (200, 30, 30), size: tuple[int, int] = (20, 12), kind: str = "png"
    ) -> bytes:
        from PIL import Image

        image = Image.new("RGB" if len(colour) == 3 else "RGBA", size, colour)
        image.paste((0, 0, 255), (0, 0, size[0] // 2, size[1] // 2))
        file = io.BytesIO()
        image.save(file, format=kind)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def smoke_emoji() -> Pairs:
    """The emoji at smoke scale; skips where they cannot be fetched."""
    try:
        return emoji_pairs("smoke")
    except FetchError as error:
        pytest.skip(f"the registry is out of reach: {error}")
