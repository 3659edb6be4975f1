import pytest

from assay.data.faults import Faults
from assay.data.table import ContractError


def test_refusing_raises_at_the_first_fault_and_says_how_to_skip():
    faults = Faults("refuse")
    with pytest.raises(
        ContractError, match=r'a\.csv, row 2: expected a text, got none \(with the policy "skip"'
    ):
        faults.add("empty text", "a.csv, row 2: expected a text, got none")
    assert len(faults) == 0


def test_skipping_counts_by_kind_and_names_the_first():
    faults = Faults("skip")
    for row in range(7):
        faults.add("empty text", f"row {row}")
    faults.add("no image", "row 9")
    assert len(faults) == 8
    assert faults.counts == {"empty text": 7, "no image": 1}
    assert faults.notes() == (
        "left out 7 with empty text: row 0; row 1; row 2; row 3; row 4; ...",
        "left out 1 with no image: row 9",
    )


def test_something_must_be_left():
    faults = Faults("skip")
    faults.check_some_left("a.csv", 1)
    with pytest.raises(ContractError, match=r"^a\.csv: expected at least one item, got none$"):
        faults.check_some_left("a.csv", 0)
    faults.add("no image", "row 9")
    with pytest.raises(ContractError, match=r"got none: left out 1 with no image: row 9$"):
        faults.check_some_left("a.csv", 0)


def test_an_unknown_policy():
    with pytest.raises(ValueError, match="expected a policy of refuse or skip, got 'ignore'"):
        Faults("ignore")  # pyright: ignore[reportArgumentType]
