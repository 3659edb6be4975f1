import datetime as dt
import decimal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from assay.data.table import ContractError, Table

UTC2 = dt.timezone(dt.timedelta(hours=2))


class TestArrays:
    def test_float64_is_shared_not_copied(self):
        array = np.arange(6.0).reshape(3, 2)
        table = Table.of(array)
        assert table.names == ("x0", "x1")
        assert all(np.shares_memory(column.values, array) for column in table)
        np.testing.assert_array_equal(table.to_numpy(), array)

    @pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i1", "u8", "i8"])
    def test_every_number_becomes_float64(self, dtype):
        table = Table.of(np.array([[1, 2], [3, 4]], dtype))
        np.testing.assert_array_equal(table.to_numpy(), [[1.0, 2.0], [3.0, 4.0]])
        assert {column.kind for column in table} == {"numeric"}

    def test_truth_values_and_dates(self):
        assert Table.of(np.array([[True], [False]]))["x0"].kind == "boolean"
        for unit in ("D", "h", "s", "ms", "us", "ns"):
            column = Table.of(np.array([["1970-01-02", "NaT"]], f"M8[{unit}]").T)["x0"]
            assert column.kind == "date"
            np.testing.assert_array_equal(column.values, [86_400, np.nan])

    def test_durations_are_seconds(self):
        column = Table.of({"d": np.array([90, "NaT"], "m8[m]")})["d"]
        assert column.kind == "numeric"
        np.testing.assert_array_equal(column.values, [5400, np.nan])

    def test_objects_and_text_are_inferred_by_column(self):
        table = Table.of(np.array([[1, "a", True], [2.5, None, False]], object))
        assert [column.kind for column in table] == ["numeric", "category", "boolean"]
        assert Table.of(np.array([["b"], ["a"]]))["x0"].categories == ("a", "b")

    def test_names_come_from_the_schema_by_position(self):
        schema = Table.of({"u": [1.0], "v": [2.0]}).schema
        assert Table.of(np.ones((2, 2)), schema=schema).names == ("u", "v")
        with pytest.raises(ContractError, match="expected 2 columns as in the schema, got an array of 3"):
            Table.of(np.ones((2, 3)), schema=schema)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (np.zeros(3), r"expected a 2-d array \(rows, columns\), got 1-d of shape \(3,\)"),
            (np.zeros((2, 2, 2)), "got 3-d"),
            (np.zeros((1, 1), complex), "column 'x0': expected numbers, .*, got complex128"),
            (np.zeros((1, 1), "V4"), "got |V4"),
        ],
    )
    def test_other_arrays_are_refused(self, data, message):
        with pytest.raises(ContractError, match=message):
            Table.of(data)


