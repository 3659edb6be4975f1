import numpy as np
import pytest

from assay.data.table import ContractError
from assay.density.contract import BinaryData, binarised, bits, read_binary

GREY = np.array([[0.0, 0.25, 0.5], [0.75, 1.0, 0.4999]])


class TestBits:
    @pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
    def test_any_type_of_number(self, dtype):
        values = np.array([[0, 1], [1, 1]], dtype)
        found = bits(values)
        assert found.dtype == np.uint8
        assert found.tolist() == [[0, 1], [1, 1]]

    @pytest.mark.parametrize(
        ("value", "got"),
        [(2, "got 2.0"), (0.5, "got 0.5"), (-1, "got -1.0"), (np.nan, "got a missing")],
    )
    def test_row_and_column_of_the_first_wrong_value(self, value, got):
        values = np.zeros((3, 4))
        values[1, 2] = values[2, 0] = value
        with pytest.raises(ContractError, match=f"mine: row 2, column 3: expected 0 or 1, {got}"):
            bits(values, where="mine")
        with pytest.raises(ContractError, match="row 2, column 'c': expected 0 or 1"):
            bits(values, names="abcd")

    def test_shapes(self):
        for values in (np.zeros(3), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((1, 2, 3))):
            with pytest.raises(ContractError, match="expected rows of 0 and 1"):
                bits(values)
        with pytest.raises(ContractError, match="expected 2 columns, got 3"):
            bits(np.zeros((1, 3)), variables=2)
        with pytest.raises(ContractError, match="got values of type"):
            bits(np.array([["0", "1"]]))


class TestBinarised:
    def test_threshold(self):
        data = binarised(GREY, "threshold", name="g")
        assert data.x.tolist() == [[0, 0, 1], [1, 1, 0]]
        assert data.name == "g-threshold-0.5"
        assert data.grey is None
        assert "at least 0.5" in data.binarisation
        low = binarised(GREY, "threshold", threshold=0.2, name="g")
        assert low.x.tolist() == [[0, 1, 1], [1, 1, 1]]
        assert low.name == "g-threshold-0.2"

    @pytest.mark.parametrize("how", ["fixed", "stochastic"])
    def test_bits_have_the_grey_value_as_their_probability(self, how):
        grey = np.tile([0.0, 0.3, 0.9, 1.0], (20_000, 1))
        data = binarised(grey, how, name="g")
        assert data.x.mean(axis=0) == pytest.approx([0, 0.3, 0.9, 1], abs=0.012)
        assert np.array_equal(data.x, binarised(grey, how, name="g").x)

    def test_only_stochastic_bits_are_drawn_anew(self):
        rng = np.random.default_rng(0)
        grey = rng.random((50, 20))
        fixed, stochastic = (binarised(grey, how, name="g") for how in ("fixed", "stochastic"))
        assert np.array_equal(fixed.drawn(rng), fixed.x)
        one, two = stochastic.drawn(rng), stochastic.drawn(rng)
        assert not np.array_equal(one, two)
        assert not np.array_equal(one, stochastic.x)

    def test_the_name_and_the_words_say_which(self):
        names = {binarised(GREY, how, name="g").name for how in ("threshold", "fixed", "stochastic")}
        assert names == {"g-threshold-0.5", "g-fixed-0", "g-stochastic"}
        described = binarised(GREY, "stochastic", name="g").describe()
        assert "anew in every epoch" in described["binarisation"]
        assert described["binarisation"] in described["note"]

    def test_errors(self):
        with pytest.raises(ContractError, match="expected one of threshold, fixed, stochastic, got 'coin'"):
            binarised(GREY, "coin", name="g")  # type: ignore[arg-type]
        with pytest.raises(ContractError, match=r"threshold: expected a number in \(0, 1\], got 0"):
            binarised(GREY, "threshold", threshold=0, name="g")
        for value in (1.5, -0.1, np.nan):
            wrong = GREY.copy()
            wrong[1, 0] = value
            with pytest.raises(ContractError, match=r"g: row 2, column 1: expected a grey value in \[0, 1\]"):
                binarised(wrong, "fixed", name="g")


