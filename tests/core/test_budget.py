import pytest

from assay.core.budget import Budget


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("60s", 60, "seconds"),
        ("5m", 300, "seconds"),
        ("1.5h", 5400, "seconds"),
        ("20epochs", 20, "epochs"),
        ("1 epoch", 1, "epochs"),
        ("1000 steps", 1000, "steps"),
        ("1e3steps", 1000, "steps"),
        (" 50000Examples ", 50000, "examples"),
    ],
)
def test_parse_and_print(text, amount, unit):
    budget = Budget.parse(text)
    assert budget == Budget(amount, unit)
    assert Budget.parse(str(budget)) == budget
    assert Budget.parse(budget) is budget


@pytest.mark.parametrize("text", ["", "60", "s", "60 parsecs", "-3s", "1000steps!", "nan s"])
def test_nonsense_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="expected a budget such as 60s"):
        Budget.parse(text)


@pytest.mark.parametrize("amount", [0.0, -1.0, float("inf"), float("nan")])
def test_amount_must_be_positive_and_finite(amount):
    with pytest.raises(ValueError, match="positive and finite"):
        Budget(amount, "seconds")
