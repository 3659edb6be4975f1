import sys
from types import SimpleNamespace

import pytest

from assay.core.run import Run
from assay.core.trackers import MLflow, TensorBoard, WandB, tracker


@pytest.fixture
def calls(monkeypatch):
    """Fakes of the three packages, which note how they are called."""
    found = []

    def note(name, result=None):
        def call(*args, **options):
            found.append((name, args, options))
            return result

        return call

    writer = SimpleNamespace(add_scalar=note("add_scalar"), close=note("close"))
    run = SimpleNamespace(**{name: note(name) for name in ("define_metric", "log", "finish")})
    names = ("set_tracking_uri", "set_experiment", "start_run", "log_metrics", "end_run")
    monkeypatch.setitem(sys.modules, "tensorboard", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "tensorboard.summary", SimpleNamespace(Writer=note("Writer", writer)))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=note("init", run)))
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(**{name: note(name) for name in names}))
    return found


def train_with(tracker):
    run = Run(trackers=(tracker,))
    run.log(1, loss=0.5, accuracy=0.25)
    run.close()


def test_tensorboard_gets_a_point_for_each_curve(calls, tmp_path):
    train_with(TensorBoard(tmp_path))
    assert calls == [
        ("Writer", (str(tmp_path),), {}),
        ("add_scalar", ("loss", 0.5, 1), {}),
        ("add_scalar", ("accuracy", 0.25, 1), {}),
        ("close", (), {}),
    ]


def test_wandb_gets_a_step(calls):
    train_with(WandB("assay", mode="offline"))
    assert calls == [
        ("init", (), {"project": "assay", "mode": "offline"}),
        ("define_metric", ("*",), {"step_metric": "step"}),
        ("log", ({"loss": 0.5, "accuracy": 0.25, "step": 1},), {}),
        ("finish", (), {}),
    ]


@pytest.mark.parametrize("uri", [None, "sqlite:///mlflow.db"])
def test_mlflow_gets_a_step(calls, uri):
    train_with(MLflow("assay", uri=uri))
    expected = [] if uri is None else [("set_tracking_uri", (uri,), {})]
    assert calls == [
        *expected,
        ("set_experiment", ("assay",), {}),
        ("start_run", (), {}),
        ("log_metrics", ({"loss": 0.5, "accuracy": 0.25},), {"step": 1}),
        ("end_run", (), {}),
    ]


@pytest.mark.parametrize(
    ("package", "make"),
    [("tensorboard", TensorBoard), ("wandb", WandB), ("mlflow", MLflow)],
)
def test_a_missing_package_is_named(monkeypatch, package, make):
    for name in (package, f"{package}.summary"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=f"needs the package {package}"):
        make("somewhere")


def test_is_made_from_its_name(calls, tmp_path):
    train_with(tracker(f"tensorboard:{tmp_path}/a:b"))
    assert calls[0] == ("Writer", (f"{tmp_path}/a:b",), {})
    assert isinstance(tracker("wandb:assay"), WandB)
    assert isinstance(tracker("mlflow:assay"), MLflow)


@pytest.mark.parametrize("text", ["", "tensorboard", "tensorboard:", "comet:assay"])
def test_another_name_is_refused(text):
    with pytest.raises(ValueError, match="expected tensorboard:FOLDER, wandb:PROJECT or mlflow:EXPERIMENT"):
        tracker(text)
