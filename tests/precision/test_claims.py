from assay.core.method import locate
from assay.precision.claims import claims
from assay.precision.task import task


def test_predictions_are_about_methods_of_the_wing():
    for claim in claims:
        for prediction in claim.predictions:
            for name in (prediction.greater, prediction.smaller):
                assert locate(task.methods[name])


def test_the_three_claims_of_mixed_precision_are_there():
    names = {claim.name.partition("/")[2] for claim in claims}
    assert {"mixed-trains-like-fp32", "fp16-needs-loss-scaling", "fp16-needs-master-weights"} <= names
    assert "bf16-needs-no-scaling" in names
