import json

import numpy as np
import pytest
import toy_task

from assay import catalog
from assay.core import claim as core
from assay.core.claim import Claim, Prediction, Record, claims, race
from assay.core.run import Run


def noise(seed, scale):
    rng = np.random.default_rng(seed)
    base = rng.normal()
    return {"high": base + 1 + 0.01 * rng.normal(), "low": base, "same": base + 0.5 * rng.normal()}


def broken(seed, scale):
    raise RuntimeError("no data today")


def surroundings(seed, scale):
    return {"bf16": float((Run().device, Run().precision) == ("cpu", "bf16"))}


def claim(name, *predictions, measure=noise):
    return Claim(
        name=f"toy/{name}",
        statement="High is higher than low.",
        source="Nobody, Never, Table 0",
        predictions=predictions,
        measure=measure,
        shrunk="everything",
    )


toy_task.claims = (  # type: ignore[attr-defined]
    claim("true", Prediction(greater="high", smaller="low", margin=0.5)),
    claim("false", Prediction(greater="low", smaller="high")),
    claim("unclear", Prediction(greater="same", smaller="low")),
    claim("mixed", Prediction(greater="high", smaller="low"), Prediction(greater="low", smaller="high")),
    claim("race", Prediction(greater="mean", smaller="biased"), measure=race(
        "toy", {"mean": ("mean", {}), "biased": toy_task.Mean(bias=3.0)}, metric="absolute error")),
    claim("broken", Prediction(greater="high"), measure=broken),
    claim("surroundings", Prediction(greater="bf16"), measure=surroundings),
)  # fmt: skip


@pytest.fixture(autouse=True)
def toy_claims(monkeypatch):
    monkeypatch.setattr(catalog, "TASKS", {"toy": "toy_task:task"})
    monkeypatch.setattr(catalog, "CLAIMS", {"toy": "toy_task:claims"})
    # A fresh process would not know these claims: let the trials be forked from this one.
    monkeypatch.setattr("assay.core.host.location", lambda task: None)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("true", "supported"),
        ("false", "refuted"),
        ("unclear", "open"),
        ("mixed", "refuted"),
        ("race", "supported"),
    ],
)
def test_verdicts(tmp_path, name, verdict):
    [chosen] = claims([name]).values()
    record = core.claim(chosen, runs=tmp_path, progress=False)
    assert record.verdict == verdict
    assert len(record.seeds) == 5
    if name != "race":
        assert record.values["high"] == tuple(noise(seed, "default")["high"] for seed in range(5))


def test_record_round_trip(tmp_path):
    [chosen] = claims(["toy/true"]).values()
    record = core.claim(chosen, runs=tmp_path / "runs", seeds=3, progress=False)
    path = record.write(tmp_path / "records")
    assert path == tmp_path / "records" / "toy" / "true.json"
    assert Record.read(path) == record
    assert json.loads(path.read_text())["predictions"][0]["prediction"] == "high - low > 0.5"
    path.write_text("{}")
    with pytest.raises(ValueError, match="expected a claim's record"):
        Record.read(path)


def test_a_claim_that_cannot_run_says_why(tmp_path):
    [chosen] = claims(["broken"]).values()
    with pytest.raises(RuntimeError, match="toy/broken, seed 0: error: RuntimeError: no data today"):
        core.claim(chosen, runs=tmp_path, seeds=1, progress=False)


def test_runs_of_a_claim_take_device_and_precision_from_it(tmp_path):
    [chosen] = claims(["surroundings"]).values()
    options = {"runs": tmp_path, "seeds": 1, "progress": False}
    assert core.claim(chosen, **options).values == {"bf16": (0.0,)}
    record = core.claim(chosen, precision="bf16", **options)
    assert record.values == {"bf16": (1.0,)}
    assert (record.environment["device"], record.environment["precision"]) == ("cpu", "bf16")
    with pytest.raises(ValueError, match="expected a precision"):
        core.claim(chosen, precision="fp8", **options)


def test_names_pick_claims_or_whole_tasks():
    assert list(claims(["toy/true"])) == ["toy/true"]
    assert list(claims(["toy"])) == list(claims())
    with pytest.raises(ValueError, match=r"there is no claim 'toy/tru'; did you mean 'toy/true'\?$"):
        claims(["toy/tru"])
    with pytest.raises(ValueError, match="there is no claim 'xyz'; there are toy/true, toy/false"):
        claims(["xyz"])


def test_verdict_needs_the_whole_interval():
    prediction = Prediction(greater="a", margin=1.0)
    assert prediction.verdict({"a": [1.1, 1.2, 1.3]}) == "open"
    assert prediction.verdict({"a": [1.19, 1.2, 1.21]}) == "supported"
    assert prediction.verdict({"a": [1.0, 1.0]}) == "refuted"
    assert prediction.verdict({"a": [5.0]}) == "open"
    assert str(prediction) == "a > 1"


def test_a_claim_is_named_or_given(tmp_path):
    [given] = claims(["toy/true"]).values()
    options = {"seeds": 2, "runs": tmp_path, "progress": False}
    assert core.claim("toy/true", **options).values == core.claim(given, **options).values
    with pytest.raises(ValueError, match="expected the name of one claim, got 'toy': toy/true, toy/false"):
        core.claim("toy", **options)
    with pytest.raises(ValueError, match="there is no claim 'toy/nothing'"):
        core.claim("toy/nothing", **options)
