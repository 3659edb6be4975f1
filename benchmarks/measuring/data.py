"""The data that methods are measured on."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from assay.data import datasets
from assay.data.table import Schema, Table
from assay.tabular.contract import TabularData
from assay.tabular.task import task


@dataclass(frozen=True, eq=False)
class Prepared(Table):
    """A table whose matrix is made beforehand: no library pays for being handed a table."""

    @cached_property
    def matrix(self) -> np.ndarray:
        """The table as numbers."""
        return super().to_numpy()

    def to_numpy(self) -> np.ndarray:
        """The matrix made beforehand."""
        return self.matrix

    def align(self, schema: Schema) -> Table:
        """This table, if it is aligned."""
        return self if schema == self.schema else super().align(schema)


def prepared(data: TabularData) -> TabularData:
    """The data in memory, with the matrix that other libraries read."""
    table = Prepared(data.features.columns, data.features.name)
    assert table.matrix.size
    return replace(data, features=table)


def halves(data: TabularData, seed: int = 0) -> tuple[TabularData, TabularData]:
    """Training and test rows."""
    train, test = task.split(data, seed)
    return prepared(train), prepared(test)


def sample(data: TabularData, rows: int) -> TabularData:
    """So many of the rows, or all."""
    if len(data) <= rows:
        return data
    return data.take(np.sort(np.random.default_rng(0).choice(len(data), rows, replace=False)))


def flights(rows: int) -> TabularData:
    """So many flights, late or not."""
    return sample(task.load("flights"), rows)


def synthetic(rows: int, columns: int = 28) -> TabularData:
    """Normal features, two classes by a sum of products, squares and thresholds of some of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns))
    score = X[:, 0] * X[:, 1] + X[:, 2] ** 2 - 1 + (X[:, 3] > 0.5) + 0.5 * X[:, 4] + 0.5 * X[:, 5] * X[:, 6]
    late = score + rng.logistic(size=rows) > np.median(score)
    table = Table.of({**{f"x{i}": X[:, i] for i in range(columns)}, "y": late}, name="synthetic")
    return task.load(table, target="y")


def delays(classes: int | None, rows: int) -> TabularData:
    """Flights and how late they arrive, in minutes or in classes of equal size."""
    table = datasets.load("flights").drop(["late"])
    data = sample(task.load(table, target="arr_delay", problem="regression"), rows)
    if classes is None:
        return data
    edges = np.quantile(data.target, np.linspace(0, 1, classes + 1)[1:-1])
    return replace(data, target=np.digitize(data.target, edges), classes=np.arange(classes))


def education() -> TabularData:
    """The adult census with the level of education to predict, sixteen classes, without its other column."""
    return task.load(datasets.load("adult"), target="education", drop=["educational-num"])
