import pytest

from assay.data.fetch import FetchError
from assay.image_text.claims import claims
from assay.image_text.task import task

pytest.importorskip("tokenizers")


def test_belong_to_the_task_and_say_what_they_shrink():
    assert len({claim.name for claim in claims}) == len(claims) >= 8
    for claim in claims:
        assert claim.name.startswith(f"{task.name}/")
        assert claim.predictions
        assert "Emoji" in claim.shrunk
        assert claim.seeds >= 3


@pytest.mark.parametrize("claim", claims, ids=lambda claim: claim.name.partition("/")[2])
def test_can_be_measured_and_have_what_they_predict(claim):
    try:
        values = claim.measure(0, "smoke")
    except FetchError as error:
        pytest.skip(str(error))
    for prediction in claim.predictions:
        assert {prediction.greater, prediction.smaller or prediction.greater} <= set(values)
    ratios = {"speed-up", "cost ratio", "throughput ratio"}
    assert all(-1 <= value <= 1 for name, value in values.items() if name not in ratios)
    assert all(values[name] > 0 for name in ratios & set(values))
