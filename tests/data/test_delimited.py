import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.delimited import MISSING, line_of
from assay.data.kinds import infer
from assay.data.table import ContractError, Table


class TestInference:
    def kinds(self, write, content: str) -> dict[str, str]:
        return {column.name: column.kind for column in Table.of(write("a.csv", content))}

    def test_numbers_truth_values_dates_and_text(self, write):
        content = "n,b,d,t,time,yes\n+1,true,2020-01-01, x,5:00,yes\n 2.5,FALSE,2020-01-01 05:00,y,12:30,no\n"
        assert self.kinds(write, content) == {
            "n": "numeric",
            "b": "boolean",
            "d": "date",
            "t": "category",
            "time": "category",
            "yes": "category",
        }

    def test_zero_and_one_are_numbers_also_beside_true(self, write):
        assert self.kinds(write, "a,b\n0,1\n1,true\n") == {"a": "numeric", "b": "category"}

    def test_all_rows_decide_not_a_first_block(self, write):
        rows = [f"{index},1,2020-01-01,true," for index in range(3000)]
        rows.append("1.5,one,2020-01-01T05:00:00+01:00,perhaps,7")
        table = Table.of(write("a.csv", "\n".join(["n,t,d,b,late", *rows]) + "\n"))
        assert [c.kind for c in table] == ["numeric", "category", "date", "category", "numeric"]
        assert table["n"].values[-1] == 1.5
        assert table["t"].categories == ("1", "one")
        assert table["d"].values[-1] == 1_577_851_200
        assert table["late"].missing.sum() == 3000

    def test_blocks_of_the_reader_do_not_matter(self, write, monkeypatch):
        content = "n,t\n" + "".join(f"{index},{index}\n" for index in range(5000)) + "0.5,x\n"
        path = write("a.csv", content)
        whole = Table.of(path)
        monkeypatch.setattr("assay.data.delimited._BLOCK", 4096)
        assert Table.of(path).fingerprint() == whole.fingerprint()
        assert [column.kind for column in whole] == ["numeric", "category"]

    @pytest.mark.parametrize("marker", MISSING)
    @pytest.mark.parametrize("quoted", [False, True])
    def test_missing_markers(self, write, marker, quoted):
        field = f'"{marker}"' if quoted else f" {marker} "
        table = Table.of(write("a.csv", f"n,t,b,d\n1,x,true,2020-01-01\n{field},{field},{field},{field}\n"))
        assert [column.kind for column in table] == ["numeric", "category", "boolean", "date"]
        assert all(column.missing.tolist() == [False, True] for column in table)

    def test_other_words_are_not_missing(self, write):
        table = Table.of(write("a.csv", "t\nna\n-\nnone\n"))
        assert table["t"].categories == ("-", "na", "none")

    def test_a_column_of_nothing_is_numeric(self, write):
        table = Table.of(write("a.csv", "a,b,c\n1,, ?\n2,,NA\n"))
        assert [column.kind for column in table] == ["numeric"] * 3
        assert table["c"].missing.all()

    def test_infinity_and_big_numbers_are_kept(self, write):
        values = Table.of(write("a.csv", "a\ninf\n-Infinity\n1e400\n9223372036854775808\n"))["a"].values
        assert values.tolist() == [np.inf, -np.inf, np.inf, 2.0**63]

    def test_thousands_of_categories(self, write):
        table = Table.of(write("a.csv", "t\n" + "".join(f"v{index % 5000:04}\n" for index in range(20_000))))
        assert len(table["t"].categories) == 5000
        assert table["t"].values[:3].tolist() == [0, 1, 2]

    def test_thousands_separators_and_decimal_commas_are_text(self, write):
        table = Table.of(write("a.csv", 'a;b\n"1,000";1,5\n2;3\n'))
        assert [column.kind for column in table] == ["category", "category"]