class TestValues:
    @pytest.mark.parametrize(
        ("values", "kind", "floats"),
        [
            ([1, 2.5, None], "numeric", [1, 2.5, np.nan]),
            ([True, 3], "numeric", [1, 3]),
            ([2**70, np.float32(0.5), np.int8(3)], "numeric", [2.0**70, 0.5, 3]),
            ([decimal.Decimal("1.5"), decimal.Decimal("NaN"), 2.0], "numeric", [1.5, np.nan, 2]),
            ([np.bool_(True), None, False], "boolean", [1, np.nan, 0]),
            ([dt.date(1970, 1, 2), dt.datetime(1970, 1, 1, 1)], "date", [86_400, 3600]),
            ([dt.datetime(1970, 1, 2, tzinfo=UTC2), None], "date", [86_400 - 7200, np.nan]),
            ([np.datetime64("1970-01-02"), np.datetime64("NaT")], "date", [86_400, np.nan]),
            ([None, float("nan")], "numeric", [np.nan, np.nan]),
            ([], "numeric", []),
        ],
    )
    def test_kinds_of_python_values(self, values, kind, floats):
        column = Table.of({"c": values})["c"]
        assert column.kind == kind
        np.testing.assert_array_equal(column.values, floats)

    @pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan")])
    def test_text_with_missing_values(self, missing):
        column = Table.of({"c": ["b", missing, "a", "b"]})["c"]
        assert column.categories == ("a", "b")
        assert column.values.tolist() == [1, -1, 0, 1]

    def test_empty_text_and_markers_are_text_in_memory(self):
        assert Table.of({"c": ["", "NA", "?"]})["c"].categories == ("", "?", "NA")

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (["a", None, 1], "row 3, column 'c': expected text as in the rows before, got a number, 1"),
            ([1, True, "a"], "row 3, column 'c': expected a number as in the rows before, got text, 'a'"),
            (
                [True, dt.date(2020, 1, 1)],
                "row 2, column 'c': expected true or false as .*, got an ISO 8601 date",
            ),
            (
                [1, [2]],
                "row 2, column 'c': expected a number, a truth value, a date or text, got list '\\[2\\]'",
            ),
            ([b"a"], "row 1, column 'c': expected .*, got bytes"),
            ([{"a": 1}], "row 1, column 'c': expected .*, got dict"),
            ([1j], "row 1, column 'c': expected .*, got complex"),
        ],
    )
    def test_mixtures_and_other_objects_name_their_row(self, values, message):
        with pytest.raises(ContractError, match=message):
            Table.of({"c": values})

    def test_columns_of_many_sorts(self):
        pl, pd = pytest.importorskip("polars"), pytest.importorskip("pandas")
        table = Table.of(
            {
                "list": [1, 2],
                "tuple": ("a", "b"),
                "range": range(2),
                "numpy": np.array([1, 2], np.int8),
                "polars": pl.Series(["x", None]),
                "pandas": pd.Series([True, False]),
                "arrow": pa.array([1, None]),
                7: [0, 0],
            }
        )
        kinds = [column.kind for column in table]
        assert kinds == [
            "numeric",
            "category",
            "numeric",
            "numeric",
            "category",
            "boolean",
            "numeric",
            "numeric",
        ]
        assert table.names[-1] == "7"

    @pytest.mark.parametrize("column", ["abc", 3, {"a": 1}, b"abc", iter([1])])
    def test_a_column_must_be_a_sequence(self, column):
        with pytest.raises(ContractError, match="column 'c': expected a sequence of values, got"):
            Table.of({"c": column})
        with pytest.raises(ContractError, match=r"column 'c': expected a 1-d array, got shape \(2, 1\)"):
            Table.of({"c": np.zeros((2, 1))})


class TestRecords:
    def test_keys_are_columns_and_an_absent_key_is_missing(self):
        table = Table.of([{"a": 1}, {"b": "x", "a": None}, {}])
        assert table.names == ("a", "b")
        np.testing.assert_array_equal(table["a"].values, [1, np.nan, np.nan])
        assert table["b"].values.tolist() == [-1, 0, -1]

    @pytest.mark.parametrize("data", [[], [1, 2], [[1, 2]], 5, None, {1, 2}, object()])
    def test_what_is_no_table_is_refused(self, data):
        with pytest.raises(
            ContractError, match=r"expected a Table, a 2-d NumPy array, .* or the path of a file, got"
        ):
            Table.of(data)


class TestPandas:
    def test_types_and_categories_are_kept(self):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame(
            {
                "int": [1, 2, 3],
                "float": [1.0, np.nan, 3.0],
                "bool": [True, False, True],
                "nullable": pd.array([1, None, 3], dtype="Int64"),
                "maybe": pd.array([True, None, False], dtype="boolean"),
                "text": ["b", None, "a"],
                "object": np.array(["b", np.nan, None], object),
                "category": pd.Categorical(["v", None, "u"], categories=["z", "v", "u"]),
                "numbers": pd.Categorical([10, 2, 10]),
                "date": pd.to_datetime(["1970-01-02", None, "1970-01-01"]),
                "zone": pd.to_datetime(["1970-01-02", None, "1970-01-01"]).tz_localize("Etc/GMT-1"),
                "duration": pd.to_timedelta(["1h", None, "1s"]),
                "sparse": pd.arrays.SparseArray([0.0, 0.0, 1.0]),
            },
            index=[5, 6, 7],
        )
        table = Table.of(frame)
        kinds = {column.name: column.kind for column in table}
        assert kinds.pop("bool") == kinds.pop("maybe") == "boolean"
        assert kinds.pop("date") == kinds.pop("zone") == "date"
        texts = {name for name, kind in kinds.items() if kind == "category"}
        assert texts == {"text", "object", "category", "numbers"}
        assert table["category"].categories == ("u", "v", "z")
        assert table["category"].values.tolist() == [1, -1, 0]
        assert table["numbers"].categories == ("10", "2")
        np.testing.assert_array_equal(table["nullable"].values, [1, np.nan, 3])
        np.testing.assert_array_equal(table["maybe"].values, [1, np.nan, 0])
        np.testing.assert_array_equal(table["zone"].values, [82_800, np.nan, -3600])
        np.testing.assert_array_equal(table["duration"].values, [3600, np.nan, 1])
        np.testing.assert_array_equal(table["sparse"].values, [0, 0, 1])

    def test_round_trip(self, people):
        pytest.importorskip("pandas")
        frame = people.to_pandas()
        assert [str(dtype) for dtype in frame.dtypes] == ["float64", "boolean", "datetime64[us]", "category"]
        assert Table.of(frame).fingerprint() == people.fingerprint()

    def test_mixed_objects_and_doubled_names_are_refused(self):
        pd = pytest.importorskip("pandas")
        with pytest.raises(ContractError, match="row 2, column 'a': expected a number as in the rows before"):
            Table.of(pd.DataFrame({"a": [1, "x"]}))
        with pytest.raises(ContractError, match="expected distinct column names, got 'a' twice"):
            Table.of(pd.DataFrame([[1, 2]], columns=["a", "a"]))
        with pytest.raises(ContractError, match=r"column 'p': .* the Arrow type extension<pandas.period"):
            Table.of(pd.DataFrame({"p": pd.period_range("2020", periods=2, freq="M")}))


