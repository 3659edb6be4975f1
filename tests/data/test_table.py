import json
from dataclasses import replace

import numpy as np
import pytest

from assay.data.table import Column, ContractError, Field, Schema, Table


def same(left: Table, right: Table) -> bool:
    return left.schema == right.schema and all(
        np.array_equal(a.values, b.values, equal_nan=a.kind != "category")
        for a, b in zip(left.columns, right.columns, strict=True)
    )


class TestColumn:
    def test_missing_is_nan_or_minus_one(self, people):
        assert people["age"].missing.tolist() == [False, True, False, False]
        assert people["town"].missing.tolist() == [False, True, False, False]

    @pytest.mark.parametrize(
        ("kind", "values", "message"),
        [
            ("number", np.zeros(2), "'c': expected a kind of .*'numeric'.*, got 'number'"),
            ("numeric", np.zeros(2, np.float32), "expected a 1-d array of float64, got 1-d of float32"),
            ("category", np.zeros(2), "expected a 1-d array of int32, got 1-d of float64"),
            ("date", np.zeros((2, 1)), "expected a 1-d array of float64, got 2-d of float64"),
        ],
    )
    def test_refuses_another_kind_dtype_or_shape(self, kind, values, message):
        with pytest.raises(ValueError, match=message):
            Column("c", kind, values)

    def test_from_labels_sorts_merges_and_keeps_unused(self):
        column = Column.from_labels("c", np.array([0, 1, 2, 3, -1]), ["b", "a", None, "b", "unused"])
        assert column.categories == ("a", "b", "unused")
        assert column.values.tolist() == [1, 0, -1, 1, -1]
        assert column.values.dtype == np.int32

    def test_from_labels_of_nothing(self):
        column = Column.from_labels("c", np.array([-1, -1]), [])
        assert column.missing.all()
        assert column.categories == ()


class TestTable:
    def test_names_rows_and_look_up(self, people):
        assert people.names == ("age", "member", "since", "town")
        assert len(people) == people.num_rows == 4
        assert [column.name for column in people] == list(people.names)
        assert "age" in people
        assert "Age" not in people
        assert repr(people) == "Table('people', 4 rows, 4 columns)"

    def test_an_unknown_column_is_an_error_with_near_names(self, people):
        with pytest.raises(ContractError, match=r"people: no column 'aeg'; did you mean 'age'\?"):
            people["aeg"]
        with pytest.raises(ContractError, match="no column 'xyz'; the columns are 'age', 'member'"):
            people["xyz"]

    def test_many_columns_are_not_all_listed(self):
        table = Table.of({f"column {index}": [1] for index in range(30)})
        with pytest.raises(ContractError, match=r"the columns are .*'column 9', \.\.\.$"):
            table["?"]

    def test_refuses_one_name_twice_and_unequal_lengths(self):
        column = Column("a", "numeric", np.zeros(2))
        with pytest.raises(ContractError, match="expected distinct column names, got 'a' twice"):
            Table((column, column))
        other = Column("b", "numeric", np.zeros(3))
        with pytest.raises(ContractError, match="expected 2 rows in column 'b' as in 'a', got 3"):
            Table((column, other))

    def test_take_by_position_mask_and_slice(self, people):
        by_position = people.take(np.array([2, 0]))
        assert by_position["age"].values.tolist() == [58.5, 31.0]
        assert by_position["town"].values.tolist() == [0, 1]
        assert by_position["town"].categories == ("Köln", "Oslo")
        mask = np.array([True, False, True, False])
        assert same(people.take(mask), people.take(np.array([0, 2])))
        assert people.take(np.s_[1:]).num_rows == 3

    def test_select_and_drop(self, people):
        assert people.select(["town", "age"]).names == ("town", "age")
        assert people.drop(["town", "age"]).names == ("member", "since")
        with pytest.raises(ContractError, match="no column 'salary'"):
            people.drop(["salary"])
        with pytest.raises(ContractError, match="no column 'salary'"):
            people.select(["salary"])

    def test_to_numpy_has_codes_and_nan(self, people):
        expected = [
            [31.0, 1.0, 1_577_836_800.0, 1.0],
            [np.nan, 0.0, 1_577_856_600.25, np.nan],
            [58.5, np.nan, 0.0, 0.0],
            [-4.0, 1.0, np.nan, 1.0],
        ]
        np.testing.assert_array_equal(people.to_numpy(), expected)

    def test_a_table_without_columns_has_no_rows(self):
        assert Table(()).num_rows == 0
        assert Table(()).to_numpy().shape == (0, 0)