class TestBinaryData:
    def data(self):
        return binarised(GREY, "stochastic", name="g", picture=(1, 3), names=("a", "b", "c"))

    def test_is_saved_and_opened(self, tmp_path):
        for i, data in enumerate((self.data(), BinaryData(np.eye(3, dtype=np.uint8)))):
            folder = tmp_path / str(i)
            folder.mkdir()
            data.save(folder)
            again = BinaryData.open(folder)
            assert again.fingerprint() == data.fingerprint()
            assert again.describe() == data.describe()
            assert (again.name, again.names, again.picture) == (data.name, data.names, data.picture)
            assert (again.grey is None) == (data.grey is None)

    def test_fingerprint_is_of_the_content(self):
        data = self.data()
        assert data.fingerprint() == self.data().fingerprint()
        assert data.fingerprint() != binarised(GREY, "fixed", name="g").fingerprint()
        assert BinaryData(np.zeros((2, 3), np.uint8)).fingerprint() != (
            BinaryData(np.zeros((3, 2), np.uint8)).fingerprint()
        )
        assert BinaryData(data.x, "one").fingerprint() == BinaryData(data.x, "two").fingerprint()

    def test_take_keeps_bits_and_grey_values_together(self):
        data = self.data().take(np.array([1]))
        assert len(data) == 1
        assert data.grey is not None
        assert data.grey[0] == pytest.approx(GREY[1])
        assert data.num_variables == 3

    def test_describe(self):
        described = BinaryData(np.array([[1, 0], [1, 1]], np.uint8)).describe()
        assert (described["rows"], described["variables"], described["ones"]) == (2, 2, 0.75)
        assert described["picture"] is None


class TestReadBinary:
    X = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 1]])

    def test_csv(self, tmp_path):
        path = tmp_path / "votes.csv"
        path.write_text("a,b,c\n" + "\n".join(",".join(map(str, row)) for row in self.X.tolist()) + "\n")
        data = read_binary(path)
        assert np.array_equal(data.x, self.X)
        assert (data.name, data.names) == ("votes.csv", ("a", "b", "c"))

    def test_words_for_booleans(self, tmp_path):
        path = tmp_path / "votes.csv"
        path.write_text("a,b\ntrue,false\nfalse,false\n")
        assert read_binary(path).x.tolist() == [[1, 0], [0, 0]]

    def test_parquet(self, tmp_path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"a": [0, 1], "b": [True, False]}), tmp_path / "votes.parquet")
        assert read_binary(tmp_path / "votes.parquet").x.tolist() == [[0, 1], [1, 0]]

    @pytest.mark.parametrize("ending", ["npy", "npz"])
    def test_numpy(self, tmp_path, ending):
        path = tmp_path / f"votes.{ending}"
        np.save(path, self.X) if ending == "npy" else np.savez(path, votes=self.X)
        assert np.array_equal(read_binary(str(path)).x, self.X)

    def test_pictures_by_threshold(self, tmp_path):
        pictures = np.array([[[0, 127], [128, 255]]] * 2, np.uint8)
        np.save(tmp_path / "pictures.npy", pictures)
        data = read_binary(tmp_path / "pictures.npy", binarise="threshold")
        assert data.picture == (2, 2)
        assert data.x.tolist() == [[0, 0, 1, 1]] * 2
        assert data.name == "pictures.npy-threshold-0.5"
        assert read_binary(pictures, binarise="threshold", threshold=0.1).x.tolist() == [[0, 1, 1, 1]] * 2

    def test_grey_values_are_told_what_makes_bits_of_them(self):
        advice = "got 127; of grey values bits are made by binarise, one of threshold, fixed, stochastic"
        with pytest.raises(ContractError, match=advice):
            read_binary(np.array([[0, 127], [128, 255]], np.uint8))
        with pytest.raises(ContractError, match=r"got 0\.5; of grey values"):
            read_binary(np.array([[0, 0.5], [1.0, 1.0]]))
        with pytest.raises(ContractError, match=r"got -2\.0$"):
            read_binary(np.array([[0, -2.0], [1.0, 1.0]]))

    def test_frames(self):
        pandas = pytest.importorskip("pandas")
        assert read_binary(pandas.DataFrame({"a": [0, 1], "b": [1, 1]})).x.tolist() == [[0, 1], [1, 1]]

    def test_row_and_column_of_what_is_no_bit(self, tmp_path):
        path = tmp_path / "votes.csv"
        path.write_text("a,b\n0,1\n1,3\n")
        with pytest.raises(ContractError, match=r"votes.csv: row 2, column 'b': expected 0 or 1, got 3"):
            read_binary(path)
        path.write_text("a,b\n0,1\n1,yellow\n")
        with pytest.raises(ContractError, match="column 'b': expected 0 or 1, got"):
            read_binary(path)
        path.write_text("a,b\n0,1\n1,\n")
        with pytest.raises(ContractError, match="row 2, column 'b': expected 0 or 1, got a missing value"):
            read_binary(path)

    def test_errors_of_numpy_files(self, tmp_path):
        with pytest.raises(ContractError, match="expected a NumPy array"):
            read_binary(tmp_path / "none.npy")
        np.savez(tmp_path / "two.npz", a=self.X, b=self.X)
        with pytest.raises(ContractError, match="expected one array, got a, b"):
            read_binary(tmp_path / "two.npz")
        np.save(tmp_path / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
        with pytest.raises(ContractError, match="expected a NumPy array"):
            read_binary(tmp_path / "objects.npy")
        np.save(tmp_path / "flat.npy", np.zeros(3))
        with pytest.raises(ContractError, match="expected 2 dimensions, or 3 for pictures, got 1"):
            read_binary(tmp_path / "flat.npy")
