import errno
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from assay.data.arrow import column_of
from assay.data.table import Column, ContractError, Table


def column(array: pa.Array | pa.ChunkedArray) -> Column:
    return column_of("c", array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array]))


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (pa.array([1, None, 3], pa.uint16()), "numeric", [1, np.nan, 3]),
        (pa.array([0.5, None], pa.float32()), "numeric", [0.5, np.nan]),
        (pa.array([2**60 + 1]), "numeric", [2.0**60]),
        (pa.array([True, None, False]), "boolean", [1, np.nan, 0]),
        (pa.array([1, None], pa.date32()), "date", [86_400, np.nan]),
        (pa.array([86_400_000, None], pa.date64()), "date", [86_400, np.nan]),
        (pa.array([1_500, None], pa.timestamp("ms")), "date", [1.5, np.nan]),
        (pa.array([-(10**9) // 2, 10**9], pa.timestamp("ns", "Europe/Paris")), "date", [-0.5, 1]),
        (pa.array([90, None], pa.duration("s")), "numeric", [90, np.nan]),
        (pa.array([90_500, None], pa.time32("ms")), "numeric", [90.5, np.nan]),
        (pa.array([None, None]), "numeric", [np.nan, np.nan]),
        (pa.array([], pa.float64()), "numeric", []),
        (pa.chunked_array([], pa.int32()), "numeric", []),
        (pa.chunked_array([[1], [None, 2]], pa.int8()), "numeric", [1, np.nan, 2]),
        (pa.array([9, 1, None, 2])[1:], "numeric", [1, np.nan, 2]),
        (pa.array([True, False, None])[1:], "boolean", [0, np.nan]),
    ],
)
def test_values_of_every_type(array, kind, values):
    got = column(array)
    assert got.kind == kind
    np.testing.assert_array_equal(got.values, values)


def test_float64_without_nulls_is_not_copied():
    array = pa.array([1.0, 2.0])
    values = column(array).values
    assert values.__array_interface__["data"][0] == array.buffers()[1].address


@pytest.mark.parametrize(
    "type_", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()]
)
def test_text_of_every_type(type_):
    got = column(pa.array(["b", None, "ä", "b"], pa.string()).cast(type_))
    assert (got.kind, got.categories, got.values.tolist()) == ("category", ("b", "ä"), [0, -1, 1, 0])


def test_dictionaries_keep_unused_categories_and_differ_between_chunks():
    first = pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int8()), ["b", "unused"])
    second = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), ["b", "a"])
    got = column(pa.chunked_array([first, second]))
    assert (got.categories, got.values.tolist()) == (("a", "b", "unused"), [1, -1, 0, 1])
    numbers = column(pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([10, 2])))
    assert numbers.categories == ("10", "2")
    with_null = column(pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None])))
    assert (with_null.categories, with_null.values.tolist()) == (("a",), [0, -1])
    assert column(pa.chunked_array([], pa.dictionary(pa.int8(), pa.string()))).values.size == 0


@pytest.mark.parametrize(
    "array", [pa.array([[1]]), pa.array([{"a": 1}]), pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8()))]
)
def test_nested_types_are_refused_by_name(array):
    with pytest.raises(ContractError, match="column 'c': expected numbers, truth values, dates or text, got"):
        column(array)


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(ContractError, match="column 'c': expected UTF-8 text, got other bytes"):
        column(pa.array([b"\xff\xd8"]))


def test_the_index_of_pandas_is_no_column():
    table = Table.of(pa.table({"a": [1], "__index_level_0__": [7]}))
    assert table.names == ("a",)


class TestFiles:
    def test_round_trip_is_exact(self, people, tmp_path):
        people.save(tmp_path / "people.arrow")
        back = Table.open(tmp_path / "people.arrow")
        assert back.name == "people"
        assert back.fingerprint() == people.fingerprint()
        assert Table.of(tmp_path / "people.arrow").fingerprint() == people.fingerprint()
        assert os.listdir(tmp_path) == ["people.arrow"]

    def test_round_trip_of_strided_columns_and_none_at_all(self, tmp_path):
        table = Table.of(np.arange(20.0).reshape(5, 4))
        table.save(tmp_path / "a.arrow")
        np.testing.assert_array_equal(Table.open(tmp_path / "a.arrow").to_numpy(), table.to_numpy())
        empty = table.take(np.array([], int))
        empty.save(tmp_path / "b.arrow")
        assert Table.open(tmp_path / "b.arrow").schema == table.schema

    def test_numbers_are_mapped_not_read(self, people, tmp_path):
        people.save(tmp_path / "people.arrow")
        before = pa.total_allocated_bytes()
        values = Table.open(tmp_path / "people.arrow")["age"].values
        assert not values.flags.writeable
        assert not values.flags.owndata
        assert pa.total_allocated_bytes() - before < 4096

    def test_other_programs_read_it(self, people, tmp_path):
        people.save(tmp_path / "people.arrow")
        with pa.memory_map(str(tmp_path / "people.arrow")) as file:
            content = pa.ipc.open_file(file).read_all()
        assert content["town"].to_pylist() == ["Oslo", None, "Köln", "Oslo"]
        assert content["age"].to_pylist()[0] == 31.0

    def test_a_full_disk_leaves_nothing_behind(self, people, tmp_path):
        if not Path("/dev/full").exists():
            pytest.skip("needs /dev/full, a device that is always full")
        people.save(tmp_path / "people.arrow")
        old = (tmp_path / "people.arrow").read_bytes()
        (tmp_path / f".people.arrow-{os.getpid()}").symlink_to("/dev/full")
        with pytest.raises(OSError) as caught:
            people.take(np.zeros(100_000, int)).save(tmp_path / "people.arrow")
        assert caught.value.errno == errno.ENOSPC
        assert os.listdir(tmp_path) == ["people.arrow"]
        assert (tmp_path / "people.arrow").read_bytes() == old