class TestSchema:
    def test_json_round_trip(self, people):
        text = json.dumps(people.schema.to_json())
        assert Schema.from_json(json.loads(text)) == people.schema

    def test_is_a_tuple_of_fields(self, people):
        assert people.schema[3] == Field("town", "category", ("Köln", "Oslo"))
        assert people.schema.names == people.names
        assert people.schema == tuple(column.field for column in people)


class TestAlign:
    def test_the_same_schema_changes_nothing(self, people):
        aligned = people.align(people.schema)
        assert same(aligned, people)
        assert all(a.values is b.values for a, b in zip(aligned.columns, people.columns, strict=True))

    def test_columns_take_the_order_of_the_schema_and_others_are_left_out(self, people):
        schema = Schema((people.schema[3], people.schema[0]))
        assert people.align(schema).names == ("town", "age")

    def test_category_codes_are_translated_and_unseen_ones_become_missing(self):
        schema = Schema((Field("c", "category", ("b", "d", "e")),))
        table = Table.of({"c": ["a", "b", None, "e", "d"]}).align(schema)
        assert table["c"].values.tolist() == [-1, 0, -1, 2, 1]
        assert table["c"].categories == ("b", "d", "e")

    def test_against_a_naive_translation(self):
        rng = np.random.default_rng(7)
        letters = np.array(list("abcdefgh"))
        known = tuple(sorted(rng.choice(letters, 5, replace=False)))
        texts = [None if rng.random() < 0.2 else str(rng.choice(letters)) for _ in range(300)]
        codes = Table.of({"c": texts}).align(Schema((Field("c", "category", known),)))["c"].values
        assert codes.tolist() == [known.index(text) if text in known else -1 for text in texts]

    def test_missing_columns_are_named(self, people):
        table = people.drop(["age", "town"])
        with pytest.raises(ContractError, match="people: expected a column 'age' and 1 more, got none"):
            table.align(people.schema)
        renamed = Table((replace(people["age"], name="Age"),))
        with pytest.raises(ContractError, match="expected a column 'age', got none; did you mean 'Age'"):
            renamed.align(Schema((Field("age", "numeric"),)))

    def test_a_wrong_kind_names_row_and_value(self):
        table = Table.of({"age": ["31", None, "old"]}, name="new.csv")
        with pytest.raises(
            ContractError, match=r"new.csv: row 3, column 'age': expected a number, got 'old'"
        ):
            table.align(Schema((Field("age", "numeric"),)))

    def test_kinds_change_where_no_value_changes_its_meaning(self):
        table = Table.of({"n": [True, False], "c": [3, 4], "b": [0, 1], "d": ["2020-01-01", None]})
        schema = Schema(
            (
                Field("n", "numeric"),
                Field("c", "category", ("3",)),
                Field("b", "boolean"),
                Field("d", "date"),
            )
        )
        aligned = table.align(schema)
        assert aligned.schema == schema
        assert aligned["c"].values.tolist() == [0, -1]
        np.testing.assert_array_equal(aligned["d"].values, [1_577_836_800.0, np.nan])

    def test_an_all_missing_column_is_of_any_kind(self):
        table = Table.of({"a": [None, None], "b": [None, None], "c": [None, None]})
        schema = Schema((Field("a", "category", ("x",)), Field("b", "date"), Field("c", "boolean")))
        aligned = table.align(schema)
        assert aligned.schema == schema
        assert all(column.missing.all() for column in aligned)


class TestFingerprint:
    def test_ignores_name_memory_layout_and_kind_of_nan(self, people):
        matrix = np.column_stack([people["age"].values, people["age"].values])
        strided = Table((replace(people["age"], values=matrix[:, 0]), *people.columns[1:]), name="other")
        assert not strided["age"].values.flags.c_contiguous
        assert strided.fingerprint() == people.fingerprint()
        negative_nan = np.where(people["age"].missing, np.copysign(np.nan, -1), people["age"].values)
        changed = Table((replace(people["age"], values=negative_nan), *people.columns[1:]))
        assert changed.fingerprint() == people.fingerprint()

    def test_changes_with_every_value_name_kind_category_and_order(self, people):
        variants = [people]
        for index, column in enumerate(people.columns):
            rest = list(people.columns)
            values = column.values.copy()
            values[0] = 0
            rest[index] = replace(column, values=values)
            variants.append(Table(tuple(rest)))
        renamed = replace(people["age"], name="years")
        variants.append(Table((renamed, *people.columns[1:])))
        variants.append(Table((replace(people["member"], kind="numeric"), *people.columns[:1])))
        variants.append(Table(people.columns[1::-1]))
        town = replace(people["town"], categories=("Köln", "Oslo", "Rom"))
        variants.append(Table((*people.columns[:3], town)))
        prints = [variant.fingerprint() for variant in variants]
        assert len(set(prints)) == len(prints)
        assert all(len(text) == 64 for text in prints)
