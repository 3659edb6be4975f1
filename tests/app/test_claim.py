import json
from pathlib import Path

import pytest
import toy_task

from assay import catalog
from assay.app.cli import main
from assay.core.claim import Claim, Prediction, Record


def measured(seed, scale):
    return {"high": 1.0 + 0.01 * seed, "low": 0.02 * seed}


def broken(seed, scale):
    raise RuntimeError("no data today")


def claim(name, *predictions, measure=measured):
    statement, source, shrunk = "High is higher than low.", "Nobody, Never, Table 0", "everything"
    return Claim(
        name=f"toy/{name}",
        statement=statement,
        source=source,
        shrunk=shrunk,
        predictions=predictions,
        measure=measure,
    )


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    known = (
        claim("true", Prediction(greater="high", smaller="low", margin=0.5), Prediction(greater="high")),
        claim("false", Prediction(greater="low", smaller="high")),
        claim("broken", Prediction(greater="high"), measure=broken),
    )
    monkeypatch.setattr(toy_task, "app_claims", known, raising=False)
    monkeypatch.setattr(catalog, "CLAIMS", {"toy": "toy_task:app_claims"})
    monkeypatch.setattr("assay.core.host.location", lambda task: None)  # Forked: it knows these claims.
    monkeypatch.chdir(tmp_path)


def test_claims_are_judged_whatever_the_verdict(capsys):
    status = main(["claim", "true", "false", "--seeds", "3", "--records", "records"])
    captured = capsys.readouterr()
    assert status == 0
    lines = [line for line in captured.out.splitlines() if "toy/" in line]
    assert lines[0].split()[:2] == ["toy/true", "supported"]
    assert "high - low > 0.5" in lines[0]
    assert "[" in lines[0]
    assert "Table 0" in lines[0]
    assert "high > 0" in captured.out
    assert lines[1].split()[:2] == ["toy/false", "refuted"]
    assert Record.read(Path("records/toy/true.json")).verdict == "supported"
    assert json.loads(Path("records/toy/false.json").read_text("utf-8"))["seeds"] == [0, 1, 2]


def test_a_claim_that_cannot_run_is_a_failure_and_the_others_go_on(capsys):
    assert main(["claim", "--seeds", "1"]) == 1
    captured = capsys.readouterr()
    assert "toy/broken  not run" in captured.out
    assert "toy/true    open" in captured.out
    assert "(one seed)" in captured.out
    assert "assay: error: toy/broken, seed 0: error: RuntimeError: no data today" in captured.err
    assert not Path("records").exists()


def test_device_and_precision_are_on_record():
    words = ("--device", "cuda:0", "--precision", "bf16", "--records", "records")
    assert main(["claim", "true", "--seeds", "1", *words]) == 0
    surroundings = Record.read(Path("records/toy/true.json")).environment
    assert (surroundings["device"], surroundings["precision"]) == ("cuda:0", "bf16")


def test_claims_go_by_name_or_task(capsys):
    assert main(["claim", "toy", "--seeds", "1"]) == 1
    assert capsys.readouterr().out.count("toy/") == 3
    assert main(["claim", "toy/true", "--seeds", "1"]) == 0
    assert capsys.readouterr().out.count("toy/") == 1
