"""Small tables that several test files ask for."""

import numpy as np
import pytest

from assay.data.table import Column, Table


@pytest.fixture
def people():
    """A numeric and a category column with missing values, and two classes that follow from them."""
    rng = np.random.default_rng(0)
    age = rng.uniform(18, 80, 120)
    age[::11] = np.nan
    colour = rng.integers(-1, 3, 120).astype(np.int32)
    table = Table(
        (Column("age", "numeric", age), Column("colour", "category", colour, ("blue", "green", "red"))),
        "people",
    )
    return table, np.where((colour == 1) | (np.nan_to_num(age) > 50), "yes", "no")