class TestSeparators:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_the_header_decides(self, write, separator):
        content = "\n".join(separator.join(row) for row in (["a", "b c", "d"], ["1", "x", "2"])) + "\n"
        table = Table.of(write("a.csv", content))
        assert table.names == ("a", "b c", "d")
        assert table["b c"].categories == ("x",)

    def test_one_column(self, write):
        assert Table.of(write("a.csv", "a\n1\n2\n"))["a"].values.tolist() == [1, 2]

    def test_a_quoted_name_may_hold_separators(self, write):
        assert Table.of(write("a.csv", '"a;b;c",d\n1,2\n')).names == ("a;b;c", "d")

    def test_tsv_is_separated_by_tabs_whatever_else_there_is(self, write):
        assert Table.of(write("a.tsv", "a,b,c\td\n1\t2\n")).names == ("a,b,c", "d")

    def test_line_ends_and_empty_lines(self, write):
        for content in ("a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4", "\n\na,b\n\n1,2\n\n3,4\n\n"):
            assert Table.of(write("a.csv", content)).to_numpy().tolist() == [[1, 2], [3, 4]]

    def test_quotes_hold_separators_line_ends_and_quotes(self, write):
        table = Table.of(write("a.csv", 'a,b\n"x,""y""\nz",1\n'))
        assert table["a"].categories == ('x,"y"\nz',)


class TestErrors:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("\n\n", "expected a header and rows, got an empty file"),
            ("a,b\n", "expected rows after the header, got none"),
            ("a,b\n\n\n", "expected rows after the header, got none"),
            ("a,b\n1,2\n3\n", r"line 3: expected 2 values as in the header \(separated by commas\), got 1"),
            (
                "a;b\n1;2\n\n1;2;3\n",
                r"line 4: expected 2 values as in the header \(separated by semicolons\), got 3",
            ),
            ('a,b\n"1\n1",2\n3\n', "line 4: expected 2 values as in the header .*, got 1"),
            ("a,b\n1,2\n  \n", "line 3: expected 2 values as in the header .*, got 1"),
            ('a,b\n1,2\n"3,4\n5,6\n', "line 3: expected an end to the quoted text, got none"),
            ("a,b,a\n1,2,3\n", "line 1: expected distinct column names, got 'a' as columns 1 and 3"),
            (",a\n0,1\n", r"line 1: expected a name for column 1 of 2, got none \(is it a row index"),
            ("a,b, \n1,2,3\n", "line 1: expected a name for column 3 of 3, got none"),
        ],
    )
    def test_the_line_is_named(self, write, content, message):
        path = write("a.csv", content)
        with pytest.raises(ContractError, match=f"^{path}: {message}"):
            Table.of(path)

    def test_a_ragged_row_far_down(self, write):
        rows = "".join(f"{index},x\n" for index in range(200_000))
        path = write("a.csv", f"a,b\n{rows}1,2,3\n{rows}")
        with pytest.raises(ContractError, match=r"line 200002: expected 2 values as in the header .*, got 3"):
            Table.of(path)

    def test_a_row_longer_than_what_is_read_at_once(self, write, monkeypatch):
        monkeypatch.setattr("assay.data.delimited._BLOCK", 1000)
        with pytest.raises(ContractError, match=r"a.csv: expected rows of at most 1,000 bytes, got a"):
            Table.of(write("a.csv", f"a,b\n1,{'x' * 5000}\n2,y\n"))


def test_the_line_of_a_row(write):
    path = write("a.csv", '\na,b\n"x\ny",1\n\n2,3\n4,5\n')
    assert [line_of(path, row) for row in range(3)] == [3, 6, 7]


# Text that the reader keeps as it is: no marker of a missing value, nothing but text by its form.
printable = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t\r,;\"'|"), max_size=8
)
texts = printable.filter(lambda text: text.strip() not in MISSING)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(allow_nan=False),
            st.none() | st.booleans(),
            st.none() | st.datetimes(),
            st.none() | texts,
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_round_trip_through_a_file(rows, separator):
    names = ("number", "truth", "date", "text")
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator)
    writer.writerow(names)
    for number, truth, date, text in rows:
        writer.writerow([number, truth, None if date is None else date.isoformat(), text])
    columns = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(buffer.getvalue().encode())
        table = Table.of(path, kinds={"text": "category"})
        inferred = Table.of(path)
    for name, values in columns.items():
        if all(value is None for value in values):
            assert inferred[name].kind == "numeric"
            assert table[name].missing.all()
        else:
            expected = Table.of({name: values})
            assert table.select([name]).fingerprint() == expected.fingerprint()
    present = [text for *_, text in rows if text is not None]
    assert inferred["text"].kind == (infer(present) if present else "numeric")