class TestPolars:
    def test_types_and_categories_are_kept(self):
        pl = pytest.importorskip("polars")
        frame = pl.DataFrame(
            {
                "enum": pl.Series(["x", None], dtype=pl.Enum(["y", "x", "w"])),
                "category": pl.Series(["x", "a"], dtype=pl.Categorical),
                "text": ["b", None],
                "date": [dt.date(1970, 1, 2), None],
                "decimal": [decimal.Decimal("1.5"), None],
                "time": [dt.time(1), None],
                "null": [None, None],
            }
        )
        table = Table.of(frame)
        kinds = ["category", "category", "category", "date", "numeric", "numeric", "numeric"]
        assert [column.kind for column in table] == kinds
        assert table["enum"].categories == ("w", "x", "y")
        assert table["category"].categories == ("a", "x")
        np.testing.assert_array_equal(table["date"].values, [86_400, np.nan])
        np.testing.assert_array_equal(table["time"].values, [3600, np.nan])

    def test_the_same_table_as_from_pandas(self, people):
        pl = pytest.importorskip("polars")
        pytest.importorskip("pandas")
        assert Table.of(pl.from_pandas(people.to_pandas())).fingerprint() == people.fingerprint()

    def test_lists_lazy_frames_and_series_are_refused(self):
        pl = pytest.importorskip("polars")
        with pytest.raises(ContractError, match=r"column 'a': expected .*, got the Arrow type large_list"):
            Table.of(pl.DataFrame({"a": [[1]]}))
        with pytest.raises(ContractError, match=r"got polars.*LazyFrame"):
            Table.of(pl.LazyFrame({"a": [1]}))
        with pytest.raises(ContractError, match=r"got polars.*Series"):
            Table.of(pl.Series("a", [1]))


class TestKinds:
    def test_a_correction_changes_the_kind(self):
        table = Table.of({"zip": [1234, None], "n": [1, 2]}, kinds={"zip": "category"})
        assert table["zip"].categories == ("1234",)
        assert table["n"].kind == "numeric"

    def test_corrections_of_what_is_not_there(self):
        with pytest.raises(ContractError, match="no column 'b'"):
            Table.of({"a": [1]}, kinds={"b": "category"})
        with pytest.raises(
            ContractError, match="'a': expected a kind of numeric, boolean, date, category, got 'int'"
        ):
            Table.of({"a": [1]}, kinds={"a": "int"})  # pyright: ignore[reportArgumentType]

    def test_a_table_is_returned_as_it_is_and_can_be_renamed(self, people):
        assert Table.of(people) is people
        assert Table.of(people, name="other").name == "other"
        assert Table.of(people, schema=people.schema[:1]).names == ("age",)


def test_frames_are_recognised_without_importing_their_libraries(write):
    path = write("a.csv", "a,b\n1,x\n")
    script = f"""
import sys
from assay.data.table import Table
assert "pyarrow" not in sys.modules
table = Table.of({{"a": [1.5, None], "b": ["x", "y"]}})
table.describe(), table.fingerprint()
Table.of([{{"a": 1}}])
assert "pyarrow" not in sys.modules
table.save({str(path.with_suffix(".arrow"))!r})
Table.open({str(path.with_suffix(".arrow"))!r}).to_numpy()
Table.of({str(path)!r})
heavy = {{"pandas", "polars", "scipy", "sklearn", "torch"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)
