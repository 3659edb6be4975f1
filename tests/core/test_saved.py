import json

import numpy as np
import pytest

import assay
from assay.app.cli import main
from assay.core.saved import load


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    lines = [f"{a:.4f},{b:.4f},{'yes' if a + b > 0 else 'no'}" for a, b in x]
    path.write_text("\n".join(["a,b,sign", *lines]) + "\n")
    return path


def test_a_fitted_model_predicts_as_the_command_line_does(rows, tmp_path, capsys):
    fit = ["fit", "tabular", "cart", "--data", str(rows), "--target", "sign", "--out", str(tmp_path / "m")]
    assert main(fit) == 0
    said = ["--data", str(rows), "--out", str(tmp_path / "p.jsonl")]
    assert main(["predict", str(tmp_path / "m"), *said]) == 0
    written = [json.loads(line)["prediction"] for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert assay.load(tmp_path / "m").predict(str(rows)).tolist() == written
    assert set(written) == {"yes", "no"}


def test_a_trial_s_model_is_opened_too(rows, tmp_path):
    assay.compare(
        "tabular", rows, target="sign", methods=["cart"], seeds=1, runs=tmp_path / "runs", progress=False
    )
    [trial] = {path.parent for path in (tmp_path / "runs").rglob("trial.json")}
    assert set(assay.load(str(trial)).predict(str(rows))) == {"yes", "no"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "expected a folder that `assay fit` wrote, found no assay.json in it"),
        ({"assay.json": "{}"}, "assay.json: expected a description of a model, got KeyError"),
        ({"assay.json": "{"}, "assay.json: expected a description of a model, got JSONDecodeError"),
        ({"assay.json": '{"task": "tabular"}'}, "its model was not saved"),
    ],
)
def test_what_is_no_model_is_said(files, message, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
