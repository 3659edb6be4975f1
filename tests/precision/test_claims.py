from assay.core.method import locate
from assay.precision.claims import claims
from assay.precision.task import task


def test_names_are_the_wings_and_predictions_are_of_what_is_measured():
    names = [claim.name for claim in claims]
    assert len(set(names)) == len(names)
    for claim in claims:
        assert claim.name.startswith("precision/")
        for prediction in claim.predictions:
            for name in (prediction.greater, prediction.smaller):
                assert locate(task.methods[name])


def test_the_three_claims_of_mixed_precision_are_there():
    names = {claim.name.partition("/")[2] for claim in claims}
    assert {"mixed-trains-like-fp32", "fp16-needs-loss-scaling", "fp16-needs-master-weights"} <= names
    assert "bf16-needs-no-scaling" in names


def test_measures_give_the_quantities_at_smoke_scale(monkeypatch):
    monkeypatch.setattr("assay.catalog.TASKS", {"precision": "assay.precision.task:task"})
    for claim in claims:
        values = claim.measure(0, "smoke")
        wanted = {name for p in claim.predictions for name in (p.greater, p.smaller)}
        assert wanted <= set(values)
        assert all(value < 0 for value in values.values())  # Losses with their sign turned.
